"""How long the machine took, with the time spent waiting (for the clock, for a person) left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from provision.clock import Clock

T = TypeVar("T")


class Stopwatch:
    """A Clock that passes everything on to another and keeps account of the waits. Runs from its creation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()
        self._waited_s = 0.0

    def now(self) -> float:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def wait_until(self, t: float) -> None:
        self.leave_out(lambda: self._clock.wait_until(t))

    def leave_out(self, wait: Callable[[], T]) -> T:
        """Do something whose duration is not the machine's, such as asking a person."""
        begin = self._clock.monotonic()
        try:
            return wait()
        finally:
            self._waited_s += self._clock.monotonic() - begin

    @property
    def machine_s(self) -> float:
        """Seconds on the monotonic clock since creation, waits left out."""
        return self._clock.monotonic() - self._start - self._waited_s
