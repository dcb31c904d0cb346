"""USB/IP, protocol version 1.1.1: a USB device's transfers over a byte stream, both directions.

    operation   = version u16 | code u16 | status u32 | body            before a device is imported
    command     = code u32 | seqnum u32 | devid u32 | direction u32 | endpoint u32 | 28 bytes | payload

Integers are big-endian; SETUP packets and payloads pass as they are. Source: the Linux kernel's
Documentation/usb/usbip_protocol.rst. Isochronous transfers are not carried: no token has such an endpoint.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from provision.wire import WireError
from provision.wire.messages import message

VERSION = 0x0111
BUSID_SIZE = 32
PATH_SIZE = 256
MAX_TRANSFER = 1 << 18
"""Bytes of one transfer's payload. The kernel's own drivers ask for 16 KiB at most."""
MAX_DEVICES = 4096
"""Devices in one list: more than a fleet has, less than memory."""

HEADER_SIZE = 48
"""Bytes of every command and of every answer to one, before the payload."""
NOT_ISOCHRONOUS = 0xFFFFFFFF
"""`number_of_packets` of every transfer here; the kernel also writes 0."""
NO_SETUP = bytes(8)

_OPERATION = struct.Struct(">HHI")
OPERATION_SIZE = _OPERATION.size
"""Bytes of every operation before its body."""
_DEVICE = struct.Struct(">256s32sIIIHHHBBBBBB")
_INTERFACE = struct.Struct(">BBBx")
_SUBMIT = struct.Struct(">IIIIIIIIII8s")
_SUBMIT_REPLY = struct.Struct(">IIIIIiiIII8x")
_UNLINK = struct.Struct(">IIIIII24x")
_UNLINK_REPLY = struct.Struct(">IIIIIi24x")


@enum.unique
class Operation(enum.IntEnum):
    REQ_DEVLIST = 0x8005
    REP_DEVLIST = 0x0005
    REQ_IMPORT = 0x8003
    REP_IMPORT = 0x0003


@enum.unique
class Command(enum.IntEnum):
    SUBMIT = 1
    UNLINK = 2
    RET_SUBMIT = 3
    RET_UNLINK = 4


OUT, IN = 0, 1
"""A transfer's direction, as the header has it."""


@enum.unique
class Speed(enum.IntEnum):
    """enum usb_device_speed of the kernel."""

    UNKNOWN = 0
    LOW = 1
    FULL = 2
    HIGH = 3
    WIRELESS = 4
    SUPER = 5
    SUPER_PLUS = 6


@enum.unique
class Status(enum.IntEnum):
    """What an answer's status says: 0 or a negative Linux errno. Numbers that are not here pass too."""

    OK = 0
    NO_ENTRY = -2  # ENOENT
    NO_DEVICE = -19  # ENODEV
    STALL = -32  # EPIPE
    OVERFLOW = -75  # EOVERFLOW: more came than was asked for
    UNLINKED = -104  # ECONNRESET: a transfer that was taken back before it ended
    SHUTDOWN = -108  # ESHUTDOWN


@message
@dataclass(frozen=True, slots=True)
class DevlistRequest:
    """What do you export?"""

    def encode(self) -> bytes:
        return _OPERATION.pack(VERSION, Operation.REQ_DEVLIST, 0)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _operation(data, Operation.REQ_DEVLIST, 0)
        return cls()


@message
@dataclass(frozen=True, slots=True)
class ImportRequest:
    """Give me that device; commands follow on the same stream."""

    busid: str

    def encode(self) -> bytes:
        return _OPERATION.pack(VERSION, Operation.REQ_IMPORT, 0) + _encode_name(self.busid, BUSID_SIZE)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _operation(data, Operation.REQ_IMPORT, BUSID_SIZE)
        return cls(_decode_name(data[OPERATION_SIZE:]))


