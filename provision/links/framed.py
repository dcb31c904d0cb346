"""Frames on a byte stream, the host's side of docs/PROTOCOL.md section 2.

A session survives only a clean exchange: whatever goes wrong, the next exchange starts a new one with HELLO, and the
device then knows neither applet nor PIN nor secure channel of before. Nothing that left is sent in a new session by
this layer; whether a command was carried out is for the caller to find out (OutcomeUnknown).

Time: a token has `timeout_s` for its answer, in which the frame is repeated on silence and, a few times, on
corruption. PENDING gives it the seconds that it asks for, up to MAX_PENDING_S in all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from provision.clock import Clock
from provision.closing import Closing
from provision.errors import LinkError, LocalProtocolError, OutcomeUnknown, RemoteProtocolError, Timeout
from provision.links.link import LinkOptions
from provision.wire import WireError
from provision.wire.framing import (
    MAX_PAYLOAD,
    PROTOCOL_VERSION,
    BadFrame,
    Decoder,
    ErrorReply,
    Frame,
    FrameErrorCode,
    HelloReply,
    Kind,
    Pending,
    encode_frame,
)

if TYPE_CHECKING:
    from provision.wire.capture.recorder import Recorder

TRIES = 4  # times a frame is sent into silence, evenly over timeout_s
CORRUPT_REPEATS = 8  # times it is repeated at once because a frame arrived damaged, at either end
MAX_PENDING_S = 120.0  # a token that keeps asking for patience is given up after this
PENDING_SILENCE_S = 2.5  # PENDING comes each second: two missed ones mean that the line lost something

# What goes before a repeat: ends whatever half of a frame the line left in the device, and is nothing otherwise.
_DELIMITER = b"\0"

_WRONG_PORT = "check that this is the token's port and that the token has power"


class ByteStream(Protocol):
    """Bytes both ways. Raises LinkError when the line is gone."""

    def write(self, data: bytes) -> None:
        """Send all of `data`; when it raises, the last byte has not left."""

    def read(self, deadline: float) -> bytes:
        """What has come, as soon as anything has; empty once the monotonic clock passed `deadline` (seconds)."""

    def close(self) -> None: ...


_T = TypeVar("_T")


class _NoAnswer(Exception):
    """Silence until the deadline."""


class FramedLink(Closing):
    """A Link over a byte stream. Opens its first session when constructed, so that a wrong address shows at once."""

    def __init__(self, stream: ByteStream, address: str, options: LinkOptions) -> None:
        self._stream = stream if options.recorder is None else _recorded(stream, options.recorder)
        self._address = address
        self._options = options
        self._clock = options.clock
        self._decoder = Decoder()
        self._session: int | None = None
        self._sequence = 0
        self._boot_id = b""
        self._max_apdu = MAX_PAYLOAD
        try:
            self._session = self._hello()
        except BaseException:
            self._stream.close()
            raise

    @property
    def address(self) -> str:
        return self._address

    def exchange(self, command: bytes) -> bytes:
        if len(command) > self._max_apdu:
            raise LocalProtocolError(
                f"a command of {len(command)} bytes, the token at {self._address} takes {self._max_apdu}"
            )
        session = self._session
        # Restored below: an exchange that ends in any other way leaves no session behind.
        self._session = None
        if session is None:
            session = self._hello()
        sequence = self._sequence = (self._sequence + 1) & 0xFF
        frame = encode_frame(Kind.APDU, sequence, session, command)
        self._stream.write(frame)
        try:
            reply = self._reply(frame, session, sequence)
        except OutcomeUnknown:
            raise
        except LinkError as error:
            raise self._unknown(error.message) from error
        except _NoAnswer:
            raise self._unknown(f"the token at {self._address} fell silent") from None
        self._session = session
        return reply

    def close(self) -> None:
        self._session = None
        self._stream.close()

    def _hello(self) -> int:
        """A new session: its number. Each repeat has a nonce of its own, so a late answer is told from a fresh one."""
        patience = _Patience(self._clock, self._options.timeout_s)
        while True:
            session = int.from_bytes(self._options.randbytes(4), "big") or 1  # 0 is the session of CORRUPT
            hello = encode_frame(Kind.HELLO, 0, session, bytes((PROTOCOL_VERSION,)))
            self._stream.write(_DELIMITER + hello)
            while (data := self._stream.read(patience.quiet_until)) and not patience.over:
                for frame in self._decoder.feed(data):
                    if isinstance(frame, Frame) and (frame.session, frame.sequence) == (session, 0):
                        self._opened(frame)
                        return session
            if not patience.renew():
                raise Timeout(
                    f"nothing at {self._address} answers as a token",
                    hint=_WRONG_PORT,
                )

    def _opened(self, frame: Frame) -> None:
        if frame.kind == Kind.ERROR and frame.payload[:1] == bytes((FrameErrorCode.VERSION,)):
            raise RemoteProtocolError(
                f"the token at {self._address} does not speak version {PROTOCOL_VERSION} of the frame protocol",
                hint="update this tool",
            )
        reply = self._decoded(HelloReply.decode, frame.payload)
        if frame.kind != Kind.HELLO_REPLY or reply.version != PROTOCOL_VERSION:
            raise RemoteProtocolError(f"what is at {self._address} answers HELLO with something else", hint=_WRONG_PORT)
        self._boot_id = reply.boot_id
        self._max_apdu = min(reply.max_apdu, MAX_PAYLOAD)
        self._sequence = 0

    def _reply(self, frame: bytes, session: int, sequence: int) -> bytes:
        """The response APDU to `frame`, which was sent once. Raises _NoAnswer, LinkError, ProtocolError."""
        patience = _Patience(self._clock, self._options.timeout_s)
        damaged = 0
        while True:
            data = self._stream.read(patience.quiet_until)
            for answer in self._decoder.feed(data):
                if isinstance(answer, BadFrame) or _is_corrupt(answer):
                    damaged += 1
                    if damaged <= CORRUPT_REPEATS:
                        self._stream.write(_DELIMITER + frame)
                elif (answer.session, answer.sequence) != (session, sequence):
                    pass  # late: it answers something of before
                elif answer.kind == Kind.APDU_REPLY:
                    return answer.payload
                elif answer.kind == Kind.PENDING:
                    seconds_left = self._decoded(Pending.decode, answer.payload).seconds_left
                    patience.extend(seconds_left)
                    if self._options.on_pending:
                        self._options.on_pending(seconds_left)
                else:
                    self._refused(answer)
            if not data or patience.over:
                if not patience.renew():
                    raise _NoAnswer
                self._stream.write(_DELIMITER + frame)

    def _refused(self, frame: Frame) -> None:
        """An ERROR, or a kind nobody knows, in answer to our frame. BUSY means that the reply is still to come."""
        if frame.kind != Kind.ERROR:
            raise RemoteProtocolError(f"the token at {self._address} sent a frame of unknown kind {frame.kind:02X}")
        error = self._decoded(ErrorReply.decode, frame.payload)
        if error.code == FrameErrorCode.BUSY:
            return
        if error.code == FrameErrorCode.NO_SESSION:
            what = "lost its session" if error.boot_id == self._boot_id else "was restarted"
            raise self._unknown(f"the token at {self._address} {what} in the middle of a command")
        raise LocalProtocolError(f"the token at {self._address} refused a frame with error {error.code:02X}")

    def _unknown(self, cause: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{cause}; whether it carried out the last command is unknown",
        )

    def _decoded(self, decode: Callable[[bytes], _T], payload: bytes) -> _T:
        try:
            return decode(payload)
        except WireError as error:
            raise RemoteProtocolError(
                f"what is at {self._address} does not answer as a token: {error}", hint=_WRONG_PORT
            ) from error


def _recorded(stream: ByteStream, recorder: Recorder) -> ByteStream:
    # Here, because whoever captures nothing need not pay for it.
    from provision.links.capture import RecordedStream

    return RecordedStream(stream, recorder.serial())


def _is_corrupt(frame: Frame) -> bool:
    return frame.kind == Kind.ERROR and frame.payload[:1] == bytes((FrameErrorCode.CORRUPT,))


class _Patience:
    """How long to wait for one answer, in slices: after a slice of silence the frame is sent again.

    The end of a slice is what a stream reads until, so a clock that stands still (ManualClock) counts as well.
    """

    def __init__(self, clock: Clock, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        now = clock.monotonic()
        self._end = now + timeout_s
        self._give_up = self._end + MAX_PENDING_S
        self._slices_left = TRIES
        self.quiet_until = 0.0
        self.renew()

    @property
    def over(self) -> bool:
        return self._clock.monotonic() >= self.quiet_until

    def renew(self) -> bool:
        """Begin the next slice; False when none is left."""
        now = self._clock.monotonic()
        if not self._slices_left or now >= self._end:
            return False
        self.quiet_until = now + (self._end - now) / self._slices_left
        self._slices_left -= 1
        return True

    def extend(self, seconds_left: int) -> None:
        """The token works, and promises its answer within `seconds_left`."""
        now = self._clock.monotonic()
        self._end = min(now + seconds_left + self._timeout_s, self._give_up)
        self._slices_left = TRIES
        self.quiet_until = min(now + PENDING_SILENCE_S, self._end)
