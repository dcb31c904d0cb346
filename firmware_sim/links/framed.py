"""Frame sessions, the device's side: docs/PROTOCOL.md section 2 between a byte stream and an APDU channel.

Sans-IO: bytes in, frames out. A command reaches the channel once, whatever the line loses, doubles or spoils: the
last reply is kept and goes out again for a byte-identical repeat, and for nothing else.

Twin: provision/links/framed.py, the host's side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from firmware_sim.seams import ApduChannel, Clock, PowerLost
from provision.wire.apdu import Sw
from provision.wire.framing import (
    PROTOCOL_VERSION,
    Decoder,
    ErrorReply,
    Frame,
    FrameErrorCode,
    HelloReply,
    Kind,
    Pending,
    PendingReason,
    encode_frame,
)

# Plain numbers: an enum member costs a lookup on every frame.
_APDU, _APDU_REPLY, _HELLO = int(Kind.APDU), int(Kind.APDU_REPLY), int(Kind.HELLO)
_HELLO_PAYLOAD = bytes((PROTOCOL_VERSION,))
_TOO_LONG = Sw.WRONG_LENGTH.to_bytes(2, "big")
_PENDING_INTERVAL_S = 1.0


class FramedLink:
    """A DeviceLink that speaks frames.

    `boot_id`: gives the 8 bytes of the current power-up. `max_apdu`: the longest command, announced in HELLO REPLY.
    `clock`: true time, for the seconds that a PENDING announces. Raises nothing but PowerLost, and then the session
    is gone.
    """

    def __init__(self, channel: ApduChannel, boot_id: Callable[[], bytes], max_apdu: int, clock: Clock) -> None:
        self._channel = channel
        self._boot_id = boot_id
        self._max_apdu = max_apdu
        self._clock = clock
        self._decoder = Decoder()
        self._session: int | None = None
        self._next = 1
        self._last: Frame | None = None
        self._reply: bytes | None = None  # the encoded answer to _last, None while a person is awaited
        self._pending_due = 0.0  # true time of the next PENDING

    def receive(self, data: bytes) -> list[bytes]:
        replies = []
        for frame in self._decoder.feed(data):
            if isinstance(frame, Frame):
                replies.append(self._answer(frame))
            else:
                replies.append(self._error(FrameErrorCode.CORRUPT, 0, 0))
        return replies

    def poll(self) -> tuple[list[bytes], float | None]:
        if self._last is None or self._reply is not None:
            return [], None
        replies = []
        try:
            response = self._channel.poll()
        except PowerLost:
            self.disconnect()
            raise
        if response is not None:
            return [self._store(response)], None
        # A clock that was set back must not silence the PENDING frames until it has caught up.
        if not 0 < self._pending_due - self._clock.now() <= _PENDING_INTERVAL_S:
            replies.append(self._pending())
        deadline = self._channel.deadline
        return replies, self._pending_due if deadline is None else min(deadline, self._pending_due)

    def disconnect(self) -> None:
        self._decoder = Decoder()
        self._close(None)

    def _close(self, session: int | None) -> None:
        self._session = session
        self._next = 1
        self._last = None
        self._reply = None
        self._channel.reset()

    def _answer(self, frame: Frame) -> bytes:
        kind, sequence, session, _ = frame
        if kind == _APDU:
            if session != self._session:
                return self._error(FrameErrorCode.NO_SESSION, sequence, session)
            if frame == self._last:
                return self._pending() if self._reply is None else self._reply
            if self._reply is None and self._last is not None:
                return self._error(FrameErrorCode.BUSY, sequence, session)
            if sequence != self._next:
                return self._error(FrameErrorCode.SEQUENCE, sequence, session)
            return self._execute(frame)
        if kind == _HELLO:
            return self._hello(frame)
        return self._error(FrameErrorCode.UNKNOWN_KIND, sequence, session)

    def _hello(self, frame: Frame) -> bytes:
        _, sequence, session, payload = frame
        if payload != _HELLO_PAYLOAD:
            return self._error(FrameErrorCode.VERSION, sequence, session)
        if sequence != 0:
            return self._error(FrameErrorCode.SEQUENCE, sequence, session)
        self._close(session)
        reply = HelloReply(PROTOCOL_VERSION, self._boot_id(), self._max_apdu)
        return encode_frame(Kind.HELLO_REPLY, 0, session, reply.encode())

    def _execute(self, frame: Frame) -> bytes:
        payload = frame.payload
        if len(payload) > self._max_apdu:
            response: bytes | None = _TOO_LONG
        else:
            try:
                response = self._channel.transmit(payload)
            except PowerLost:
                self.disconnect()
                raise
        self._next = (frame.sequence + 1) & 0xFF
        self._last = frame
        self._reply = None
        return self._pending() if response is None else self._store(response)

    def _store(self, response: bytes) -> bytes:
        """Keep and return the encoded answer to the last command."""
        assert self._last is not None
        self._reply = encode_frame(_APDU_REPLY, self._last.sequence, self._last.session, response)
        return self._reply

    def _pending(self) -> bytes:
        assert self._last is not None
        now = self._clock.now()
        self._pending_due = now + _PENDING_INTERVAL_S
        deadline = self._channel.deadline
        left = 0 if deadline is None else min(max(math.ceil(deadline - now), 0), 0xFFFF)
        payload = Pending(PendingReason.TOUCH, left).encode()
        return encode_frame(Kind.PENDING, self._last.sequence, self._last.session, payload)

    def _error(self, code: FrameErrorCode, sequence: int, session: int) -> bytes:
        return encode_frame(Kind.ERROR, sequence, session, ErrorReply(code, self._boot_id()).encode())
