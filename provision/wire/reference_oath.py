"""What the reference token adds to YKOATH: a PIN, a clock of its own, proof of a secret. docs/PROTOCOL.md section 6.

The PIN's messages are those of Nitrokey's Secrets App (trussed-secrets-app docs/ctaphid.md: B2, B3, B4). Instructions
and tags stand in wire/oath.py, where all of this applet's are.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, oath, tlv
from provision.wire.messages import integer, message
from provision.wire.oath import HashKind, OathKind, Tag, code_fields, decode_name, encode_name, kind_and_hash

MIN_PIN, MAX_PIN = 6, 16  # ASCII digits
MAX_CREDENTIALS = 64
PIN_ATTEMPTS = 8
CHECK_NONCE_SIZE = 8
CHECK_VALUE_SIZE = 8


class Flag(enum.IntFlag):
    """Of the TIMING value."""

    OWN_CLOCK = 0x01
    PIN = 0x02
    TOUCH = 0x04


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
        if len(found[Tag.VERSION]) != 3 or len(found[Tag.NAME]) != oath.DEVICE_ID_SIZE:
            raise WireError("a SELECT reply has a version of 3 bytes and a device id of 8")
        attempts = found.get(Tag.ATTEMPTS)
        return cls(
            found[Tag.VERSION],
            found[Tag.NAME],
            None if attempts is None else integer(attempts, 1, "the attempts remaining"),
        )


@message
@dataclass(frozen=True, slots=True, repr=False)
class Put(oath.Put):
    """YKOATH's PUT | [8A timing], which only a TOTP credential has."""

    timing: Timing | None = None

    def encode(self) -> bytes:
        out = oath.Put.encode(self)
        if self.timing is not None:
            out += tlv.encode(Tag.TIMING, self.timing.encode())
        Put.decode(out)
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found, touch = oath.split_put(data, (Tag.TIMING,))
        fields = oath.put_fields(found, touch)
        timing = Timing.decode(found[Tag.TIMING]) if Tag.TIMING in found else None
        if fields["kind"] is OathKind.HOTP and timing is not None:
            raise WireError("a HOTP credential has no timing")
        return cls(**fields, timing=timing)


@message
@dataclass(frozen=True, slots=True, repr=False)
class CalculateReply(oath.CalculateReply):
    """YKOATH's | [8B device time u64 in microseconds, if the token's clock was used]."""

    device_time_us: int | None = None

    def encode(self) -> bytes:
        out = oath.CalculateReply.encode(self)
        if self.device_time_us is not None:
            out += tlv.encode(Tag.DEVICE_TIME, self.device_time_us.to_bytes(8, "big"))
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.CODE,))
        time = integer(found[Tag.DEVICE_TIME], 8, "the device time") if Tag.DEVICE_TIME in found else None
        return cls(*code_fields(found[Tag.CODE]), time)


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
        return cls(decode_name(found[Tag.NAME]), *kind_and_hash(key[0]), key[1], timing, counter)


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
