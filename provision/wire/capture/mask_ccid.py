"""CCID's bulk pipes, masked: headers, the ATR and protocol parameters stay, APDUs are masked as on any wire."""

from __future__ import annotations

import struct
from collections.abc import Callable

from provision.wire import ccid
from provision.wire.capture.mask_apdu import ApduMask
from provision.wire.capture.masking import hidden
from provision.wire.ccid_transfer import BULK_PACKET

_HEAD = struct.Struct("<BIBB3s")
_PARAMETERS = (ccid.SetParameters.TYPE, ccid.Parameters.TYPE)
_LONGEST_PARAMETERS = 7  # bytes, of T=1
_ATR_BEGINS = (0x3B, 0x3F)  # ISO/IEC 7816-3: direct and inverse convention
_LONGEST_ATR = 33


class CcidMask:
    """Both pipes of one reader with one slot. Every piece of a transfer comes back at once and as long as it was: the
    data of a message that came in pieces, or of an APDU in several messages, are hidden."""

    def __init__(self) -> None:
        self._apdus = ApduMask()
        self._answering: tuple[int, int] | None = None  # type and bSeq of the last command
        self.to_token = _Pipe(self._command).feed
        self.to_host = _Pipe(self._response).feed

    def _command(self, kind: int, seq: int, own: bytes, data: bytes) -> bytes:
        whole = kind == ccid.XfrBlock.TYPE and own[1:] == bytes((ccid.Chain.WHOLE, 0))
        self._answering = (kind, seq) if whole or kind == ccid.IccPowerOn.TYPE else None
        if whole:
            return self._apdus.command(data)
        if kind in (ccid.IccPowerOn.TYPE, ccid.IccPowerOff.TYPE):
            self._apdus.reset()
        return _parameters(kind, data)

    def _response(self, kind: int, seq: int, own: bytes, data: bytes) -> bytes:
        if kind != ccid.DataBlock.TYPE:
            return _parameters(kind, data)
        if self._answering == (ccid.IccPowerOn.TYPE, seq):
            return data if data[:1] and data[0] in _ATR_BEGINS and len(data) <= _LONGEST_ATR else hidden(data)
        if self._answering == (ccid.XfrBlock.TYPE, seq) and own[2] == ccid.Chain.WHOLE:
            return self._apdus.response(data)
        return hidden(data)


class _Pipe:
    """One direction. `mask` gives the data to show of a whole message: (bMessageType, bSeq, own bytes, data)."""

    def __init__(self, mask: Callable[[int, int, bytes, bytes], bytes]) -> None:
        self._mask = mask
        self._left = 0  # bytes of a message that are still to come

    def feed(self, piece: bytes) -> bytes:
        begun, self._left = self._left > 0, max(0, self._left - len(piece))
        if len(piece) % BULK_PACKET:  # a short packet ends the transfer, whatever its message announced
            self._left = 0
        if begun or len(piece) < ccid.HEADER:
            return hidden(piece)
        kind, length, _, seq, own = _HEAD.unpack_from(piece)
        head, data = piece[: ccid.HEADER], piece[ccid.HEADER :]
        if len(data) == length:
            return head + self._mask(kind, seq, own, data)
        if not len(data) < length <= ccid.MAX_MESSAGE:
            return hidden(piece)
        if len(piece) % BULK_PACKET == 0:
            self._left = length - len(data)
        return head + hidden(data)


def _parameters(kind: int, data: bytes) -> bytes:
    return data if kind in _PARAMETERS and len(data) <= _LONGEST_PARAMETERS else hidden(data)
