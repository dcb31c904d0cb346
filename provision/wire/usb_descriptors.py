"""USB descriptors, built and read.

Fields are spelled as in the specifications: USB 2.0 chapter 9, CDC 1.2 and its subclass PSTN 1.2 for the serial line,
CCID 1.1 for the reader. Integers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import ClassVar, Self

from provision.wire import WireError
from provision.wire.messages import message
from provision.wire.usb import DescriptorType, TransferType


@dataclass(frozen=True, slots=True)
class _Descriptor:
    """bLength u8 | the prefix (bDescriptorType u8, for some bDescriptorSubtype u8) | the fields, as in `_layout`."""

    _prefix: ClassVar[bytes]
    _layout: ClassVar[struct.Struct]

    def encode(self) -> bytes:
        try:
            body = self._layout.pack(*(getattr(self, field.name) for field in fields(self)))
        except struct.error as error:
            raise WireError(f"{type(self).__name__}: {error}") from None
        return bytes((1 + len(self._prefix) + len(body),)) + self._prefix + body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises WireError. Bytes that a later version of the specification added at the end are not read."""
        start = 1 + len(cls._prefix)
        least = start + cls._layout.size
        if len(data) < least or data[0] != len(data):
            raise WireError(f"{cls.__name__} has {least} bytes or more, as its bLength says, not {len(data)}")
        if data[1:start] != cls._prefix:
            raise WireError(f"not a {cls.__name__}")
        return cls(*cls._layout.unpack_from(data, start))


@message
@dataclass(frozen=True, slots=True)
class DeviceDescriptor(_Descriptor):
    """18 bytes (table 9-8)."""

    _prefix = bytes((DescriptorType.DEVICE,))
    _layout = struct.Struct("<HBBBBHHHBBBB")

    bcdUSB: int
    bDeviceClass: int
    bDeviceSubClass: int
    bDeviceProtocol: int
    bMaxPacketSize0: int
    idVendor: int
    idProduct: int
    bcdDevice: int
    iManufacturer: int
    iProduct: int
    iSerialNumber: int
    bNumConfigurations: int


@message
@dataclass(frozen=True, slots=True)
class ConfigurationDescriptor(_Descriptor):
    """9 bytes (table 9-10); wTotalLength counts what follows too. bMaxPower in 2 mA."""

    _prefix = bytes((DescriptorType.CONFIGURATION,))
    _layout = struct.Struct("<HBBBBB")

    wTotalLength: int
    bNumInterfaces: int
    bConfigurationValue: int
    iConfiguration: int
    bmAttributes: int
    bMaxPower: int


@message
@dataclass(frozen=True, slots=True)
class InterfaceAssociation(_Descriptor):
    """8 bytes (USB ECN "Interface Association Descriptor"): interfaces that are one function."""

    _prefix = bytes((DescriptorType.INTERFACE_ASSOCIATION,))
    _layout = struct.Struct("<BBBBBB")

    bFirstInterface: int
    bInterfaceCount: int
    bFunctionClass: int
    bFunctionSubClass: int
    bFunctionProtocol: int
    iFunction: int


@message
@dataclass(frozen=True, slots=True)
class InterfaceDescriptor(_Descriptor):
    """9 bytes (table 9-12)."""

    _prefix = bytes((DescriptorType.INTERFACE,))
    _layout = struct.Struct("<BBBBBBB")

    bInterfaceNumber: int
    bAlternateSetting: int
    bNumEndpoints: int
    bInterfaceClass: int
    bInterfaceSubClass: int
    bInterfaceProtocol: int
    iInterface: int


@message
@dataclass(frozen=True, slots=True)
class EndpointDescriptor(_Descriptor):
    """7 bytes (table 9-13). bInterval at full speed in milliseconds."""

    _prefix = bytes((DescriptorType.ENDPOINT,))
    _layout = struct.Struct("<BBHB")

    bEndpointAddress: int
    bmAttributes: int
    wMaxPacketSize: int
    bInterval: int

    @property
    def transfer_type(self) -> TransferType:
        return TransferType(self.bmAttributes & 3)


@message
@dataclass(frozen=True, slots=True)
class CdcHeader(_Descriptor):
    """5 bytes (CDC 1.2 table 15)."""

    _prefix = bytes((DescriptorType.CS_INTERFACE, 0x00))
    _layout = struct.Struct("<H")

    bcdCDC: int


@message
@dataclass(frozen=True, slots=True)
class CdcCallManagement(_Descriptor):
    """5 bytes (PSTN 1.2 table 3)."""

    _prefix = bytes((DescriptorType.CS_INTERFACE, 0x01))
    _layout = struct.Struct("<BB")

    bmCapabilities: int
    bDataInterface: int


@message
@dataclass(frozen=True, slots=True)
class CdcAcm(_Descriptor):
    """4 bytes (PSTN 1.2 table 4). Bit 1: it takes line coding and control lines; bit 2: it takes SEND_BREAK."""

    _prefix = bytes((DescriptorType.CS_INTERFACE, 0x02))
    _layout = struct.Struct("<B")

    bmCapabilities: int


