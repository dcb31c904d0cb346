"""OATH applets in bytes: YKOATH's instructions, the PIN of Nitrokey's Secrets App, and the reference token's additions.

Sources: developers.yubico.com/OATH/YKOATH_Protocol.html; Nitrokey trussed-secrets-app docs/ctaphid.md (B2, B3, B4);
docs/PROTOCOL.md section 6 for what is ours. Each message is a frozen dataclass with `encode` and `decode` beside it,
registered in MESSAGES, so that a test can demand a strategy for every one. Integers are big-endian.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, tlv
from provision.wire.messages import decode_text, encode_text, integer, message

OATH_AID = bytes.fromhex("A0000005272101")  # YKOATH

MAX_NAME = 64  # bytes of UTF-8: the name of a credential
MIN_SECRET, MAX_SECRET = 14, 64  # bytes; YKOATH pads shorter ones with zeros, which HMAC ignores
MIN_PIN, MAX_PIN = 6, 16  # ASCII digits
MAX_CREDENTIALS = 64
PIN_ATTEMPTS = 8
CHECK_NONCE_SIZE = 8
CHECK_VALUE_SIZE = 8
DEVICE_ID_SIZE = 8
TOUCH_TIMEOUT_S = 15
RESET_P1_P2 = (0xDE, 0xAD)


@enum.unique
class Ins(enum.IntEnum):
    PUT = 0x01
    DELETE = 0x02
    SET_CODE = 0x03  # YKOATH's password: answered 6985, the PIN takes its place
    RESET = 0x04
    RENAME = 0x05
    LIST = 0xA1
    CALCULATE = 0xA2
    VALIDATE = 0xA3  # as SET_CODE
    CALCULATE_ALL = 0xA4
    SEND_REMAINING = 0xA5
    VERIFY_PIN = 0xB2
    CHANGE_PIN = 0xB3
    SET_PIN = 0xB4
    GET_CREDENTIAL = 0xB5
    CHECK_VALUE = 0xD1


@enum.unique
class Tag(enum.IntEnum):
    NAME = 0x71  # in a SELECT reply: the device id
    NAME_LIST = 0x72
    KEY = 0x73
    CHALLENGE = 0x74
    FULL_CODE = 0x75
    CODE = 0x76
    NO_CODE = 0x77  # HOTP, own clock, or a PIN that was not presented
    PROPERTY = 0x78
    VERSION = 0x79
    COUNTER = 0x7A
    TOUCH_NEEDED = 0x7C
    PIN = 0x80
    NEW_PIN = 0x81
    ATTEMPTS = 0x82
    TIMING = 0x8A  # ours: step, t0, flags
    DEVICE_TIME = 0x8B  # ours
    CHECK = 0x8C  # ours: nonce in, check value out


@enum.unique
class OathKind(enum.IntEnum):
    """High nibble of YKOATH's type byte."""

    HOTP = 0x10
    TOTP = 0x20


@enum.unique
class HashKind(enum.IntEnum):
    """Low nibble of YKOATH's type byte."""

    SHA1 = 0x01
    SHA256 = 0x02
    SHA512 = 0x03


class Flag(enum.IntFlag):
    """Of the TIMING value."""

    OWN_CLOCK = 0x01
    PIN = 0x02
    TOUCH = 0x04


def encode_name(name: str) -> bytes:
    """A credential's name, 1 to 64 bytes of UTF-8, no control characters. Raises WireError."""
    return encode_text(name, MAX_NAME, "a credential's name", least=1)


def decode_name(raw: bytes) -> str:
    return decode_text(raw, MAX_NAME, "a credential's name", least=1)


def encode_pin(pin: str) -> bytes:
    """6 to 16 ASCII digits. Raises WireError, which never repeats the PIN."""
    try:
        raw = pin.encode("ascii")
    except UnicodeEncodeError:
        raise WireError(_PIN_RULE) from None
    check_pin(raw)
    return raw


def check_pin(raw: bytes) -> None:
    """Raises WireError unless `raw` has the form of a PIN."""
    if not (MIN_PIN <= len(raw) <= MAX_PIN and raw.isdigit()):
        raise WireError(_PIN_RULE)


