"""USB 2.0: SETUP packets, the numbers of standard requests, strings. Descriptors: provision/wire/usb_descriptors.py.

Fields are spelled as in the specification (chapter 9). Integers are little-endian.
"""

from __future__ import annotations

import enum
import struct
from typing import NamedTuple, Self

from provision.wire import WireError
from provision.wire.messages import message

IN = 0x80
"""The bit of bmRequestType and bEndpointAddress that says: from the device to the host."""
MAX_STRING = 126
"""UTF-16 units in a string descriptor: its length is one byte."""
LANGID_ENGLISH_US = 0x0409

_SETUP = struct.Struct("<BBHHH")


@enum.unique
class Kind(enum.IntEnum):
    """Bits 6 and 5 of bmRequestType."""

    STANDARD = 0
    CLASS = 1
    VENDOR = 2
    RESERVED = 3


@enum.unique
class Recipient(enum.IntEnum):
    """Bits 4 to 0 of bmRequestType; larger numbers are reserved."""

    DEVICE = 0
    INTERFACE = 1
    ENDPOINT = 2
    OTHER = 3


@enum.unique
class Request(enum.IntEnum):
    """bRequest of the standard requests (table 9-4)."""

    GET_STATUS = 0
    CLEAR_FEATURE = 1
    SET_FEATURE = 3
    SET_ADDRESS = 5
    GET_DESCRIPTOR = 6
    SET_DESCRIPTOR = 7
    GET_CONFIGURATION = 8
    SET_CONFIGURATION = 9
    GET_INTERFACE = 10
    SET_INTERFACE = 11
    SYNCH_FRAME = 12


@enum.unique
class Feature(enum.IntEnum):
    """Feature selectors (table 9-6)."""

    ENDPOINT_HALT = 0
    DEVICE_REMOTE_WAKEUP = 1
    TEST_MODE = 2


@enum.unique
class DescriptorType(enum.IntEnum):
    """bDescriptorType."""

    DEVICE = 1
    CONFIGURATION = 2
    STRING = 3
    INTERFACE = 4
    ENDPOINT = 5
    DEVICE_QUALIFIER = 6
    OTHER_SPEED_CONFIGURATION = 7
    INTERFACE_POWER = 8
    INTERFACE_ASSOCIATION = 11
    CCID = 0x21
    CS_INTERFACE = 0x24


@enum.unique
class DeviceClass(enum.IntEnum):
    """Class codes that the tokens' devices and interfaces have."""

    PER_INTERFACE = 0x00
    CDC = 0x02
    HID = 0x03
    CDC_DATA = 0x0A
    CCID = 0x0B
    MISCELLANEOUS = 0xEF
    VENDOR = 0xFF


@enum.unique
class TransferType(enum.IntEnum):
    """Bits 1 and 0 of an endpoint's bmAttributes."""

    CONTROL = 0
    ISOCHRONOUS = 1
    BULK = 2
    INTERRUPT = 3


@message
class SetupPacket(NamedTuple):
    """What a control transfer begins with (section 9.3)."""

    bmRequestType: int
    bRequest: int
    wValue: int
    wIndex: int
    wLength: int

    @property
    def is_in(self) -> bool:
        return bool(self.bmRequestType & IN)

    @property
    def kind(self) -> Kind:
        return Kind(self.bmRequestType >> 5 & 3)

    @property
    def recipient(self) -> int:
        """A Recipient, or a reserved number."""
        return self.bmRequestType & 0x1F

    def encode(self) -> bytes:
        try:
            return _SETUP.pack(*self)
        except struct.error as error:
            raise WireError(f"a SETUP packet: {error}") from None

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) != _SETUP.size:
            raise WireError(f"a SETUP packet has {_SETUP.size} bytes, not {len(data)}")
        return cls(*_SETUP.unpack(data))


def encode_string(text: str) -> bytes:
    """A string descriptor, UTF-16LE. Raises WireError for one that is too long or has half a surrogate pair."""
    try:
        raw = text.encode("utf-16-le")
    except UnicodeEncodeError:
        raise WireError("a string that UTF-16 cannot hold") from None
    if len(raw) > 2 * MAX_STRING:
        raise WireError(f"a string of {len(raw) // 2} UTF-16 units, over {MAX_STRING}")
    return bytes((2 + len(raw), DescriptorType.STRING)) + raw


def decode_string(data: bytes) -> str:
    """The inverse of encode_string. Raises WireError."""
    if len(data) < 2 or data[0] != len(data) or data[1] != DescriptorType.STRING or len(data) % 2:
        raise WireError(f"not a string descriptor: {len(data)} bytes")
    try:
        return data[2:].decode("utf-16-le")
    except UnicodeDecodeError:
        raise WireError("a string descriptor that is not UTF-16") from None


def encode_langids(*langids: int) -> bytes:
    """String descriptor 0: the languages that there are strings in."""
    return bytes((2 + 2 * len(langids), DescriptorType.STRING)) + struct.pack(f"<{len(langids)}H", *langids)
