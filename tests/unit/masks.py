"""What the tests of a capture's masks share: what passes on the wires, and masks that know where they are."""

from __future__ import annotations

from hypothesis import strategies as st

from provision.wire import framing, oath, reference, tlv
from provision.wire.apdu import Command, decode_command, encode_command
from provision.wire.capture.mask_apdu import ApduMask
from provision.wire.capture.mask_usb import UsbMask
from provision.wire.usb import DeviceClass, SetupPacket, TransferType
from provision.wire.usb_descriptors import Configuration, EndpointDescriptor, InterfaceDescriptor

SELECT_OATH = encode_command(Command(0, 0xA4, 4, 0, oath.OATH_AID, 256))
SELECT_MANAGEMENT = encode_command(Command(0, 0xA4, 4, 0, reference.MANAGEMENT_AID, 256))
SELECTED = tlv.encode(0x79, b"\x05\x07\x00") + tlv.encode(0x71, b"deviceid") + b"\x90\x00"

octets = st.integers(0, 255)
commands = st.builds(
    Command,
    octets,
    octets | st.sampled_from([*oath.Ins, *reference.Ins, 0x50]),
    octets,
    octets,
    st.binary(max_size=300),
    st.none() | st.integers(1, 65536),
    st.booleans(),
).map(encode_command)
frames = st.builds(framing.Frame, octets, octets, st.integers(0, 2**32 - 1), st.binary(max_size=600))


def selected(aid_command: bytes = SELECT_OATH) -> ApduMask:
    mask = ApduMask()
    mask.command(aid_command)
    mask.response(b"\x90\x00")
    return mask


def exchange(mask: ApduMask, command: Command, response: bytes = b"\x90\x00") -> tuple[Command, bytes]:
    return decode_command(mask.command(encode_command(command))), mask.response(response)


# A line on 01 and 81, which notifies on 82; a reader on 03 and 83.
CONFIGURATION = Configuration.of(
    (
        InterfaceDescriptor(0, 0, 1, DeviceClass.CDC, 2, 0, 0),
        EndpointDescriptor(0x82, TransferType.INTERRUPT, 16, 10),
        InterfaceDescriptor(1, 0, 2, DeviceClass.CDC_DATA, 0, 0, 0),
        EndpointDescriptor(0x01, TransferType.BULK, 64, 0),
        EndpointDescriptor(0x81, TransferType.BULK, 64, 0),
        InterfaceDescriptor(2, 0, 2, DeviceClass.CCID, 0, 0, 0),
        EndpointDescriptor(0x03, TransferType.BULK, 64, 0),
        EndpointDescriptor(0x83, TransferType.BULK, 64, 0),
        InterfaceDescriptor(3, 0, 1, DeviceClass.VENDOR, 0, 0, 0),
        EndpointDescriptor(0x05, TransferType.BULK, 64, 0),
    ),
    bmAttributes=0x80,
    bMaxPower=25,
).encode()


def control(mask: UsbMask, setup: str, data: bytes) -> bytes:
    return mask.control(SetupPacket.decode(bytes.fromhex(setup)), data)