_PIN_RULE = f"a PIN has {MIN_PIN} to {MAX_PIN} digits"


@message
@dataclass(frozen=True, slots=True)
class Timing:
    """Value of TIMING: time_step_s u16 (1..3600) | t0_s u64 | flags u8."""

    time_step_s: int
    t0_s: int
    flags: Flag

    def encode(self) -> bytes:
        self._check()
        return struct.pack(">HQB", self.time_step_s, self.t0_s, self.flags)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) != 11:
            raise WireError(f"TIMING has 11 bytes, not {len(data)}")
        step, t0, flags = struct.unpack(">HQB", data)
        if flags & ~0x07:
            raise WireError(f"unknown TIMING flags {flags:02X}")
        timing = cls(step, t0, Flag(flags))
        timing._check()
        return timing

    def _check(self) -> None:
        if not 1 <= self.time_step_s <= 3600:
            raise WireError(f"a time step of {self.time_step_s} s, not in 1..3600")
        if not 0 <= self.t0_s < 1 << 40:
            raise WireError(f"a T0 of {self.t0_s} s, not in 0..2^40")


@message
@dataclass(frozen=True, slots=True)
class SelectReply:
    """79 version 3 | 71 device id 8 | [82 attempts remaining u8, once a PIN is set]."""

    version: bytes
    device_id: bytes
    attempts_remaining: int | None = None

    def encode(self) -> bytes:
        out = tlv.encode(Tag.VERSION, self.version) + tlv.encode(Tag.NAME, self.device_id)
        if self.attempts_remaining is not None:
            out += tlv.encode(Tag.ATTEMPTS, bytes((self.attempts_remaining,)))
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.VERSION, Tag.NAME))
        if len(found[Tag.VERSION]) != 3 or len(found[Tag.NAME]) != DEVICE_ID_SIZE:
            raise WireError("a SELECT reply has a version of 3 bytes and a device id of 8")
        attempts = found.get(Tag.ATTEMPTS)
        return cls(
            found[Tag.VERSION],
            found[Tag.NAME],
            None if attempts is None else integer(attempts, 1, "the attempts remaining"),
        )


@message
@dataclass(frozen=True, slots=True, repr=False)
class Put:
    """71 name | 73 {kind and hash u8, digits u8, secret} | [78 property, no length] | [7A counter u32] | [8A timing].

    `touch`: YKOATH's property 02. `counter`: HOTP's first moving factor.
    """

    name: str
    kind: OathKind
    hash: HashKind
    digits: int
    secret: bytes
    touch: bool = False
    counter: int | None = None
    timing: Timing | None = None

    def __repr__(self) -> str:
        return f"Put({self.name!r}, {self.kind.name}, {self.hash.name}, {self.digits} digits, secret hidden)"

    def encode(self) -> bytes:
        secret = self.secret.ljust(MIN_SECRET, b"\0")
        out = tlv.encode(Tag.NAME, encode_name(self.name))
        out += tlv.encode(Tag.KEY, bytes((self.kind | self.hash, self.digits)) + secret)
        if self.touch:
            out += bytes((Tag.PROPERTY, 0x02))
        if self.counter is not None:
            out += tlv.encode(Tag.COUNTER, self.counter.to_bytes(4, "big"))
        if self.timing is not None:
            out += tlv.encode(Tag.TIMING, self.timing.encode())
        type(self).decode(out)
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found: dict[int, bytes] = {}
        touch = False
        position = 0
        while position < len(data):
            if data[position] == Tag.PROPERTY:
                # YKOATH gives this one tag no length.
                if position + 2 > len(data) or data[position + 1] & ~0x02:
                    raise WireError("an unknown credential property")
                touch = bool(data[position + 1] & 0x02)
                position += 2
                continue
            tag, value, position = tlv.decode_one(data, position)
            if tag in found or tag not in (Tag.NAME, Tag.KEY, Tag.COUNTER, Tag.TIMING):
                raise WireError(f"tag {tag:02X} twice or out of place in PUT")
            found[tag] = value
        if Tag.NAME not in found or Tag.KEY not in found:
            raise WireError("PUT needs a name and a key")
        key = found[Tag.KEY]
        if not MIN_SECRET + 2 <= len(key) <= MAX_SECRET + 2:
            raise WireError(f"a secret has {MIN_SECRET} to {MAX_SECRET} bytes")
        kind, digest = _kind_and_hash(key[0])
        if not 6 <= key[1] <= 8:
            raise WireError(f"{key[1]} digits, not 6 to 8")
        timing = Timing.decode(found[Tag.TIMING]) if Tag.TIMING in found else None
        counter = integer(found[Tag.COUNTER], 4, "the counter") if Tag.COUNTER in found else None
        if kind is OathKind.HOTP and timing is not None:
            raise WireError("a HOTP credential has no timing")
        if kind is OathKind.TOTP and counter is not None:
            raise WireError("a TOTP credential has no counter")
        return cls(decode_name(found[Tag.NAME]), kind, digest, key[1], key[2:], touch, counter, timing)


