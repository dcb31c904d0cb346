"""One event loop for a token or a thousand of them: descriptors, deadlines in true time, and nothing that blocks.

There are no threads and no sleeps. Links tell their deadlines (a touch that is awaited, the next PENDING frame) in
true time; the loop turns them into a timeout only where true time passes by itself. On a clock that stands still
until somebody moves it, data and control commands wake the loop.
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from firmware_sim.seams import Clock

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

# The system's clock may be set while the loop sleeps, so it never sleeps longer than this over a deadline.
_LONGEST_NAP_S = 1.0
# How often to ask for what no descriptor reports (has the other side read it all?), and how often at most.
_RETRY_S = 0.001
_RETRIES = 2000
# The same for `serve_alone`.
_SILENCE_S = 0.01
_SILENCES = 1000


class Pollable(Protocol):
    """Something with deadlines: a line."""

    def poll(self) -> float | None:
        """Do what is due; the true time (Unix seconds) of the next deadline, None for none."""


class _Repeated(NamedTuple):
    """`done` is called each `every_s` real seconds, next at `due_s` of the monotonic clock, until it is true."""

    done: Callable[[], bool]
    every_s: float
    due_s: float


class Loop:
    """`clock`: true time. `ticking`: whether it passes by itself. `monotonic`: real time, in seconds from anywhere."""

    def __init__(self, clock: Clock, *, ticking: bool, monotonic: Callable[[], float]) -> None:
        self.clock = clock
        self._monotonic = monotonic
        self._ticking = ticking
        self._selector = selectors.DefaultSelector()
        self._deadlines: dict[Pollable, float] = {}
        self._awaited: list[tuple[Callable[[], bool], Callable[[], None], int]] = []
        self._repeated: list[_Repeated] = []
        self._stopping = False

    def add(self, fd: int, callback: Callable[[int], None], events: int = READ) -> None:
        """Call `callback(events)` whenever `fd` (a descriptor, or a socket's handle) is ready.

        A callback may come once more after `remove`, in the same turn: it has to know that it is over.
        """
        self._selector.register(fd, events, callback)

    def want(self, fd: int, callback: Callable[[int], None], events: int) -> None:
        """Change which events of `fd` matter."""
        self._selector.modify(fd, events, callback)

    def remove(self, fd: int) -> None:
        self._selector.unregister(fd)

    def forget(self, pollable: Pollable) -> None:
        self._deadlines.pop(pollable, None)

    def set_deadline(self, pollable: Pollable, deadline: float | None) -> None:
        if deadline is not None:
            self._deadlines[pollable] = deadline
        elif self._deadlines:
            self._deadlines.pop(pollable, None)

    def poll_waiting(self) -> None:
        """Ask everything that has a deadline, due or not: a person did something, or true time moved."""
        for pollable in list(self._deadlines):
            self.set_deadline(pollable, pollable.poll())

    def when(self, ready: Callable[[], bool], action: Callable[[], None]) -> None:
        """Call `action` once `ready()`, asked each millisecond from the next turn on, is true, or after 2 s anyway."""
        self._awaited.append((ready, action, _RETRIES))

    def repeat(self, done: Callable[[], bool], every_s: float) -> None:
        """Call `done` each `every_s` seconds of real time, for the first time after as many, until it is true."""
        self._repeated.append(_Repeated(done, every_s, self._monotonic() + every_s))

    def serve_alone(self, fd: int, done: Callable[[], bool]) -> bool:
        """Serve that descriptor and nothing else until `done()`: whether it came to that, or the descriptor was removed
        or stayed silent for ten seconds. For what must be over before the caller can go on; the rest waits.
        """
        with selectors.DefaultSelector() as alone:
            silences = 0
            while not done():
                key = self._selector.get_map().get(fd)
                if key is None or silences == _SILENCES:
                    return False
                alone.register(key.fileobj, key.events)
                ready = alone.select(_SILENCE_S)
                alone.unregister(key.fileobj)
                for _, events in ready:
                    key.data(events)
                silences = 0 if ready else silences + 1
        return True

    def stop(self) -> None:
        """Return from `run` after this turn."""
        self._stopping = True

    def run(self) -> None:
        """Serve until `stop`, which may also have come before."""
        select = self._selector.select
        while not self._stopping:
            for key, events in select(self._timeout() if self._deadlines or self._awaited or self._repeated else None):
                key.data(events)
            if self._deadlines:
                self._poll_due()
            if self._awaited:
                self._ask_again()
            if self._repeated:
                self._repeat_due()
        self._stopping = False

    def close(self) -> None:
        self._selector.close()

    def _timeout(self) -> float | None:
        """How long to wait for descriptors, seconds; None for ever."""
        if self._awaited:
            return _RETRY_S
        naps = []
        if self._ticking and self._deadlines:
            naps.append(min(max(min(self._deadlines.values()) - self.clock.now(), 0.0), _LONGEST_NAP_S))
        if self._repeated:
            naps.append(max(min(one.due_s for one in self._repeated) - self._monotonic(), 0.0))
        return min(naps, default=None)

    def _poll_due(self) -> None:
        now = self.clock.now()
        for pollable in [pollable for pollable, deadline in self._deadlines.items() if deadline <= now]:
            self.set_deadline(pollable, pollable.poll())

    def _ask_again(self) -> None:
        awaited, self._awaited = self._awaited, []
        for ready, action, left in awaited:
            if ready() or left == 0:
                action()
            else:
                self._awaited.append((ready, action, left - 1))

    def _repeat_due(self) -> None:
        now = self._monotonic()
        repeated, self._repeated = self._repeated, []
        for one in repeated:
            if one.due_s > now:
                self._repeated.append(one)
            elif not one.done():
                self._repeated.append(one._replace(due_s=now + one.every_s))


@contextlib.contextmanager
def stopped_by_signals(loop: Loop) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP end `loop.run()` cleanly for as long as the context lasts."""
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]
    awake, wake = socket.socketpair()
    for end in (awake, wake):
        end.setblocking(False)
    previous = {number: signal.signal(number, lambda *_: loop.stop()) for number in numbers}
    # A handler alone would not do: the selector goes back to sleep after it (PEP 475).
    wakeup = signal.set_wakeup_fd(wake.fileno())
    loop.add(awake.fileno(), lambda _events: _swallow(awake))
    try:
        yield
    finally:
        loop.remove(awake.fileno())
        signal.set_wakeup_fd(wakeup)
        for number, handler in previous.items():
            signal.signal(number, handler)
        awake.close()
        wake.close()


def _swallow(awake: socket.socket) -> None:
    awake.recv(64)
