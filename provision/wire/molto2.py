"""The Molto2v2 in bytes: 100 profiles, a customer key, a screen that can be locked.

Token2's "Molto2v2 Wire Protocol Specification" (docs/MOLTO2-PROTOCOL.md of token2/molto2-tools); section numbers are
its. Where a device was seen to do something else, keyroost's docs/PROTOCOL.md says so. What it shares with the tokens
of one profile is in wire/sm4_secure.py.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, sm4_secure, tlv
from provision.wire.apdu import MAX_SHORT, Command
from provision.wire.messages import decode_text, encode_text, integer, message
from provision.wire.sm4_secure import CLA, DisplayTimeout, HashKind

PROFILES = 100
FIRST_PROFILES = 50  # of the Molto2 before it, which Token2's tool drives the same way
DEFAULT_CUSTOMER_KEY = b"TOKEN2MOLTO1-KEY"  # section 2.1; every token leaves the factory with it
MAX_TITLE = 12  # bytes of UTF-8
DIGITS = (4, 6, 8, 10)
CONFIG_P1 = 0x01
QUEUED = 0x9060  # keyroost: in order, and done when the button is pressed; the specification says 9000
NO_SEED = 0x6A83  # keyroost: DELETE of a profile that has none
BAD_LE = 0x6FFB  # keyroost: PUBLIC DATA asked for with an Le

_PUBLIC_DATA = b"\x70"
_TITLE_FIELD = 16


@enum.unique
class Ins(enum.IntEnum):
    FACTORY_RESET = 0x56
    TITLE = 0xD5
    CUSTOMER_KEY = 0xD7
    SCREEN = 0xD8
    DELETE = 0xE6


@enum.unique
class Tag(enum.IntEnum):
    SYSTEM_CONFIG = 0x81
    DISPLAY_TIMEOUT = 0x1F
    UTC_TIME = 0x0F
    TOTP = 0x86
    HASH = 0x0A
    DIGITS = 0x0B
    TIME_STEP = 0x0D
    PUBLIC_DATA = 0x95
    PROFILE = 0x70


SCREEN_P1_P2 = (0x0C, 0x02)
UNLOCK = b"\x01"


def sm4_key(customer_key: bytes) -> bytes:
    """The key that a customer key stands for (section 2.1)."""
    return hashlib.sha1(customer_key, usedforsecurity=False).digest()[: sm4_secure.KEY_SIZE]  # fixed by the token


def info_command() -> Command:
    return Command(CLA, sm4_secure.Ins.INFO, 0, 0, b"", MAX_SHORT)


def public_data_command(profile: int) -> Command:
    """Without Le: a device answers 6FFB to one with."""
    return Command(CLA, sm4_secure.Ins.INFO, 0, profile, _PUBLIC_DATA)


def is_public_data(command: Command) -> bool:
    return command.data == _PUBLIC_DATA


def challenge_command() -> Command:
    return Command(CLA, sm4_secure.Ins.CHALLENGE, sm4_secure.CHALLENGE_P1, 0, b"", MAX_SHORT)


def authenticate_command(key: bytes, challenge: bytes) -> Command:
    return Command(CLA, sm4_secure.Ins.AUTHENTICATE, 0, 0, sm4_secure.response(key, challenge))


def encode_title(title: str) -> bytes:
    """1 to 12 bytes of UTF-8, no control characters. Raises WireError."""
    return encode_text(title, MAX_TITLE, "a title", least=1)


def title_command(key: bytes, profile: int, title: str) -> Command:
    """Raises WireError for what is no title."""
    raw = encode_title(title)
    return sm4_secure.secured(key, Ins.TITLE, 0, profile, sm4_secure.encrypt(key, sm4_secure.pad(raw)))


def title_in(key: bytes, body: bytes) -> bytes:
    """The title that the body of a title command holds: a device takes any bytes. Raises WireError."""
    title = sm4_secure.unpad(sm4_secure.decrypt(key, body))
    if not 1 <= len(title) <= MAX_TITLE:
        raise WireError(f"a title has 1 to {MAX_TITLE} bytes, not {len(title)}")
    return title


def customer_key_command(key: bytes, new_key: bytes) -> Command:
    """`new_key`: the SM4 key that the new customer key stands for."""
    body = sm4_secure.pad(b"\0" + new_key)
    return sm4_secure.secured(key, Ins.CUSTOMER_KEY, 0, 0, sm4_secure.encrypt(key, body))


def new_key_in(key: bytes, body: bytes) -> bytes:
    """The SM4 key that the body of a customer key command holds. Raises WireError."""
    plain = sm4_secure.unpad(sm4_secure.decrypt(key, body))
    if len(plain) != 1 + sm4_secure.KEY_SIZE or plain[0]:
        raise WireError("a new customer key that has no such form")
    return plain[1:]


def delete_command(profile: int) -> Command:
    return Command(CLA, Ins.DELETE, 0, profile, b"", MAX_SHORT)


def screen_command(*, locked: bool) -> Command:
    """Lock (`80 D8 0C 02 00`) or unlock (`80 D8 0C 02 01 01`), from firmware 2.1 on."""
    return Command(CLA, Ins.SCREEN, *SCREEN_P1_P2, *((b"", MAX_SHORT) if locked else (UNLOCK, None)))


def factory_reset_command() -> Command:
    return Command(CLA, Ins.FACTORY_RESET, 0, 0, b"", MAX_SHORT)


@message
@dataclass(frozen=True, slots=True)
class Config:
    """CONFIG of a profile (section 5.3): 81 {1F display, 0F time u32, 86 {0A hash, 0B digits, 0D step}}.

    `seconds`: the time, Unix seconds. `time_step_s`: 30 or 60.
    """

    seconds: int
    hash: HashKind
    digits: int
    time_step_s: int
    display: DisplayTimeout = DisplayTimeout.MEDIUM

    def encode(self) -> bytes:
        if self.digits not in DIGITS or self.time_step_s not in sm4_secure.TIME_STEPS:
            raise WireError(f"codes of {self.digits} digits, {self.time_step_s} s: a Molto2 does not know them")
        totp = (
            tlv.encode(Tag.HASH, bytes((self.hash,)))
            + tlv.encode(Tag.DIGITS, bytes((self.digits,)))
            + tlv.encode(Tag.TIME_STEP, bytes((self.time_step_s,)))
        )
        return tlv.encode(
            Tag.SYSTEM_CONFIG,
            tlv.encode(Tag.DISPLAY_TIMEOUT, bytes((self.display,)))
            + tlv.encode(Tag.UTC_TIME, sm4_secure.encode_time(self.seconds))
            + tlv.encode(Tag.TOTP, totp),
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = _system_config(data, (Tag.DISPLAY_TIMEOUT, Tag.UTC_TIME, Tag.TOTP))
        totp = tlv.decode_map(found[Tag.TOTP], required=(Tag.HASH, Tag.DIGITS, Tag.TIME_STEP))
        digits, step = integer(totp[Tag.DIGITS], 1, "digits"), integer(totp[Tag.TIME_STEP], 1, "a time step")
        if len(totp) != 3 or digits not in DIGITS or step not in sm4_secure.TIME_STEPS:
            raise WireError("a configuration that a Molto2 does not know")
        try:
            hash_kind = HashKind(integer(totp[Tag.HASH], 1, "a hash"))
            display = DisplayTimeout(integer(found[Tag.DISPLAY_TIMEOUT], 1, "a display timeout"))
        except ValueError:
            raise WireError("an unknown hash or display timeout") from None
        return cls(integer(found[Tag.UTC_TIME], 4, "the time"), hash_kind, digits, step, display)


@message
@dataclass(frozen=True, slots=True)
class TimeOnly:
    """CONFIG that sets nothing but the clock (section 5.3): 81 {0F time u32}."""

    seconds: int

    def encode(self) -> bytes:
        return tlv.encode(Tag.SYSTEM_CONFIG, tlv.encode(Tag.UTC_TIME, sm4_secure.encode_time(self.seconds)))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        return cls(integer(_system_config(data, (Tag.UTC_TIME,))[Tag.UTC_TIME], 4, "the time"))


def decode_config(data: bytes) -> Config | TimeOnly:
    """Either, by its outer length, as a device tells them apart. Raises WireError."""
    return TimeOnly.decode(data) if len(data) == len(TimeOnly(0).encode()) else Config.decode(data)


@message
@dataclass(frozen=True, slots=True)
class PublicData:
    """PUBLIC DATA of a profile (section 5.1), readable by anybody: 95 {70 {flag u8, title 16, RTC time u32, time
    configuration u32, hash u8, step u8, digits u8, seed present u8}}.

    Whether a profile holds a seed is in `has_seed` alone: an empty one has a hash, digits and a step as well. `title`:
    zeros at its end cut. Step before digits, as a device was seen to answer (keyroost).
    """

    title: bytes
    rtc_s: int
    configured_s: int
    hash: int
    time_step_s: int
    digits: int
    has_seed: bool
    flag: int = 0x20

    def encode(self) -> bytes:
        if len(self.title) > _TITLE_FIELD or self.title.endswith(b"\0"):
            raise WireError("a title that has no place in a profile's public data")
        value = (
            bytes((self.flag,))
            + self.title.ljust(_TITLE_FIELD, b"\0")
            + sm4_secure.encode_time(self.rtc_s)
            + sm4_secure.encode_time(self.configured_s)
            + bytes((self.hash, self.time_step_s, self.digits, self.has_seed))
        )
        return tlv.encode(Tag.PUBLIC_DATA, tlv.encode(Tag.PROFILE, value))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        value = _only(_only(data, Tag.PUBLIC_DATA), Tag.PROFILE)
        if len(value) != 29 or value[28] > 1:
            raise WireError("a profile's public data of another form")
        return cls(
            title=value[1:17].rstrip(b"\0"),
            rtc_s=integer(value[17:21], 4, "the time"),
            configured_s=integer(value[21:25], 4, "the time"),
            hash=value[25],
            time_step_s=value[26],
            digits=value[27],
            has_seed=bool(value[28]),
            flag=value[0],
        )


def decode_title(raw: bytes) -> str | None:
    """A title as text, None for one that is empty or no text: a device takes any bytes."""
    try:
        return decode_text(raw, _TITLE_FIELD, "a title", least=1)
    except WireError:
        return None


def _system_config(data: bytes, tags: tuple[int, ...]) -> dict[int, bytes]:
    found = tlv.decode_map(_only(data, Tag.SYSTEM_CONFIG), required=tags)
    if len(found) != len(tags):
        raise WireError("a configuration with more in it than a Molto2 knows")
    return found


def _only(data: bytes, tag: int) -> bytes:
    """The value of the one TLV that `data` is. Raises WireError."""
    found, value, end = tlv.decode_one(data)
    if found != tag or end != len(data):
        raise WireError(f"not one TLV {tag:02X}")
    return value