def _kind_and_hash(octet: int) -> tuple[OathKind, HashKind]:
    try:
        return OathKind(octet & 0xF0), HashKind(octet & 0x0F)
    except ValueError:
        raise WireError(f"unknown OATH type or hash {octet:02X}") from None


@message
@dataclass(frozen=True, slots=True)
class Name:
    """71 name: the data of DELETE and GET CREDENTIAL."""

    name: str

    def encode(self) -> bytes:
        return tlv.encode(Tag.NAME, encode_name(self.name))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.NAME,))
        if len(found) != 1:
            raise WireError("only a name belongs here")
        return cls(decode_name(found[Tag.NAME]))


@message
@dataclass(frozen=True, slots=True)
class Rename:
    """71 old name | 71 new name."""

    old: str
    new: str

    def encode(self) -> bytes:
        return tlv.encode(Tag.NAME, encode_name(self.old)) + tlv.encode(Tag.NAME, encode_name(self.new))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        pairs = list(tlv.decode(data))
        if [tag for tag, _ in pairs] != [Tag.NAME, Tag.NAME]:
            raise WireError("RENAME takes two names")
        return cls(decode_name(pairs[0][1]), decode_name(pairs[1][1]))


@message
@dataclass(frozen=True, slots=True)
class Listing:
    """LIST's reply: 72 {kind and hash u8, name} for each credential."""

    entries: tuple[tuple[OathKind, HashKind, str], ...]

    def encode(self) -> bytes:
        return b"".join(
            tlv.encode(Tag.NAME_LIST, bytes((kind | digest,)) + encode_name(name))
            for kind, digest, name in self.entries
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        entries = []
        for tag, value in tlv.decode(data):
            if tag != Tag.NAME_LIST or not value:
                raise WireError(f"tag {tag:02X} in a list of credentials")
            entries.append((*_kind_and_hash(value[0]), decode_name(value[1:])))
        return cls(tuple(entries))


@message
@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """GET CREDENTIAL's reply: 71 name | 73 {kind and hash u8, digits u8} | 8A timing | [7A counter u32 for HOTP].

    The timing is always there: for a credential written without one it says what the token derived (the step of the
    name's prefix, no flags but touch).
    """

    name: str
    kind: OathKind
    hash: HashKind
    digits: int
    timing: Timing
    counter: int | None = None

    def encode(self) -> bytes:
        out = tlv.encode(Tag.NAME, encode_name(self.name))
        out += tlv.encode(Tag.KEY, bytes((self.kind | self.hash, self.digits)))
        out += tlv.encode(Tag.TIMING, self.timing.encode())
        if self.counter is not None:
            out += tlv.encode(Tag.COUNTER, self.counter.to_bytes(4, "big"))
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.NAME, Tag.KEY, Tag.TIMING))
        key = found[Tag.KEY]
        if len(key) != 2:
            raise WireError("a credential record has 2 bytes of kind and digits")
        counter = integer(found[Tag.COUNTER], 4, "the counter") if Tag.COUNTER in found else None
        timing = Timing.decode(found[Tag.TIMING])
        return cls(decode_name(found[Tag.NAME]), *_kind_and_hash(key[0]), key[1], timing, counter)


