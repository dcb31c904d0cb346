"""A USB device's transfers, masked: what describes the device stays, strings and everything unknown become filler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from provision.wire import WireError
from provision.wire.capture.mask_ccid import CcidMask
from provision.wire.capture.mask_line import LineMask
from provision.wire.capture.masking import hidden
from provision.wire.usb import IN, DescriptorType, DeviceClass, Kind, Request, SetupPacket, TransferType
from provision.wire.usb_descriptors import Configuration

_LANGUAGES = DescriptorType.STRING << 8  # wValue of the string descriptor that holds no string
# The longest bLength that is shown.
_DESCRIPTORS: dict[int, int] = {
    DescriptorType.DEVICE: 18,
    DescriptorType.CONFIGURATION: 9,
    DescriptorType.INTERFACE: 9,
    DescriptorType.ENDPOINT: 7,
    DescriptorType.DEVICE_QUALIFIER: 10,
    DescriptorType.OTHER_SPEED_CONFIGURATION: 9,
    DescriptorType.INTERFACE_ASSOCIATION: 8,
    DescriptorType.CCID: 54,
    DescriptorType.CS_INTERFACE: 5,
}
_LONGEST_LANGUAGES = 6  # bytes: two of them
_LINE_CODING = {(0x21, 0x20), (0x21, 0x21)}  # SET_LINE_CODING, GET_LINE_CODING (PSTN 1.2): of a class, to an interface
# What a device says by itself: CCID's NotifySlotChange (6.3.1), and CDC's SERIAL_STATE (PSTN 1.2 section 6.5.4) of any
# interface, whose last two bytes are the lines.
_SLOT_CHANGE = 0x50
_SERIAL_STATE = bytes.fromhex("a120000000000200")


class UsbMask:
    """One device. `configuration`: its descriptors, which say what its pipes carry. Where they cannot be read, and on
    pipes of another class, everything is hidden."""

    def __init__(self, configuration: bytes) -> None:
        try:
            self._pipes = dict(_pipes(Configuration.decode(configuration)))
        except WireError:
            self._pipes = {}

    def transfer(self, endpoint: int, data: bytes) -> bytes:
        """The data of a transfer, in the order in which they were submitted (OUT) or completed (IN)."""
        return self._pipes.get(endpoint, hidden)(data)

    def control(self, setup: SetupPacket, data: bytes) -> bytes:
        """The data stage that goes with `setup`."""
        if setup.kind is Kind.STANDARD:
            if setup.is_in and setup.bRequest == Request.GET_DESCRIPTOR:
                return data if setup.wValue == _LANGUAGES and len(data) <= _LONGEST_LANGUAGES else _descriptors(data)
            return data if len(data) <= 2 else hidden(data)  # a status, a configuration, an alternate setting
        if (setup.bmRequestType & ~IN, setup.bRequest) in _LINE_CODING and len(data) == 7 and not data[3]:
            return data  # bit rate (under 2^24), stop bits, parity, data bits
        return hidden(data)


def _pipes(configuration: Configuration) -> Iterator[tuple[int, Callable[[bytes], bytes]]]:
    line, reader = LineMask(), CcidMask()
    for interface in configuration.interfaces:
        for endpoint in configuration.endpoints(interface):
            address = endpoint.bEndpointAddress
            if endpoint.transfer_type is TransferType.INTERRUPT:
                yield address, _notification
            elif interface.bInterfaceClass == DeviceClass.CDC_DATA:
                yield address, line.piece_to_host if address & IN else line.piece_to_token
            elif interface.bInterfaceClass == DeviceClass.CCID:
                yield address, reader.to_host if address & IN else reader.to_token


def _notification(data: bytes) -> bytes:
    slot_change = len(data) == 2 and data[0] == _SLOT_CHANGE
    serial_state = len(data) == 10 and data[:4] + b"\0" + data[5:8] == _SERIAL_STATE
    return data if slot_change or serial_state else hidden(data)


def _descriptors(data: bytes) -> bytes:
    """Descriptors one behind the other, the last one perhaps cut short by wLength."""
    out, position = b"", 0
    while position + 2 <= len(data):
        length, kind = data[position], data[position + 1]
        if length < 2:
            break
        one = data[position : position + length]
        out += one if length <= _DESCRIPTORS.get(kind, 0) else one[:2] + hidden(one[2:])
        position += length
    return out + hidden(data[len(out) :])
