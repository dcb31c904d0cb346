"""Credentials: what the token keeps of each, as bytes in its store and as objects in its memory.

    record = order u32 | type u8 | digits u8 | flags u8 | step u16 | T0 u64 | name size u8 | name | secret

`type` is YKOATH's byte. `flags`: the timing flags of docs/PROTOCOL.md, and 80 if the credential came without timing,
so that its step follows its name when that changes. A HOTP counter lies in a record of its own.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from firmware_sim.core import otp
from firmware_sim.core.layout import COUNTERS, CREDENTIALS
from firmware_sim.core.refusal import Refused
from firmware_sim.core.view import CredentialView
from firmware_sim.journal import Store
from provision.wire.apdu import Sw
from provision.wire.oath import Answer, HashKind, OathKind, Put, Tag
from provision.wire.reference_oath import Flag, Timing

_RECORD = struct.Struct(">IBBBHQB")
_STEP_OF_NAME = 0x80
_DEFAULT_STEP_S = 30
_STEP_PREFIX = re.compile(r"([0-9]{1,4})/")  # YKOATH: "15/issuer:name" has steps of 15 s
_LAST_COUNTER = 0xFFFFFFFF
_ALGORITHMS = {HashKind.SHA1: "sha1", HashKind.SHA256: "sha256", HashKind.SHA512: "sha512"}


@dataclass(frozen=True, slots=True)
class Credential:
    """`slot`: its place in the store. `order`: by age, the oldest has the least. `counter`: HOTP's next moving factor.
    `step_s`, `t0_s`: seconds."""

    slot: int
    order: int
    name: str
    kind: OathKind
    hash: HashKind
    digits: int
    secret: bytes
    own_clock: bool
    pin: bool
    touch: bool
    step_of_name: bool
    step_s: int
    t0_s: int
    counter: int

    def __repr__(self) -> str:
        return f"Credential({self.name!r}, secret hidden)"

    @property
    def algorithm(self) -> str:
        """As hmac.digest names it."""
        return _ALGORITHMS[self.hash]

    @property
    def type_byte(self) -> int:
        return self.kind | self.hash

    def answer(self, step: int, *, truncated: bool) -> Answer:
        """The code at a step (HOTP: at a counter), or the whole HMAC."""
        digest = otp.mac(self.secret, step, self.algorithm)
        if truncated:
            return Answer(self.name, Tag.CODE, self.digits, otp.truncate(digest).to_bytes(4, "big"))
        return Answer(self.name, Tag.FULL_CODE, self.digits, digest)

    def view(self) -> CredentialView:
        return CredentialView(
            name=self.name,
            type=self.kind.name.lower(),
            algorithm=self.hash.name,
            digits=self.digits,
            time_step_s=self.step_s,
            t0_s=self.t0_s,
            counter=self.counter if self.kind is OathKind.HOTP else None,
            own_clock=self.own_clock,
            pin=self.pin,
            touch=self.touch,
        )

    def step_at(self, device_time_us: int) -> int:
        """RFC 6238's T at a device time in microseconds. Raises Refused (6985) before T0."""
        since_us = device_time_us - self.t0_s * 1_000_000
        if since_us < 0:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        return since_us // (self.step_s * 1_000_000)

    @property
    def flags(self) -> Flag:
        flags = Flag.OWN_CLOCK if self.own_clock else Flag(0)
        if self.pin:
            flags |= Flag.PIN
        if self.touch:
            flags |= Flag.TOUCH
        return flags


