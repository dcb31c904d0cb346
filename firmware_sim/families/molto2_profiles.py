"""What a Molto2 keeps in flash: its profiles, the customer key and the tries that are left to guess it.

    profile = configured u32 | hash u8 | digits u8 | step u8 | display u8 | title size u8 | title | seed

A seed and its title come and go independently, as on the device (keyroost).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from firmware_sim.core import otp
from firmware_sim.core.refusal import Refused
from firmware_sim.core.view import CredentialView
from firmware_sim.families.sm4_dialogue import ALGORITHMS, proves
from firmware_sim.journal import Store
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Sw
from provision.wire.sm4_secure import DisplayTimeout, HashKind

_RECORD = struct.Struct(">IBBBBB")
_PROFILES = 0x0400  # plus its number
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


@enum.unique
class StoreKey(enum.IntEnum):
    """Beside those of core/layout.py."""

    CUSTOMER_KEY = 0x0020  # SM4 16; absent: the factory's
    TRIES = 0x0021  # u8; absent: all
    SCREEN_LOCKED = 0x0022  # present: locked


@dataclass(frozen=True, slots=True)
class Profile:
    """`configured_s`: the last time that was written to it. `seed` empty: none. Its defaults are those that an empty
    profile was seen to report (keyroost)."""

    number: int
    configured_s: int = 0
    hash: HashKind = HashKind.SHA1
    digits: int = 6
    time_step_s: int = 30
    display: DisplayTimeout = DisplayTimeout.MEDIUM
    title: bytes = b""
    seed: bytes = b""

    def __repr__(self) -> str:
        return f"Profile({self.number}, seed hidden)"

    @property
    def name(self) -> str:
        """As the screen has it: `2.Google`. A title may be any bytes; the screen stays one line of what can be read."""
        title = self.title.decode("utf-8", "replace")
        return f"{self.number}.{''.join(one if one.isprintable() else _UNREADABLE for one in title)}"

    def code(self, seconds: int) -> str:
        """RFC 6238's code at a Unix time by the token's clock."""
        return otp.code(self.seed, seconds // self.time_step_s, ALGORITHMS[self.hash], self.digits)

    def public(self, seconds: int) -> molto2.PublicData:
        return molto2.PublicData(
            self.title.rstrip(b"\0"),
            rtc_s=seconds,
            configured_s=self.configured_s,
            hash=self.hash,
            time_step_s=self.time_step_s,
            digits=self.digits,
            has_seed=bool(self.seed),
        )

    def view(self) -> CredentialView:
        return CredentialView(
            name=self.name,
            type="totp",
            algorithm=self.hash.name,
            digits=self.digits,
            time_step_s=self.time_step_s,
            t0_s=0,
            counter=None,
            own_clock=True,
            pin=False,
            touch=False,
        )


class Profiles:
    """All of them, by number. Every change is one atomic commit: it may raise FlashError (nothing has changed) and
    PowerLost."""

    def __init__(self, store: Store, *, room: int) -> None:
        self._store = store
        self.room = room

    def __getitem__(self, number: int) -> Profile:
        record = self._store.get(_PROFILES + number)
        if record is None:
            return Profile(number)
        configured_s, hash_kind, digits, step, display, title_size = _RECORD.unpack_from(record)
        end = _RECORD.size + title_size
        return Profile(
            number,
            configured_s,
            HashKind(hash_kind),
            digits,
            step,
            DisplayTimeout(display),
            record[_RECORD.size : end],
            record[end:],
        )

    def __iter__(self) -> Iterator[Profile]:
        return (self[number] for number in range(self.room))

    def write_seed(self, number: int, seed: bytes) -> None:
        """`seed` empty clears it."""
        self._write(replace(self[number], seed=seed), scrub=True)

    def write_title(self, number: int, title: bytes) -> None:
        self._write(replace(self[number], title=title))

    def configure(self, number: int, config: molto2.Config | molto2.TimeOnly) -> None:
        profile = replace(self[number], configured_s=config.seconds)
        if isinstance(config, molto2.Config):
            profile = replace(
                profile,
                hash=config.hash,
                digits=config.digits,
                time_step_s=config.time_step_s,
                display=config.display,
            )
        self._write(profile)

    def clear_seed(self, number: int) -> None:
        """Raises Refused (6A83) if there is none."""
        if not self[number].seed:
            raise Refused(molto2.NO_SEED)
        self.write_seed(number, b"")

    def erasure(self) -> dict[int, bytes | None]:
        """The change of the store that erases all of them."""
        return {_PROFILES + number: None for number in range(self.room)}

    def _write(self, profile: Profile, *, scrub: bool = False) -> None:
        head = _RECORD.pack(
            profile.configured_s,
            profile.hash,
            profile.digits,
            profile.time_step_s,
            profile.display,
            len(profile.title),
        )
        self._store.commit({_PROFILES + profile.number: head + profile.title + profile.seed}, scrub=scrub)


class CustomerKey:
    """The SM4 key that the customer key stands for. A try is charged, and safe in flash, before anything is compared.

    `tries`: how many wrong ones in a row lock it. Then only a factory reset helps, which needs no key.
    """

    def __init__(self, store: Store, *, tries: int) -> None:
        self._store = store
        self._tries = tries

    @property
    def is_default(self) -> bool:
        return self._store.get(StoreKey.CUSTOMER_KEY) is None

    @property
    def value(self) -> bytes:
        return self._store.get(StoreKey.CUSTOMER_KEY) or molto2.sm4_key(molto2.DEFAULT_CUSTOMER_KEY)

    @property
    def tries_left(self) -> int:
        stored = self._store.get(StoreKey.TRIES)
        return self._tries if stored is None else stored[0]

    def check(self, challenge: bytes, response: bytes) -> None:
        """Raises Refused: 63Cx wrong, x tries left; 6983 locked (INFERRED)."""
        left = self.tries_left - 1
        if left < 0:
            raise Refused(Sw.AUTHENTICATION_BLOCKED)
        self._store.commit({StoreKey.TRIES: bytes((left,))})
        if not proves(self.value, challenge, response):
            raise Refused(Sw.PIN_INCORRECT | left)
        self._store.commit({StoreKey.TRIES: None})

    def replace(self, key: bytes) -> None:
        """Physically, too."""
        assert len(key) == sm4_secure.KEY_SIZE
        self._store.commit({StoreKey.CUSTOMER_KEY: key}, scrub=True)

    def erasure(self) -> dict[int, bytes | None]:
        return {StoreKey.CUSTOMER_KEY: None, StoreKey.TRIES: None}
