"""Token2's tokens with one profile (second generation: OTPC-P1-i, miniOTP-2-i, C302-i ...) in bytes.

From the firmware core that Token2 published (token2/openT2OTP) and keyroost's docs/PROTOCOL-token2prog.md. What they
share with the Molto2 is in wire/sm4_secure.py.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, sm4_secure, tlv
from provision.wire.apdu import Command
from provision.wire.messages import integer, message
from provision.wire.sm4_secure import CLA, DisplayTimeout, HashKind

# The same in every token, and published: whoever knows it may write one.
DEVICE_KEY = bytes.fromhex("8AD206883CA369482AB27182B6E83224")
DIGITS = 6  # no field of the configuration says otherwise
REFUSED = 0x6983  # a wrong response or MAC, no handshake before, or a key that is locked

_INFO_DATA = b"\x02\x11"
_CHALLENGE_DATA = b"\x00"


@enum.unique
class Tag(enum.IntEnum):
    SYSTEM_CONFIG = 0x81
    DISPLAY_TIMEOUT = 0x1F
    UTC_TIME = 0x0F
    TOTP = 0x86
    HASH = 0x0A
    TIME_STEP = 0x0D


def info_command() -> Command:
    return Command(CLA, sm4_secure.Ins.INFO, 0, 0, _INFO_DATA)


def challenge_command() -> Command:
    return Command(CLA, sm4_secure.Ins.CHALLENGE, sm4_secure.CHALLENGE_P1, 0, _CHALLENGE_DATA)


def authenticate_command(challenge: bytes) -> Command:
    return Command(CLA, sm4_secure.Ins.AUTHENTICATE, 0, 0, sm4_secure.response(DEVICE_KEY, challenge))


def seed_command(seed: bytes) -> Command:
    """Raises WireError."""
    return sm4_secure.seed_command(DEVICE_KEY, 0, seed)


def config_command(config: Config) -> Command:
    return sm4_secure.secured(DEVICE_KEY, sm4_secure.Ins.CONFIG, 0, 0, config.encode())


@message
@dataclass(frozen=True, slots=True)
class Config:
    """CONFIG: 81 {1F display, 0F time u32, 86 {0A hash, 0D step}}, 19 bytes. `seconds`: the time, Unix seconds.

    On most models it also erases the seed ("restricted time synchronisation").
    """

    seconds: int
    hash: HashKind
    time_step_s: int
    display: DisplayTimeout = DisplayTimeout.MEDIUM

    def encode(self) -> bytes:
        if self.time_step_s not in sm4_secure.TIME_STEPS:
            raise WireError(f"a time step of {self.time_step_s} s, not 30 or 60")
        totp = tlv.encode(Tag.HASH, bytes((self.hash,))) + tlv.encode(Tag.TIME_STEP, bytes((self.time_step_s,)))
        return tlv.encode(
            Tag.SYSTEM_CONFIG,
            tlv.encode(Tag.DISPLAY_TIMEOUT, bytes((self.display,)))
            + tlv.encode(Tag.UTC_TIME, sm4_secure.encode_time(self.seconds))
            + tlv.encode(Tag.TOTP, totp),
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Strictly in the order above, as the published firmware reads it."""
        template = cls(0, HashKind.SHA1, 30).encode()
        if len(data) != len(template) or any(data[at] != template[at] for at in _FIXED):
            raise WireError("a configuration that is not these fields in this order")
        try:
            hash_kind, display = HashKind(data[15]), DisplayTimeout(data[4])
        except ValueError:
            raise WireError("an unknown hash or display timeout") from None
        if data[18] not in sm4_secure.TIME_STEPS:
            raise WireError(f"a time step of {data[18]}, not 30 or 60 s")
        return cls(integer(data[7:11], 4, "the time"), hash_kind, data[18], display)


_FIXED = (0, 1, 2, 3, 5, 6, 11, 12, 13, 14, 16, 17)  # tags and lengths


@dataclass(frozen=True, slots=True)
class Model:
    """`restricted_sync`: whether setting the clock erases the seed."""

    name: str
    serial_prefix: str
    restricted_sync: bool


# keyroost docs/PROTOCOL-token2prog.md; openT2OTP TIMESYNC.md on who keeps its seed.
MODELS = (
    Model("OTPC-P1-i", "8659612", True),
    Model("OTPC-P2-i", "8659622", True),
    Model("OTPC-P2-i-NB", "8659621", True),
    Model("miniOTP-2-i", "8659600", True),
    Model("miniOTP-3-i", "8659601", True),
    Model("miniOTP-3-i-NB", "8659609", True),
    Model("C301-i", "8659610", True),
    Model("C302-i", "8659632", False),
)


def model_of(serial: str) -> Model | None:
    """By the longest prefix; None for a serial of no known model."""
    found = [model for model in MODELS if serial.startswith(model.serial_prefix)]
    return max(found, key=lambda model: len(model.serial_prefix), default=None)
