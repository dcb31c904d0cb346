"""Token2's tokens with one profile, second generation: a seed, a clock, one button, a screen; read through NFC.

Bytes, models and sources: provision/wire/token2.py. The order of checks is that of the firmware core which Token2
published (openT2OTP): a MAC is looked at before the session, and every refusal of the key is 6983. Its codes never
leave by wire.

On hardware the card lies on somebody's contactless reader. Here the simulator plays both: `--link vpcd` is the card
alone in pcscd's reader, `--link usbip` a reader with the card on it, under an identity for tests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from firmware_sim.core import otp
from firmware_sim.core.chip import Board
from firmware_sim.core.family import CCID, Family, FlashGeometry, Limits
from firmware_sim.core.machine import Lifecycle
from firmware_sim.core.refusal import Refused
from firmware_sim.core.view import CredentialView, View
from firmware_sim.families.sm4_dialogue import ALGORITHMS, OK, Sm4Chip, Sm4Dialogue, proves
from provision.wire import sm4_secure, token2
from provision.wire.apdu import Command, Sw
from provision.wire.sm4_secure import DISPLAY_SECONDS, DisplayTimeout, HashKind

RESTRICTED_SYNC = "restricted-sync"  # a configuration, and so a new time, erases the seed
_PROFILE = 0x0400  # in the store: hash u8 | step u8 | display u8 | seed
_RECORD = struct.Struct(">BBB")


@dataclass(frozen=True, slots=True)
class Profile:
    """`seed` empty: none. The defaults are those of the published firmware."""

    hash: HashKind = HashKind.SHA1
    time_step_s: int = 30
    display: DisplayTimeout = DisplayTimeout.MEDIUM
    seed: bytes = field(default=b"", repr=False)


class Token2Chip(Sm4Chip):
    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.panel: Token2Panel = Token2Panel(self)

    def dialogue(self, abandon: Callable[[], None]) -> Token2Dialogue:
        return Token2Dialogue(self)

    @property
    def profile(self) -> Profile:
        record = self.store.get(_PROFILE)
        if record is None:
            return Profile()
        hash_kind, step, display = _RECORD.unpack_from(record)
        return Profile(HashKind(hash_kind), step, DisplayTimeout(display), record[_RECORD.size :])

    def write_seed(self, seed: bytes) -> None:
        """Physically, too."""
        self._write(replace(self.profile, seed=seed))

    def configure(self, config: token2.Config) -> None:
        seed = b"" if RESTRICTED_SYNC in self.family.quirks else self.profile.seed
        self._write(Profile(config.hash, config.time_step_s, config.display, seed))
        self.set_device_time(config.seconds)

    def factory_reset(self) -> None:
        """No command does it, and no button of a real one."""
        self.store.commit({_PROFILE: None}, scrub=True)

    def describe(self, view: View) -> None:
        view["lifecycle"] = Lifecycle.FACTORY.value
        profile = self.profile
        view["credentials"] = [_view(profile)] if profile.seed else []

    def _write(self, profile: Profile) -> None:
        head = _RECORD.pack(profile.hash, profile.time_step_s, profile.display)
        self.store.commit({_PROFILE: head + profile.seed}, scrub=True)


def _view(profile: Profile) -> CredentialView:
    return CredentialView(
        name="",
        type="totp",
        algorithm=profile.hash.name,
        digits=token2.DIGITS,
        time_step_s=profile.time_step_s,
        t0_s=0,
        counter=None,
        own_clock=True,
        pin=False,
        touch=False,
    )


class Token2Dialogue(Sm4Dialogue):
    def __init__(self, chip: Token2Chip) -> None:
        super().__init__(chip.random)
        self._chip = chip

    def _plain(self, command: Command) -> bytes:
        if command.ins == sm4_secure.Ins.INFO:
            return sm4_secure.Info(self._chip.serial, self._chip.told_seconds()).encode() + OK
        if command.ins == sm4_secure.Ins.CHALLENGE and command.p1 == sm4_secure.CHALLENGE_P1:
            return self._new_challenge() + OK
        if command.ins == sm4_secure.Ins.AUTHENTICATE:
            return self._authenticate(command)
        raise Refused(Sw.INS_NOT_SUPPORTED)

    def _authenticate(self, command: Command) -> bytes:
        if self._challenge is None or len(command.data) != sm4_secure.BLOCK_SIZE:
            raise Refused(Sw.WRONG_DATA)
        if not proves(token2.DEVICE_KEY, self._take_challenge(), command.data):
            raise Refused(token2.REFUSED)
        self.authenticated = True
        return OK

    def _secure(self, command: Command) -> bytes:
        if len(command.data) < sm4_secure.MAC_SIZE:
            raise Refused(Sw.WRONG_LENGTH)
        if not sm4_secure.is_genuine(token2.DEVICE_KEY, command):
            raise Refused(token2.REFUSED)
        if command.ins not in (sm4_secure.Ins.SEED, sm4_secure.Ins.CONFIG):
            raise Refused(Sw.INS_NOT_SUPPORTED)
        if not self.authenticated:
            raise Refused(token2.REFUSED)
        body = command.data[: -sm4_secure.MAC_SIZE]
        if command.ins == sm4_secure.Ins.CONFIG:
            self._chip.configure(token2.Config.decode(body))
            return OK
        seed = sm4_secure.seed_in(token2.DEVICE_KEY, body)
        if not seed:
            raise Refused(Sw.WRONG_DATA)
        self._chip.write_seed(seed)
        return OK


class Token2Panel:
    """One button, which shows the code for as long as the configuration says."""

    def __init__(self, chip: Token2Chip) -> None:
        self._chip = chip
        self._on_until = 0.0

    @property
    def screen(self) -> str:
        profile = self._chip.profile
        if self._chip.clock.now() >= self._on_until:
            return ""
        if not profile.seed:
            return "no seed"
        try:
            step = self._chip.seconds() // profile.time_step_s
        except Refused:
            return "no time"
        return otp.code(profile.seed, step, ALGORITHMS[profile.hash], token2.DIGITS)

    def press(self) -> None:
        self._on_until = self._chip.clock.now() + DISPLAY_SECONDS[self._chip.profile.display]

    def type_pin(self, pin: str) -> None:
        """It has no keys for digits: nothing happens."""


def _family(model: token2.Model) -> Family:
    return Family(
        name="token2",
        model=model.name,
        firmware=(1, 0, 0),  # they tell no version, and none is published
        # pid.codes' identity for tests: the reader is the simulator's, and nothing that is sold may use it.
        idVendor=0x1209,
        idProduct=0x0003,
        iManufacturer="hwtoken",
        iProduct="hwtoken reader with Token2 token",
        # What PC/SC (part 3, section 3.1.3.2.3.1) makes of a contactless card of ISO/IEC 14443-4 type A without
        # historical bytes.
        atr=bytes.fromhex("3B80800101"),
        limits=Limits(
            credentials=1,
            touch_timeout_s=30,  # no command waits
            screen_s=30,
            max_apdu=261,
        ),
        flash=FlashGeometry(page_size=4096, page_count=4),
        functions=(CCID,),
        instructions=(sm4_secure.Ins,),
        chip=Token2Chip,
        quirks=frozenset({RESTRICTED_SYNC} if model.restricted_sync else ()),
        serial_prefix=model.serial_prefix,
    )


# The first is what openT2OTP's published firmware calls itself.
VARIANTS = tuple(_family(model) for model in sorted(token2.MODELS, key=lambda model: model.name != "OTPC-P2-i"))