@message
@dataclass(frozen=True, slots=True)
class Calculate:
    """71 name | [74 challenge u64: the step, from a host that gives the time; empty or absent otherwise]."""

    name: str
    step: int | None = None

    def encode(self) -> bytes:
        challenge = b"" if self.step is None else self.step.to_bytes(8, "big")
        return tlv.encode(Tag.NAME, encode_name(self.name)) + tlv.encode(Tag.CHALLENGE, challenge)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.NAME,))
        if len(found) > 2 or (len(found) == 2 and Tag.CHALLENGE not in found):
            raise WireError("CALCULATE takes a name and a challenge")
        challenge = found.get(Tag.CHALLENGE, b"")
        step = integer(challenge, 8, "the challenge") if challenge else None
        return cls(decode_name(found[Tag.NAME]), step)


@message
@dataclass(frozen=True, slots=True, repr=False)
class CalculateReply:
    """76 {digits u8, truncated value u32} | [8B device time u64 in microseconds, if the token's clock was used].

    The value is RFC 4226's Snum (31 bits): the code is its remainder modulo 10^digits.
    """

    digits: int
    value: int
    device_time_us: int | None = None

    def __repr__(self) -> str:
        return f"CalculateReply({self.digits} digits, code hidden)"

    def encode(self) -> bytes:
        out = tlv.encode(Tag.CODE, struct.pack(">BI", self.digits, self.value))
        if self.device_time_us is not None:
            out += tlv.encode(Tag.DEVICE_TIME, self.device_time_us.to_bytes(8, "big"))
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.CODE,))
        if len(found[Tag.CODE]) != 5:
            raise WireError("a code has 5 bytes")
        digits, value = struct.unpack(">BI", found[Tag.CODE])
        if value > 0x7FFFFFFF or not 6 <= digits <= 8:
            raise WireError("a code of 6 to 8 digits has 31 bits")
        time = integer(found[Tag.DEVICE_TIME], 8, "the device time") if Tag.DEVICE_TIME in found else None
        return cls(digits, value, time)

    @property
    def code(self) -> str:
        return f"{self.value % 10**self.digits:0{self.digits}d}"


@message
@dataclass(frozen=True, slots=True, repr=False)
class Pin:
    """80 PIN: the data of VERIFY PIN and SET PIN."""

    pin: bytes

    def __repr__(self) -> str:
        return "Pin(hidden)"

    def encode(self) -> bytes:
        check_pin(self.pin)
        return tlv.encode(Tag.PIN, self.pin)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.PIN,))
        if len(found) != 1:
            raise WireError("only a PIN belongs here")
        check_pin(found[Tag.PIN])
        return cls(found[Tag.PIN])


@message
@dataclass(frozen=True, slots=True, repr=False)
class ChangePin:
    """80 PIN | 81 new PIN."""

    pin: bytes
    new_pin: bytes

    def __repr__(self) -> str:
        return "ChangePin(hidden)"

    def encode(self) -> bytes:
        check_pin(self.pin)
        check_pin(self.new_pin)
        return tlv.encode(Tag.PIN, self.pin) + tlv.encode(Tag.NEW_PIN, self.new_pin)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.PIN, Tag.NEW_PIN))
        if len(found) != 2:
            raise WireError("CHANGE PIN takes two PINs")
        check_pin(found[Tag.PIN])
        check_pin(found[Tag.NEW_PIN])
        return cls(found[Tag.PIN], found[Tag.NEW_PIN])


@message
@dataclass(frozen=True, slots=True)
class CheckValue:
    """71 name | 8C nonce 8. The reply is 8C followed by the first 8 bytes of HMAC-SHA-256(secret, "check" | nonce)."""

    name: str
    nonce: bytes

    def encode(self) -> bytes:
        if len(self.nonce) != CHECK_NONCE_SIZE:
            raise WireError(f"a check nonce has {CHECK_NONCE_SIZE} bytes")
        return tlv.encode(Tag.NAME, encode_name(self.name)) + tlv.encode(Tag.CHECK, self.nonce)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.NAME, Tag.CHECK))
        if len(found) != 2 or len(found[Tag.CHECK]) != CHECK_NONCE_SIZE:
            raise WireError(f"CHECK VALUE takes a name and a nonce of {CHECK_NONCE_SIZE} bytes")
        return cls(decode_name(found[Tag.NAME]), found[Tag.CHECK])