@message
@dataclass(frozen=True, slots=True)
class Device:
    """struct usbip_usb_device, 312 bytes; fields as the kernel's documentation spells them."""

    SIZE: ClassVar[int] = _DEVICE.size

    path: str
    busid: str
    busnum: int
    devnum: int
    speed: int
    idVendor: int
    idProduct: int
    bcdDevice: int
    bDeviceClass: int
    bDeviceSubClass: int
    bDeviceProtocol: int
    bConfigurationValue: int
    bNumConfigurations: int
    bNumInterfaces: int

    @property
    def devid(self) -> int:
        """What commands name the device by."""
        return self.busnum << 16 | self.devnum

    def encode(self) -> bytes:
        try:
            return _DEVICE.pack(
                _encode_name(self.path, PATH_SIZE),
                _encode_name(self.busid, BUSID_SIZE),
                self.busnum,
                self.devnum,
                self.speed,
                self.idVendor,
                self.idProduct,
                self.bcdDevice,
                self.bDeviceClass,
                self.bDeviceSubClass,
                self.bDeviceProtocol,
                self.bConfigurationValue,
                self.bNumConfigurations,
                self.bNumInterfaces,
            )
        except struct.error as error:
            raise WireError(f"a USB/IP device: {error}") from None

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) != cls.SIZE:
            raise WireError(f"a USB/IP device has {cls.SIZE} bytes, not {len(data)}")
        path, busid, *numbers = _DEVICE.unpack(data)
        return cls(_decode_name(path), _decode_name(busid), *numbers)


@message
@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A device as a list has it: with (class, subclass, protocol) of each of its interfaces."""

    device: Device
    interfaces: tuple[tuple[int, int, int], ...]

    def encode(self) -> bytes:
        if len(self.interfaces) != self.device.bNumInterfaces:
            raise WireError(f"{len(self.interfaces)} interfaces, and bNumInterfaces says {self.device.bNumInterfaces}")
        return self.device.encode() + b"".join(_INTERFACE.pack(*interface) for interface in self.interfaces)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        device = Device.decode(data[: Device.SIZE])
        if len(data) != Device.SIZE + device.bNumInterfaces * _INTERFACE.size:
            raise WireError(f"a listed device of {device.bNumInterfaces} interfaces in {len(data)} bytes")
        return cls(device, tuple(_INTERFACE.iter_unpack(data[Device.SIZE :])))


@message
@dataclass(frozen=True, slots=True)
class DevlistReply:
    devices: tuple[ListedDevice, ...]

    def encode(self) -> bytes:
        head = _OPERATION.pack(VERSION, Operation.REP_DEVLIST, 0) + len(self.devices).to_bytes(4, "big")
        return head + b"".join(device.encode() for device in self.devices)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _operation(data[:OPERATION_SIZE], Operation.REP_DEVLIST, 0)
        if len(data) != cls.size(data):
            raise WireError(f"a device list of {len(data)} bytes")
        devices, position = [], OPERATION_SIZE + 4
        while position < len(data):
            end = position + Device.SIZE + data[position + Device.SIZE - 1] * _INTERFACE.size
            devices.append(ListedDevice.decode(data[position:end]))
            position = end
        return cls(tuple(devices))

    @staticmethod
    def size(data: bytes | bytearray) -> int:
        """Of the list that `data` begins, as far as that much of it tells: never more than the whole has."""
        size = OPERATION_SIZE + 4
        if len(data) < size:
            return size
        count = int.from_bytes(data[OPERATION_SIZE:size], "big")
        if count > MAX_DEVICES:
            raise WireError(f"a list of {count} devices, over {MAX_DEVICES}")
        while count and len(data) >= size + Device.SIZE:
            size += Device.SIZE + data[size + Device.SIZE - 1] * _INTERFACE.size
            count -= 1
        return size + count * Device.SIZE


@message
@dataclass(frozen=True, slots=True)
class ImportReply:
    """`device` None: refused; `status` then is not 0 (1: no such device or in use, by usbipd's habit)."""

    status: int
    device: Device | None

    def encode(self) -> bytes:
        if (self.status == 0) != (self.device is not None):
            raise WireError("an import reply has a device or a reason why not")
        head = _OPERATION.pack(VERSION, Operation.REP_IMPORT, self.status)
        return head if self.device is None else head + self.device.encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) < OPERATION_SIZE:
            raise WireError(f"an import reply of {len(data)} bytes")
        status = _OPERATION.unpack_from(data)[2]
        _operation(data, Operation.REP_IMPORT, 0 if status else Device.SIZE, status=status)
        return cls(status, None if status else Device.decode(data[OPERATION_SIZE:]))


