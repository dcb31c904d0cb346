"""ISO/IEC 7816-4 command and response APDUs, short and extended."""

from __future__ import annotations

import enum
from typing import NamedTuple

from provision.wire import WireError

MAX_SHORT = 256
MAX_EXTENDED = 65536


class Command(NamedTuple):
    """A command APDU (ISO/IEC 7816-4 section 5.1).

    `le`: how many reply bytes are wanted at most (256 or 65536 for "all there are"), None when the field is absent.
    `extended`: sent in the extended form though the short one would hold it; a secure channel's MAC covers the
    length field as it was sent, so the form must survive.
    """

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = None
    extended: bool = False

    def __repr__(self) -> str:
        head = f"{self.cla:02X} {self.ins:02X} {self.p1:02X} {self.p2:02X}"
        return f"Command({head}, {len(self.data)} bytes hidden, le={self.le})"


class Response(NamedTuple):
    """A response APDU: data and the status word."""

    data: bytes
    sw: int

    def __repr__(self) -> str:
        return f"Response({len(self.data)} bytes hidden, {self.sw:04X})"


@enum.unique
class Sw(enum.IntEnum):
    """Status words. Others survive as plain numbers."""

    OK = 0x9000
    MORE_DATA = 0x6100  # low byte: how much is waiting, 0 for 256 or more
    AUTHENTICATION_FAILED = 0x6300  # GlobalPlatform: the host cryptogram is wrong
    PIN_INCORRECT = 0x63C0  # low nibble: attempts remaining
    MEMORY_FAILURE = 0x6581
    WRONG_LENGTH = 0x6700
    CHAINING_NOT_SUPPORTED = 0x6884
    SECURITY_STATUS_NOT_SATISFIED = 0x6982
    AUTHENTICATION_BLOCKED = 0x6983
    NO_SUCH_OBJECT = 0x6984  # YKOATH's meaning of "reference data not usable"
    CONDITIONS_NOT_SATISFIED = 0x6985
    INCORRECT_SM_DATA = 0x6988
    WRONG_DATA = 0x6A80
    FILE_NOT_FOUND = 0x6A82
    NO_SPACE = 0x6A84
    INCORRECT_P1_P2 = 0x6A86
    REFERENCE_NOT_FOUND = 0x6A88
    WRONG_P1_P2 = 0x6B00  # some cards' word for INCORRECT_P1_P2
    INS_NOT_SUPPORTED = 0x6D00
    CLA_NOT_SUPPORTED = 0x6E00
    INTERNAL_ERROR = 0x6F00


def encode_command(command: Command) -> bytes:
    """Short unless data, le or `extended` need extended fields. Raises WireError."""
    cla, ins, p1, p2, data, le, extended = command
    if len(data) > 65535:
        raise WireError(f"{len(data)} bytes of command data, over 65535")
    if le is not None and not 1 <= le <= MAX_EXTENDED:
        raise WireError(f"Le of {le}, not in 1..65536")
    head = bytes((cla, ins, p1, p2))
    if not data and le is None:
        return head  # no length field, so no form
    if not extended and len(data) <= 255 and (le is None or le <= MAX_SHORT):
        lc = bytes((len(data),)) + data if data else b""
        return head + lc + (b"" if le is None else bytes((le & 0xFF,)))
    lc = len(data).to_bytes(2, "big") + data if data else b""
    return head + b"\0" + lc + (b"" if le is None else (le & 0xFFFF).to_bytes(2, "big"))


def decode_command(raw: bytes) -> Command:
    """All seven cases of ISO/IEC 7816-4. Raises WireError, always about the length."""
    size = len(raw)
    if size < 4:
        raise WireError(f"an APDU of {size} bytes, under 4")
    cla, ins, p1, p2 = raw[:4]
    if size == 4:
        return Command(cla, ins, p1, p2)
    first = raw[4]
    if size == 5:
        return Command(cla, ins, p1, p2, b"", first or MAX_SHORT)
    if first:
        return _with_data(raw, 5, first, 1)
    if size == 7:
        return Command(cla, ins, p1, p2, b"", int.from_bytes(raw[5:7], "big") or MAX_EXTENDED, True)
    if size < 8:
        raise WireError("an extended length field cut short")
    return _with_data(raw, 7, int.from_bytes(raw[5:7], "big"), 2)


def _with_data(raw: bytes, start: int, lc: int, le_size: int) -> Command:
    end = start + lc
    rest = len(raw) - end
    if lc == 0 or rest not in (0, le_size):
        raise WireError(f"Lc says {lc}, the APDU has {len(raw) - start} bytes after it")
    le = None
    if rest:
        le = int.from_bytes(raw[end:], "big") or (MAX_SHORT if le_size == 1 else MAX_EXTENDED)
    return Command(raw[0], raw[1], raw[2], raw[3], raw[start:end], le, le_size == 2)


def encode_response(response: Response) -> bytes:
    return response.data + response.sw.to_bytes(2, "big")


def decode_response(raw: bytes) -> Response:
    if len(raw) < 2:
        raise WireError(f"a response of {len(raw)} bytes, under 2")
    return Response(raw[:-2], int.from_bytes(raw[-2:], "big"))


INS_SELECT = 0xA4
P1_SELECT_BY_AID = 0x04  # tells SELECT from YKOATH's CALCULATE ALL, which has the same instruction byte and P1 = 00
CLA_PLAIN = 0x00
CLA_GLOBALPLATFORM = 0x80
CLA_SECURE = 0x84
