"""The blocks of a pcapng file, little-endian (draft-ietf-opsawg-pcapng sections 3 and 4).

A file is a Section Header Block, an Interface Description Block for each wire, and an Enhanced Packet Block for each
packet, in any order that names an interface before it is used. Neither host names nor hardware are told.
"""

from __future__ import annotations

import enum
import struct

_SECTION_HEADER, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_LENGTH_UNKNOWN = 0xFFFFFFFFFFFFFFFF  # of a section that is written while things happen

_END_OF_OPTIONS, _SHB_APPLICATION, _IF_NAME, _IF_TSRESOL, _EPB_FLAGS = 0, 4, 2, 9, 2
_MICROSECONDS = b"\x06"  # if_tsresol: 10^-6 s; the clock seams are about as fine


@enum.unique
class Direction(enum.IntEnum):
    """Of a packet, seen from the host (epb_flags, bits 0 and 1)."""

    TO_HOST = 1  # inbound
    TO_TOKEN = 2  # outbound


def section_header(application: str) -> bytes:
    """Begins a file. `application`: the name of the program that writes it."""
    body = struct.pack("<IHHQ", _BYTE_ORDER_MAGIC, 1, 0, _LENGTH_UNKNOWN)
    return _block(_SECTION_HEADER, body + _options((_SHB_APPLICATION, application.encode())))


def interface(link_type: int, name: str) -> bytes:
    """A wire. The first one of a file is interface 0, the next 1, and so on."""
    body = struct.pack("<HHI", link_type, 0, 0)
    return _block(_INTERFACE, body + _options((_IF_NAME, name.encode()), (_IF_TSRESOL, _MICROSECONDS)))


def packet(number: int, time_s: float, direction: Direction, data: bytes) -> bytes:
    """What passed on interface `number` at `time_s` (Unix seconds UTC, not before 1970)."""
    microseconds = round(time_s * 1_000_000)
    head = struct.pack("<IIIII", number, microseconds >> 32, microseconds & 0xFFFFFFFF, len(data), len(data))
    return _block(_ENHANCED_PACKET, head + _padded(data) + _options((_EPB_FLAGS, struct.pack("<I", direction))))


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _options(*options: tuple[int, bytes]) -> bytes:
    encoded = b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options)
    return encoded + struct.pack("<HH", _END_OF_OPTIONS, 0)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