@message
class Submit(NamedTuple):
    """A transfer that the host asks for (a named tuple: there is one for every 64 bytes).

    `length`: bytes to send, or to receive at most. `setup`: on endpoint 0 the SETUP packet. `data`: what an OUT
    transfer sends.
    """

    seqnum: int
    devid: int
    direction: int
    endpoint: int
    length: int
    setup: bytes = NO_SETUP
    data: bytes = b""
    flags: int = 0
    interval: int = 0

    def __repr__(self) -> str:
        way = "IN" if self.direction == IN else "OUT"
        return f"Submit({self.seqnum}, {way} {self.endpoint}, {self.length} bytes, {len(self.data)} hidden)"

    def encode(self) -> bytes:
        if len(self.data) != (0 if self.direction == IN else self.length):
            raise WireError(f"a transfer of {self.length} bytes with {len(self.data)} of data")
        if len(self.setup) != len(NO_SETUP):
            raise WireError(f"a SETUP packet of {len(self.setup)} bytes")
        try:
            head = _SUBMIT.pack(
                Command.SUBMIT,
                self.seqnum,
                self.devid,
                self.direction,
                self.endpoint,
                self.flags,
                self.length,
                0,
                NOT_ISOCHRONOUS,
                self.interval,
                self.setup,
            )
        except struct.error as error:
            raise WireError(f"a USB/IP transfer: {error}") from None
        return head + self.data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        return cls(*_submit_fields(data))


@message
class SubmitReply(NamedTuple):
    """How a transfer ended. `actual_length`: bytes that moved; `data`: what an IN transfer brought.

    The header does not say which way the transfer went: the host remembers it by `seqnum`.
    """

    seqnum: int
    status: int
    actual_length: int
    data: bytes = b""

    def __repr__(self) -> str:
        return f"SubmitReply({self.seqnum}, {self.status}, {self.actual_length} bytes, {len(self.data)} hidden)"

    def encode(self) -> bytes:
        if self.data and len(self.data) != self.actual_length:
            raise WireError(f"a transfer that moved {self.actual_length} bytes with {len(self.data)} of data")
        try:
            head = _SUBMIT_REPLY.pack(
                Command.RET_SUBMIT, self.seqnum, 0, 0, 0, self.status, self.actual_length, 0, NOT_ISOCHRONOUS, 0
            )
        except struct.error as error:
            raise WireError(f"a USB/IP answer: {error}") from None
        return head + self.data

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """`data`: header and payload; an OUT transfer's answer has none."""
        seqnum, status, actual = _submit_reply_fields(data)
        payload = data[HEADER_SIZE:]
        if payload and len(payload) != actual:
            raise WireError(f"a transfer that moved {actual} bytes with {len(payload)} of data")
        return cls(seqnum, status, actual, payload)


@message
class Unlink(NamedTuple):
    """The host takes the transfer `target` back."""

    seqnum: int
    devid: int
    target: int

    def encode(self) -> bytes:
        try:
            return _UNLINK.pack(Command.UNLINK, self.seqnum, self.devid, 0, 0, self.target)
        except struct.error as error:
            raise WireError(f"a USB/IP unlink: {error}") from None

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _, seqnum, devid, _, _, target = _unpack(_UNLINK, data, Command.UNLINK)
        return cls(seqnum, devid, target)