@message
@dataclass(frozen=True, slots=True)
class CdcUnion(_Descriptor):
    """5 bytes (CDC 1.2 table 16): the interfaces of one line."""

    _prefix = bytes((DescriptorType.CS_INTERFACE, 0x06))
    _layout = struct.Struct("<BB")

    bControlInterface: int
    bSubordinateInterface0: int


@message
@dataclass(frozen=True, slots=True)
class CcidDescriptor(_Descriptor):
    """54 bytes (CCID 1.1 section 5.1)."""

    _prefix = bytes((DescriptorType.CCID,))
    _layout = struct.Struct("<HBBIIIBIIBIIIIIBBHBB")

    bcdCCID: int
    bMaxSlotIndex: int
    bVoltageSupport: int
    dwProtocols: int
    dwDefaultClock: int
    dwMaximumClock: int
    bNumClockSupported: int
    dwDataRate: int
    dwMaxDataRate: int
    bNumDataRatesSupported: int
    dwMaxIFSD: int
    dwSynchProtocols: int
    dwMechanical: int
    dwFeatures: int
    dwMaxCCIDMessageLength: int
    bClassGetResponse: int
    bClassEnvelope: int
    wLcdLayout: int
    bPINSupport: int
    bMaxCCIDBusySlots: int


@message
@dataclass(frozen=True, slots=True)
class UnknownDescriptor:
    """Any other descriptor, whole: `raw` has its bLength and bDescriptorType too."""

    raw: bytes

    def encode(self) -> bytes:
        self.decode(self.raw)
        return self.raw

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) < 2 or data[0] != len(data):
            raise WireError(f"a descriptor of {len(data)} bytes with another bLength")
        return cls(data)


Descriptor = (
    InterfaceAssociation
    | InterfaceDescriptor
    | EndpointDescriptor
    | CdcHeader
    | CdcCallManagement
    | CdcAcm
    | CdcUnion
    | CcidDescriptor
    | UnknownDescriptor
)
"""What stands behind a ConfigurationDescriptor."""

_BY_PREFIX: dict[bytes, type[Descriptor]] = {
    kind._prefix: kind
    for kind in (
        InterfaceAssociation,
        InterfaceDescriptor,
        EndpointDescriptor,
        CdcHeader,
        CdcCallManagement,
        CdcAcm,
        CdcUnion,
        CcidDescriptor,
    )
}


@message
@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration descriptor and all that follows it, as GET_DESCRIPTOR gives them.

    `header.wTotalLength` has to be right: `of` counts it.
    """

    header: ConfigurationDescriptor
    descriptors: tuple[Descriptor, ...]

    @classmethod
    def of(cls, descriptors: tuple[Descriptor, ...], *, bmAttributes: int, bMaxPower: int) -> Self:
        """The only configuration of a device, number 1, without a name."""
        interfaces = {one.bInterfaceNumber for one in descriptors if isinstance(one, InterfaceDescriptor)}
        total = 9 + sum(len(one.encode()) for one in descriptors)
        return cls(ConfigurationDescriptor(total, len(interfaces), 1, 0, bmAttributes, bMaxPower), descriptors)

    def encode(self) -> bytes:
        raw = self.header.encode() + b"".join(one.encode() for one in self.descriptors)
        if len(raw) != self.header.wTotalLength:
            raise WireError(f"a configuration of {len(raw)} bytes, and wTotalLength says {self.header.wTotalLength}")
        return raw

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises WireError. A descriptor of a kind known here that breaks its rule is an error, one that is not known
        is kept as it is."""
        parts = list(split_descriptors(data))
        if not parts:
            raise WireError("an empty configuration")
        header = ConfigurationDescriptor.decode(parts[0])
        if header.wTotalLength != len(data):
            raise WireError(f"a configuration of {len(data)} bytes, and wTotalLength says {header.wTotalLength}")
        return cls(header, tuple(_decode_descriptor(part) for part in parts[1:]))

    @property
    def interfaces(self) -> tuple[InterfaceDescriptor, ...]:
        """In their order, alternate settings too."""
        return tuple(one for one in self.descriptors if isinstance(one, InterfaceDescriptor))

    def behind(self, interface: InterfaceDescriptor) -> tuple[Descriptor, ...]:
        """What belongs to an interface: the descriptors up to the next interface or association."""
        start = self.descriptors.index(interface) + 1
        found = []
        for one in self.descriptors[start:]:
            if isinstance(one, InterfaceDescriptor | InterfaceAssociation):
                break
            found.append(one)
        return tuple(found)

    def endpoints(self, interface: InterfaceDescriptor) -> tuple[EndpointDescriptor, ...]:
        return tuple(one for one in self.behind(interface) if isinstance(one, EndpointDescriptor))


def split_descriptors(data: bytes) -> list[bytes]:
    """Descriptors that stand one behind the other. Raises WireError when a bLength does not fit."""
    found, position = [], 0
    while position < len(data):
        length = data[position]
        if length < 2 or position + length > len(data):
            raise WireError(f"a descriptor of {length} bytes where {len(data) - position} are left")
        found.append(data[position : position + length])
        position += length
    return found


def _decode_descriptor(raw: bytes) -> Descriptor:
    kind = _BY_PREFIX.get(raw[1:2]) or _BY_PREFIX.get(raw[1:3]) or UnknownDescriptor
    return kind.decode(raw)
