"""A descriptor's bytes into a DeviceLink and its replies back out, with back-pressure. What pty and tcp share."""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.links.loop import READ, WRITE, Loop
from firmware_sim.seams import DeviceLink

_READ_SIZE = 8192  # bytes: two of the longest frames; a pty never gives more than 4096 at once
_FULL = 1 << 16  # bytes waiting for a host that does not read; from here on we do not read from it either


class Stream:
    """One open line.

    `read(n)` and `write(data)` are non-blocking (BlockingIOError when they would block; no bytes, or another OSError,
    when the other side hung up). `hung_up` is called once, from the loop, when that happened.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        read: Callable[[int], bytes],
        write: Callable[[bytes], int],
        link: DeviceLink,
        hung_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._fd = fd
        self._read = read
        self._write = write
        self._link = link
        self._hung_up = hung_up
        self._waiting = bytearray()  # replies that the line did not take yet
        self._events = READ
        self._closed = False
        loop.add(fd, self._ready, READ)

    def poll(self) -> float | None:
        replies, deadline = self._link.poll()
        self._send(replies)
        return None if self._closed else deadline

    @property
    def drained(self) -> bool:
        """Whether the line has taken every reply."""
        return not self._waiting

    def close(self) -> None:
        """Stop serving; whoever opened the descriptor closes it."""
        if not self._closed:
            self._closed = True
            self._loop.forget(self)
            self._loop.remove(self._fd)

    def _ready(self, events: int) -> None:
        if self._closed:
            return
        if events & WRITE and self._waiting:
            self._flush()
        if events & READ and not self._closed:
            try:
                data = self._read(_READ_SIZE)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._end()
                return
            replies = self._link.receive(data)
            more, deadline = self._link.poll()
            self._loop.set_deadline(self, deadline)
            self._send(replies + more if more else replies)

    def _send(self, replies: list[bytes]) -> None:
        if not replies or self._closed:
            return
        data = replies[0] if len(replies) == 1 else b"".join(replies)
        if not self._waiting:
            try:
                sent = self._write(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self._end()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._waiting += data
        self._choose_events()

    def _flush(self) -> None:
        try:
            sent = self._write(bytes(self._waiting))
        except BlockingIOError:
            return
        except OSError:
            self._end()
            return
        del self._waiting[:sent]
        self._choose_events()

    def _choose_events(self) -> None:
        events = (WRITE if self._waiting else 0) | (READ if len(self._waiting) < _FULL else 0)
        if events != self._events:
            self._events = events
            self._loop.want(self._fd, self._ready, events)

    def _end(self) -> None:
        if not self._closed:
            self.close()
            self._hung_up()