class Credentials:
    """All credentials of the token, by name. Every change is one atomic commit: it may raise StoreFull or another
    FlashError (nothing has changed) and PowerLost."""

    def __init__(self, store: Store, *, room: int) -> None:
        self._store = store
        self.room = room
        found = [_decode(store, slot) for slot in range(room) if store.get(CREDENTIALS + slot) is not None]
        self._by_name = {credential.name: credential for credential in sorted(found, key=lambda c: c.order)}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Credential]:
        """The oldest first."""
        return iter(self._by_name.values())

    def get(self, name: str) -> Credential | None:
        return self._by_name.get(name)

    def find(self, name: str) -> Credential:
        """Raises Refused (6984)."""
        credential = self._by_name.get(name)
        if credential is None:
            raise Refused(Sw.NO_SUCH_OBJECT)
        return credential

    def put(self, new: Put, timing: Timing | None = None) -> None:
        """Write, or replace the one of that name in its place. Raises Refused (6A84) when there is no room."""
        name = new.name
        old = self._by_name.get(name)
        flags = timing.flags if timing else Flag(0)
        credential = Credential(
            slot=self._free_slot() if old is None else old.slot,
            order=self._next_order() if old is None else old.order,
            name=name,
            kind=new.kind,
            hash=new.hash,
            digits=new.digits,
            secret=new.secret,
            own_clock=Flag.OWN_CLOCK in flags,
            pin=Flag.PIN in flags,
            touch=new.touch or Flag.TOUCH in flags,
            step_of_name=timing is None,
            step_s=timing.time_step_s if timing else _step_of(name),
            t0_s=timing.t0_s if timing else 0,
            counter=new.counter or 0,
        )
        is_hotp = new.kind is OathKind.HOTP
        self._store.commit(
            {
                CREDENTIALS + credential.slot: _encode(credential),
                COUNTERS + credential.slot: credential.counter.to_bytes(4, "big") if is_hotp else None,
            },
            scrub=old is not None,
        )
        self._by_name[name] = credential

    def delete(self, name: str) -> None:
        """Physically too. Raises Refused (6984)."""
        slot = self.find(name).slot
        self._store.commit({CREDENTIALS + slot: None, COUNTERS + slot: None}, scrub=True)
        del self._by_name[name]

    def rename(self, old: str, new: str) -> None:
        """Raises Refused: 6984 no such credential, 6985 the new name is taken."""
        credential = self.find(old)
        if new in self._by_name:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        step_s = _step_of(new) if credential.step_of_name else credential.step_s
        renamed = replace(credential, name=new, step_s=step_s)
        self._store.commit({CREDENTIALS + renamed.slot: _encode(renamed)})
        self._by_name = {c.name: c for c in (renamed if c is credential else c for c in self._by_name.values())}

    def clear(self) -> None:
        """Erase all of them, physically too."""
        self._store.commit(self.erasure(), scrub=True)
        self._by_name.clear()

    def erasure(self) -> dict[int, bytes | None]:
        """The change of the store that erases all of them."""
        slots = [credential.slot for credential in self._by_name.values()]
        return dict.fromkeys([base + slot for slot in slots for base in (CREDENTIALS, COUNTERS)])

    def count(self, credential: Credential) -> int:
        """The moving factor to use now; the one after it is safe in flash when this returns.

        Raises Refused (6985) when the counter has come to its end, because no code may be given twice.
        """
        counter = credential.counter
        if counter == _LAST_COUNTER:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        self._store.commit({COUNTERS + credential.slot: (counter + 1).to_bytes(4, "big")})
        self._by_name[credential.name] = replace(credential, counter=counter + 1)
        return counter

    def _free_slot(self) -> int:
        used = {credential.slot for credential in self._by_name.values()}
        for slot in range(self.room):
            if slot not in used:
                return slot
        raise Refused(Sw.NO_SPACE)

    def _next_order(self) -> int:
        return max((credential.order for credential in self._by_name.values()), default=0) + 1


def _step_of(name: str) -> int:
    """The step that YKOATH reads from a name, in seconds."""
    prefix = _STEP_PREFIX.match(name)
    step = int(prefix[1]) if prefix else 0
    return step if 1 <= step <= 3600 else _DEFAULT_STEP_S


def _encode(credential: Credential) -> bytes:
    name = credential.name.encode("utf-8")
    flags = credential.flags | (_STEP_OF_NAME if credential.step_of_name else 0)
    head = _RECORD.pack(
        credential.order,
        credential.type_byte,
        credential.digits,
        flags,
        credential.step_s,
        credential.t0_s,
        len(name),
    )
    return head + name + credential.secret


def _decode(store: Store, slot: int) -> Credential:
    record = store.get(CREDENTIALS + slot) or b""
    order, kind, digits, flags, step_s, t0_s, name_size = _RECORD.unpack_from(record)
    end = _RECORD.size + name_size
    return Credential(
        slot=slot,
        order=order,
        name=record[_RECORD.size : end].decode("utf-8"),
        kind=OathKind(kind & 0xF0),
        hash=HashKind(kind & 0x0F),
        digits=digits,
        secret=record[end:],
        own_clock=bool(flags & Flag.OWN_CLOCK),
        pin=bool(flags & Flag.PIN),
        touch=bool(flags & Flag.TOUCH),
        step_of_name=bool(flags & _STEP_OF_NAME),
        step_s=step_s,
        t0_s=t0_s,
        counter=int.from_bytes(store.get(COUNTERS + slot) or b"", "big"),
    )
