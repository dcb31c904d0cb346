"""A serial line's bytes, masked: frames stay frames (docs/PROTOCOL.md section 2), anything else becomes filler."""

from __future__ import annotations

from collections.abc import Callable

from provision.wire import WireError
from provision.wire.capture.mask_apdu import ApduMask
from provision.wire.capture.masking import Mask, hidden, masked, number, parts
from provision.wire.framing import MAX_ENCODED, Frame, Kind, decode_frame, encode_frame

_DELIMITER = b"\0"

# Payloads that carry no APDU. A boot id is left out: eight bytes are room enough for a PIN.
_PAYLOADS: dict[int, Mask] = {
    Kind.HELLO: number(1),
    Kind.HELLO_REPLY: parts((1, number(1)), (8, hidden), (2, number(2))),
    Kind.PENDING: number(3),
    Kind.ERROR: parts((1, number(1)), (8, hidden)),
}


class LineMask:
    """Both directions of one line. What comes back may be shorter or longer by a few bytes, because a masked frame is
    stuffed anew; the bytes of a frame that is not whole yet come back with its end."""

    def __init__(self) -> None:
        self._apdus = ApduMask()
        self._command: tuple[int, int] | None = None  # session and sequence of the last one
        self._to_token = _Cutter(self._frame_to_token)
        self._to_host = _Cutter(self._frame_to_host)

    def to_token(self, data: bytes) -> bytes:
        return self._to_token.feed(data)

    def to_host(self, data: bytes) -> bytes:
        return self._to_host.feed(data)

    def piece_to_token(self, piece: bytes) -> bytes:
        """For a wire whose packets may not wait for each other: filler at once, where a piece is not whole frames."""
        return self._to_token.feed_piece(piece)

    def piece_to_host(self, piece: bytes) -> bytes:
        return self._to_host.feed_piece(piece)

    def close(self) -> tuple[bytes, bytes]:
        """What was still unfinished, to the token and to the host. The line may be opened again."""
        self._apdus.reset()
        self._command = None
        return self._to_token.finish(), self._to_host.finish()

    def _frame_to_token(self, frame: Frame) -> bytes:
        if frame.kind != Kind.APDU:
            return _payload(frame)
        self._command = frame.session, frame.sequence
        return self._apdus.command(frame.payload)

    def _frame_to_host(self, frame: Frame) -> bytes:
        if frame.kind == Kind.HELLO_REPLY:
            self._apdus.reset()
        if frame.kind != Kind.APDU_REPLY:
            return _payload(frame)
        if self._command != (frame.session, frame.sequence):
            return hidden(frame.payload)  # late: it answers something else than the last command
        return self._apdus.response(frame.payload)


def _payload(frame: Frame) -> bytes:
    return masked(_PAYLOADS.get(frame.kind, hidden), frame.payload)


class _Cutter:
    """Cuts one direction at its delimiters. `mask` gives the payload to show for a frame."""

    def __init__(self, mask: Callable[[Frame], bytes]) -> None:
        self._mask = mask
        self._pending = b""

    def feed(self, data: bytes) -> bytes:
        *whole, self._pending = (self._pending + data).split(_DELIMITER)
        out = b"".join(self._masked(encoded) + _DELIMITER for encoded in whole)
        if len(self._pending) > MAX_ENCODED:  # no frame any more, whatever follows
            return out + self.finish()
        return out

    def feed_piece(self, piece: bytes) -> bytes:
        begun = bool(self._pending)
        out = self.feed(piece)
        return hidden(piece) if begun or self._pending else out

    def finish(self) -> bytes:
        pending, self._pending = self._pending, b""
        return hidden(pending)

    def _masked(self, encoded: bytes) -> bytes:
        try:
            frame = decode_frame(encoded)
            return encode_frame(frame.kind, frame.sequence, frame.session, self._mask(frame))[:-1]
        except WireError:  # no frame, or one that fits only because it was stuffed so well
            return hidden(encoded)
