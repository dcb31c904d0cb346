"""Frames on a byte stream: COBS, zero-delimited, with a kind, a sequence number, a session and a CRC.

    frame   = COBS(body) 00
    body    = kind u8 | sequence u8 | session u32 | payload | CRC-32 u32        (integers big-endian)

COBS (Cheshire & Baker 1999) leaves no zero inside a frame, so after any noise the next zero resynchronises. The CRC
is the one of zlib and IEEE 802.3. docs/PROTOCOL.md section 2 gives the rules of a session; this module only the bytes.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from provision.wire import WireError

MAX_PAYLOAD = 4096  # bytes: an extended APDU with the longest credential, and room
PROTOCOL_VERSION = 1

_HEAD = struct.Struct(">BBI")
_TAIL = struct.Struct(">I")
_OVERHEAD = _HEAD.size + _TAIL.size
# COBS adds one byte per started run of 254; without the delimiter.
MAX_ENCODED = MAX_PAYLOAD + _OVERHEAD + (MAX_PAYLOAD + _OVERHEAD) // 254 + 1


@enum.unique
class Kind(enum.IntEnum):
    HELLO = 0x01  # host: payload = protocol version u8; session = the host's nonce
    APDU = 0x02  # host: payload = command APDU
    HELLO_REPLY = 0x81  # device: payload = HelloReply
    APDU_REPLY = 0x82  # device: payload = response APDU
    PENDING = 0x83  # device: payload = Pending; the reply comes later
    ERROR = 0x84  # device: payload = ErrorReply


@enum.unique
class FrameErrorCode(enum.IntEnum):
    CORRUPT = 1  # not COBS, too short, too long, or CRC wrong; sequence and session are 0
    NO_SESSION = 2  # no HELLO since power-up or since the line opened, or another session's number
    SEQUENCE = 3  # the last number again with other bytes, or a number out of order
    UNKNOWN_KIND = 4
    VERSION = 5  # the HELLO asked for a protocol version that the device does not speak
    BUSY = 6  # a reply is still pending (touch); only HELLO is accepted


@enum.unique
class PendingReason(enum.IntEnum):
    TOUCH = 1


class Frame(NamedTuple):
    """A frame that decoded. `kind` stays a number: an unknown one must survive to be answered."""

    kind: int
    sequence: int
    session: int
    payload: bytes

    def __repr__(self) -> str:
        return f"Frame({self.kind:02X}, {self.sequence}, {self.session:08X}, {len(self.payload)} bytes hidden)"


@dataclass(frozen=True, slots=True)
class BadFrame:
    """Bytes between two delimiters that are no frame. `reason` names the broken rule."""

    reason: str


@dataclass(frozen=True, slots=True)
class HelloReply:
    """version u8 | boot id 8 bytes | longest APDU u16."""

    version: int
    boot_id: bytes
    max_apdu: int

    def encode(self) -> bytes:
        return struct.pack(">B8sH", self.version, self.boot_id, self.max_apdu)

    @classmethod
    def decode(cls, payload: bytes) -> HelloReply:
        if len(payload) != 11:
            raise WireError(f"a HELLO reply has 11 bytes, not {len(payload)}")
        return cls(*struct.unpack(">B8sH", payload))


@dataclass(frozen=True, slots=True)
class Pending:
    """reason u8 | seconds left to act u16."""

    reason: int
    seconds_left: int

    def encode(self) -> bytes:
        return struct.pack(">BH", self.reason, self.seconds_left)

    @classmethod
    def decode(cls, payload: bytes) -> Pending:
        if len(payload) != 3:
            raise WireError(f"a PENDING has 3 bytes, not {len(payload)}")
        return cls(*struct.unpack(">BH", payload))


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """code u8 | boot id 8 bytes."""

    code: int
    boot_id: bytes

    def encode(self) -> bytes:
        return bytes([self.code]) + self.boot_id

    @classmethod
    def decode(cls, payload: bytes) -> ErrorReply:
        if len(payload) != 9:
            raise WireError(f"an ERROR has 9 bytes, not {len(payload)}")
        return cls(payload[0], payload[1:])


def cobs_encode(data: bytes) -> bytes:
    """COBS without the delimiter."""
    out = bytearray()
    for run in data.split(b"\0"):
        while len(run) >= 254:  # a full run carries no implied zero; what comes after it does, empty or not
            out.append(255)
            out += run[:254]
            run = run[254:]
        out.append(len(run) + 1)
        out += run
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """The inverse of cobs_encode. Raises WireError."""
    out = bytearray()
    position, end = 0, len(data)
    if not end:
        raise WireError("an empty frame")
    while True:
        code = data[position]
        if not code:
            raise WireError("a zero inside a frame")
        following = position + code
        if following > end:
            raise WireError("a COBS run past the end of the frame")
        out += data[position + 1 : following]
        if following == end:
            return bytes(out)
        if code != 255:
            out.append(0)
        position = following


def encode_frame(kind: int, sequence: int, session: int, payload: bytes) -> bytes:
    """A whole frame with its delimiter. Raises WireError for a payload over MAX_PAYLOAD."""
    if len(payload) > MAX_PAYLOAD:
        raise WireError(f"a payload of {len(payload)} bytes, over {MAX_PAYLOAD}")
    body = _HEAD.pack(kind, sequence, session) + payload
    return cobs_encode(body + _TAIL.pack(crc32(body))) + b"\0"


def decode_frame(encoded: bytes) -> Frame:
    """A frame without its delimiter. Raises WireError."""
    if len(encoded) > MAX_ENCODED:
        raise WireError(f"a frame of {len(encoded)} bytes, over {MAX_ENCODED}")
    raw = cobs_decode(encoded)
    if len(raw) < _OVERHEAD:
        raise WireError(f"a frame of {len(raw)} bytes, under {_OVERHEAD}")
    body = raw[:-4]
    if crc32(body) != _TAIL.unpack_from(raw, len(raw) - 4)[0]:
        raise WireError("a frame with a wrong CRC")
    kind, sequence, session = _HEAD.unpack_from(body)
    return Frame(kind, sequence, session, body[6:])


class Decoder:
    """Cuts a byte stream into frames, however it was split. Holds at most one frame of unfinished bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._overrun = False

    def feed(self, data: bytes) -> Iterator[Frame | BadFrame]:
        """Every frame that `data` completes, in order. Empty frames (stray delimiters) are nothing at all."""
        # A whole frame in one read is the rule; spare it the buffer.
        if not self._buffer and not self._overrun and data.find(b"\0") == len(data) - 1:
            if len(data) > 1:
                yield _decode(data[:-1])
            return
        self._buffer += data
        while (end := self._buffer.find(b"\0")) >= 0:
            encoded = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            if self._overrun:
                self._overrun = False
                yield BadFrame(f"a frame over {MAX_ENCODED} bytes")
            elif encoded:
                yield _decode(encoded)
        if len(self._buffer) > MAX_ENCODED:
            self._buffer.clear()
            self._overrun = True


def _decode(encoded: bytes) -> Frame | BadFrame:
    try:
        return decode_frame(encoded)
    except WireError as error:
        return BadFrame(str(error))
