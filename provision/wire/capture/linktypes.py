"""What a packet looks like on each kind of wire. Every type is registered at www.tcpdump.org/linktypes.html, so that
Wireshark opens it as it comes.

| wire | link type | a packet is |
|---|---|---|
| serial line, tcp | LINKTYPE_RTAC_SERIAL | bytes, sent or received |
| PC/SC and other ways of whole APDUs | LINKTYPE_WIRESHARK_UPPER_PDU, for Wireshark's `iso7816` | an APDU |
| USB | LINKTYPE_USB_LINUX_MMAPPED, that of usbmon | an URB, submitted or completed |
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass

from provision.wire.capture.pcapng import Direction
from provision.wire.usb import IN


@enum.unique
class LinkType(enum.IntEnum):
    USB_LINUX_MMAPPED = 220
    RTAC_SERIAL = 250
    WIRESHARK_UPPER_PDU = 252


def serial_packet(direction: Direction, time_s: float, data: bytes) -> bytes:
    """seconds u32 | microseconds u32 | event u8 (1 DATA_TX_START, 2 DATA_RX_START) | line state u8 | 0000 | bytes.

    Big-endian. The lines are all told as idle: nobody looked at them.
    """
    seconds, microseconds = divmod(round(time_s * 1_000_000), 1_000_000)
    event = 1 if direction is Direction.TO_TOKEN else 2
    return struct.pack(">IIBBH", seconds & 0xFFFFFFFF, microseconds, event, 0, 0) + data


_DISSECTOR_NAME, _P2P_DIRECTION, _END_OF_TAGS = 12, 35, 0  # Wireshark's wsutil/exported_pdu_tlvs.h
_P2P_SENT, _P2P_RECEIVED = 0, 1


def apdu_packet(direction: Direction, apdu: bytes) -> bytes:
    """Tags {tag u16 | length u16 | value} that name the dissector and the direction, then the APDU. Big-endian."""
    p2p = _P2P_SENT if direction is Direction.TO_TOKEN else _P2P_RECEIVED
    return (
        struct.pack(">HH8s", _DISSECTOR_NAME, 8, b"iso7816")  # a length of whole words, filled up with zeros
        + struct.pack(">HHI", _P2P_DIRECTION, 4, p2p)
        + struct.pack(">HH", _END_OF_TAGS, 0)
        + apdu
    )


@enum.unique
class Transfer(enum.IntEnum):
    """The kind of an URB, as usbmon numbers them."""

    ISOCHRONOUS = 0
    INTERRUPT = 1
    CONTROL = 2
    BULK = 3


IN_PROGRESS = -115  # -EINPROGRESS: the status of an URB that was only submitted


@dataclass(frozen=True, slots=True)
class UrbEvent:
    """One line of usbmon: an URB `b"S"`ubmitted or `b"C"`ompleted.

    `setup`: the 8 bytes of a control transfer, in its submission only. `length`: the bytes that are wanted (S) or
    went over (C). `data`: those that went over, where this event has them: of OUT the submission, of IN the completion.
    """

    event: bytes
    urb: int
    transfer: Transfer
    endpoint: int
    bus: int
    device: int
    status: int
    length: int
    setup: bytes = b""
    data: bytes = b""


def usb_packet(event: UrbEvent, time_s: float) -> bytes:
    """The 64 bytes of usbmon's mon_bin_hdr (Documentation/usb/usbmon.rst), then the data. Little-endian."""
    seconds, microseconds = divmod(round(time_s * 1_000_000), 1_000_000)
    return (
        struct.pack(
            "<QcBBBHccqiiII8siiII",
            event.urb,
            event.event,
            event.transfer,
            event.endpoint,
            event.device,
            event.bus,
            b"\0" if event.setup else b"-",
            b"\0" if event.data else (b"<" if event.endpoint & IN else b">"),
            seconds,
            microseconds,
            event.status,
            len(event.data) or event.length,  # a frame that was stuffed anew may be longer than the one that passed
            len(event.data),
            event.setup,
            0,  # interval
            0,  # start frame
            0,  # transfer flags
            0,  # isochronous descriptors
        )
        + event.data
    )
