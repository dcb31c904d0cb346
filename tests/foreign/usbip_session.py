"""PyPI usbip's host API as the host, in the lane's own virtual environment: `usbip_session.py --usbip PORT`.

Prints a line a step and raises on the first that goes wrong. The specifications are USB 2.0, CDC 1.2 and CCID 1.1.
"""

from __future__ import annotations

import argparse

import usbip
from reference_protocol import HELLO, HELLO_REPLY, Frame, decode_frame, encode_frame
from usbip.host import list_devices
from usbip_reader import (
    CONTINUE,
    DATA_BLOCK,
    ESCAPE,
    ESCAPE_REPLY,
    FIRST,
    INTERRUPT_IN,
    LAST,
    MIDDLE,
    POWER_OFF,
    PRODUCT,
    SLOT_STATUS,
    SLOT_STATUS_REPLY,
    VENDOR,
    XFR_BLOCK,
    Reader,
)

SELECT = bytes.fromhex("00A4040007A0000005272101")
SERIAL_OUT, SERIAL_IN = 0x02, 0x82


def stalls(handle: usbip.Handle, *request: int) -> bool:
    try:
        handle.control(*request, 64 if request[0] & 0x80 else b"")
    except usbip.Stall:
        return True
    return False


def enumerate_it(port: int) -> None:
    (listed,) = list_devices(usbip.USBIP("127.0.0.1", port))
    assert (listed["idVendor"], listed["idProduct"], listed["busid"]) == (VENDOR, PRODUCT, "1-1")
    assert [interface[0] for interface in listed["interfaces"]] == [0x02, 0x0A, 0x0B]
    print("listed")


def describe(handle: usbip.Handle) -> None:
    device = handle.device_descriptor
    assert (device.bcdUSB, device.bDeviceClass, device.bMaxPacketSize0) == (0x0200, 0xEF, 64)
    texts = []
    for index in (device.iManufacturer, device.iProduct, device.iSerialNumber):
        raw = handle.control(0x80, 6, 0x0300 | index, 0x0409, 255)
        assert raw[0] == len(raw) and raw[1] == 3
        texts.append(raw[2:].decode("utf-16-le"))
    assert texts[:2] == ["hwtoken", "hwtoken reference token"] and texts[2].startswith("SIM")
    head = handle.control(0x80, 6, 0x0200, 0, 9)
    whole = handle.control(0x80, 6, 0x0200, 0, int.from_bytes(head[2:4], "little"))
    kinds, position = [], 0
    while position < len(whole):
        kinds.append(whole[position + 1])
        position += whole[position]
    assert position == len(whole)
    assert kinds == [2, 11, 4, 0x24, 0x24, 0x24, 0x24, 5, 4, 5, 5, 4, 0x21, 5, 5, 5]
    print("described: strings, and every descriptor where it belongs")


def refuse(handle: usbip.Handle) -> None:
    assert stalls(handle, 0x80, 6, 0x0600, 0), "a device qualifier at full speed only"
    assert stalls(handle, 0x80, 0x55, 0, 0), "no such request"
    assert stalls(handle, 0xC0, 1, 0, 0), "no vendor's request"
    assert stalls(handle, 0x00, 9, 7, 0), "no such configuration"
    assert handle.control(0x80, 0, 0, 0, 2) == b"\0\0"
    handle.control(0x02, 3, 0, 0x83, b"")
    try:
        handle.bulk_in(0x83, 64)
    except usbip.Stall:
        handle.clear_halt(0x83)
    else:
        raise AssertionError("a halted endpoint answers")
    print("refused what it does not have; halted and cleared")


def speak(handle: usbip.Handle) -> None:
    handle.control(0x21, 0x20, 0, 0, bytes.fromhex("00C20100000008"))
    assert handle.control(0xA1, 0x21, 0, 0, 7) == bytes.fromhex("00C20100000008")
    handle.control(0x21, 0x22, 3, 0, b"")
    handle.bulk_out(SERIAL_OUT, encode_frame(Frame(HELLO, 0, 0x5E551014, b"\x01")))
    reply = decode_frame(handle.bulk_in(SERIAL_IN, 4096)[:-1])
    assert (reply.kind, reply.session) == (HELLO_REPLY, 0x5E551014)
    print("spoken to on its serial line")


def read_card(reader: Reader) -> None:
    assert reader.handle.interrupt_in(INTERRUPT_IN, 8) == b"\x50\x03"
    assert reader.command(SLOT_STATUS)[:4] == (SLOT_STATUS_REPLY, 1, 0, 1)
    assert reader.power_on().hex() == "3b8780016877746f6b656e62"
    whole = reader.exchange(SELECT)
    assert whole.endswith(b"\x90\x00")
    for level, part in ((FIRST, SELECT[:3]), (MIDDLE, SELECT[3:7])):
        assert reader.command(XFR_BLOCK, part, bytes((0, level, 0))) == (DATA_BLOCK, 0, 0, CONTINUE, b"")
    assert reader.command(XFR_BLOCK, SELECT[7:], bytes((0, LAST, 0))) == (DATA_BLOCK, 0, 0, 0, whole)
    assert reader.command(ESCAPE, b"x")[:3] == (ESCAPE_REPLY, 0x40, 0)
    assert reader.command(POWER_OFF)[:4] == (SLOT_STATUS_REPLY, 1, 0, 1)
    print("its card: power, APDUs whole and in parts")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--usbip", type=int, required=True)
    port = parser.parse_args().usbip
    enumerate_it(port)
    reader = Reader(port)
    describe(reader.handle)
    refuse(reader.handle)
    speak(reader.handle)
    read_card(reader)
    reader.close()