@message
class UnlinkReply(NamedTuple):
    """`status` UNLINKED: it was taken back and will not be answered; OK: it had been answered already."""

    seqnum: int
    status: int

    def encode(self) -> bytes:
        try:
            return _UNLINK_REPLY.pack(Command.RET_UNLINK, self.seqnum, 0, 0, 0, self.status)
        except struct.error as error:
            raise WireError(f"a USB/IP answer: {error}") from None

    @classmethod
    def decode(cls, data: bytes) -> Self:
        _, seqnum, _, _, _, status = _unpack(_UNLINK_REPLY, data, Command.RET_UNLINK)
        return cls(seqnum, status)


def _operation(data: bytes, code: Operation, size: int, status: int = 0) -> None:
    """Check an operation's head and the size of its body."""
    if len(data) != OPERATION_SIZE + size:
        raise WireError(f"{code.name} has {OPERATION_SIZE + size} bytes, not {len(data)}")
    version, found, said = _OPERATION.unpack_from(data)
    if version != VERSION:
        raise WireError(f"USB/IP version {version:04x}, not {VERSION:04x}")
    if found != code:
        raise WireError(f"USB/IP operation {found:04x}, not {code.name}")
    if said != status:
        raise WireError(f"{code.name} with status {said}")


def _unpack(layout: struct.Struct, data: bytes | bytearray, code: Command) -> tuple[int, ...]:
    if len(data) != HEADER_SIZE:
        raise WireError(f"{code.name} has {HEADER_SIZE} bytes, not {len(data)}")
    fields = layout.unpack(data)
    if fields[0] != code:
        raise WireError(f"USB/IP command {fields[0]}, not {code.name}")
    return fields


def _submit_fields(data: bytes) -> tuple[int, int, int, int, int, bytes, bytes, int, int]:
    """A Submit's fields from its bytes."""
    if len(data) < HEADER_SIZE:
        raise WireError(f"SUBMIT has {HEADER_SIZE} bytes or more, not {len(data)}")
    code, seqnum, devid, direction, endpoint, flags, length, _, packets, interval, setup = _SUBMIT.unpack_from(data)
    if code != Command.SUBMIT:
        raise WireError(f"USB/IP command {code}, not SUBMIT")
    if direction > IN or endpoint > 15:
        raise WireError(f"a transfer in direction {direction} on endpoint {endpoint}")
    if 0 < packets < 0x80000000:
        raise WireError("an isochronous transfer")
    payload = data[HEADER_SIZE:]
    if len(payload) != (0 if direction == IN else length):
        raise WireError(f"a transfer of {length} bytes with {len(payload)} of data")
    return seqnum, devid, direction, endpoint, length, setup, payload, flags, interval


def _submit_reply_fields(data: bytes | bytearray) -> tuple[int, int, int]:
    """seqnum, status, actual length."""
    if len(data) < HEADER_SIZE:
        raise WireError(f"RET_SUBMIT has {HEADER_SIZE} bytes or more, not {len(data)}")
    code, seqnum, _, _, _, status, actual, *_ = _SUBMIT_REPLY.unpack_from(data)
    if code != Command.RET_SUBMIT:
        raise WireError(f"USB/IP command {code}, not RET_SUBMIT")
    if actual < 0:
        raise WireError(f"a transfer of {actual} bytes")
    return seqnum, status, actual


def _encode_name(text: str, size: int) -> bytes:
    """Printable ASCII, padded with zeros, at least one of them."""
    if not text.isascii() or not text.isprintable() or len(text) >= size:
        raise WireError(f"a USB/IP name has up to {size - 1} printable ASCII characters")
    return text.encode("ascii").ljust(size, b"\0")


def _decode_name(raw: bytes) -> str:
    name, _, rest = raw.partition(b"\0")
    if len(name) == len(raw):
        raise WireError("a USB/IP name without its end")
    if rest.strip(b"\0") or not name.isascii() or not name.decode("ascii").isprintable():
        raise WireError("a USB/IP name with something else in it")
    return name.decode("ascii")
