"""The reference token's management applet in bytes: identity, clock, name, keys, factory reset.

docs/PROTOCOL.md section 7. The OATH applet beside it is in wire/oath.py. Integers are big-endian.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, tlv
from provision.wire.messages import decode_text, encode_text, integer, message

MANAGEMENT_AID = bytes.fromhex("F06877746F6B656E01")  # F0 (proprietary, unregistered), "hwtoken", 01
MAX_LABEL = 32  # bytes of UTF-8: the friendly name of the token
FACTORY_RESET_P1_P2 = (0xDE, 0xAD)
NEW_PIN_P2 = 0x02  # RESET RETRY COUNTER with a new PIN as data
KEEP_PIN_P2 = 0x03  # RESET RETRY COUNTER without data: the PIN stays, its attempts come back


@enum.unique
class Ins(enum.IntEnum):
    RESET_RETRY_COUNTER = 0x2C  # ISO/IEC 7816-4
    GET_TIME = 0x54
    SET_TIME = 0x55
    SET_LABEL = 0x56
    FACTORY_RESET = 0x5E
    GET_INFO = 0xCA
    PUT_KEY = 0xD8  # GlobalPlatform


@enum.unique
class Tag(enum.IntEnum):
    SERIAL = 0xC1
    MODEL = 0xC2
    FIRMWARE = 0xC3
    LABEL = 0xC4
    PIN_STATE = 0xC5
    CREDENTIALS = 0xC6
    KEYS = 0xC7
    BATTERY = 0xC8


@enum.unique
class PinStatus(enum.IntEnum):
    UNSET = 0
    SET = 1
    BLOCKED = 2


@enum.unique
class BatteryStatus(enum.IntEnum):
    GOOD = 0
    LOW = 1
    STOPPED = 2  # the clock has stopped or restarted since it was last set


@message
@dataclass(frozen=True, slots=True)
class Info:
    """GET INFO's reply: C1 serial | C2 model | C3 firmware 3 | C4 label | C5 {PinStatus u8, attempts u8} |
    C6 {used u16, max u16} | C7 key version u8 | C8 BatteryStatus u8."""

    serial: str
    model: str
    firmware: tuple[int, int, int]
    label: str
    pin_status: PinStatus
    attempts_remaining: int
    credentials_used: int
    credentials_max: int
    key_version: int
    battery: BatteryStatus

    def encode(self) -> bytes:
        return (
            tlv.encode(Tag.SERIAL, encode_text(self.serial, MAX_LABEL, "a serial", least=1))
            + tlv.encode(Tag.MODEL, encode_text(self.model, MAX_LABEL, "a model"))
            + tlv.encode(Tag.FIRMWARE, bytes(self.firmware))
            + tlv.encode(Tag.LABEL, encode_label(self.label))
            + tlv.encode(Tag.PIN_STATE, bytes((self.pin_status, self.attempts_remaining)))
            + tlv.encode(Tag.CREDENTIALS, struct.pack(">HH", self.credentials_used, self.credentials_max))
            + tlv.encode(Tag.KEYS, bytes((self.key_version,)))
            + tlv.encode(Tag.BATTERY, bytes((self.battery,)))
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(
            data,
            required=(
                Tag.SERIAL,
                Tag.MODEL,
                Tag.FIRMWARE,
                Tag.LABEL,
                Tag.PIN_STATE,
                Tag.CREDENTIALS,
                Tag.KEYS,
                Tag.BATTERY,
            ),
        )
        firmware, pin, used = found[Tag.FIRMWARE], found[Tag.PIN_STATE], found[Tag.CREDENTIALS]
        if len(firmware) != 3 or len(pin) != 2 or len(used) != 4:
            raise WireError("a field of the token's information has a wrong length")
        try:
            pin_status = PinStatus(pin[0])
            battery = BatteryStatus(integer(found[Tag.BATTERY], 1, "the battery status"))
        except ValueError:
            raise WireError("an unknown PIN or battery status") from None
        return cls(
            decode_text(found[Tag.SERIAL], MAX_LABEL, "a serial", least=1),
            decode_text(found[Tag.MODEL], MAX_LABEL, "a model"),
            (firmware[0], firmware[1], firmware[2]),
            decode_label(found[Tag.LABEL]),
            pin_status,
            pin[1],
            int.from_bytes(used[:2], "big"),
            int.from_bytes(used[2:], "big"),
            integer(found[Tag.KEYS], 1, "the key version"),
            battery,
        )


def encode_label(label: str) -> bytes:
    """The token's friendly name, up to 32 bytes of UTF-8. Raises WireError."""
    return encode_text(label, MAX_LABEL, "a token's name")


def decode_label(raw: bytes) -> str:
    return decode_text(raw, MAX_LABEL, "a token's name")


@message
@dataclass(frozen=True, slots=True)
class DeviceTime:
    """GET TIME's reply: microseconds since the Unix epoch by the token's clock, u64."""

    microseconds: int

    def encode(self) -> bytes:
        return self.microseconds.to_bytes(8, "big")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        return cls(integer(data, 8, "the device time"))


@message
@dataclass(frozen=True, slots=True)
class SetTime:
    """SET TIME: whole Unix seconds, u64 (below 2^40). The sub-second phase becomes zero on receipt."""

    seconds: int

    def encode(self) -> bytes:
        return self.seconds.to_bytes(8, "big")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        seconds = integer(data, 8, "the time")
        if seconds >= 1 << 40:
            raise WireError("a time past 2^40 s")
        return cls(seconds)
