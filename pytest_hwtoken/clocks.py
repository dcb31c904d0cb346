"""The true time of a test: one that it moves itself, shared with every process that it starts, or the machine's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NoReturn, Protocol

from provision.clock import FileClock, ManualClock, SystemClock

START_S = 1_767_225_600.0
"""2026-01-01 00:00:00 UTC: where the time of each test begins."""


def spelled(duration: str | float) -> str:
    """As it is said to a simulator: a number without an exponent."""
    return f"{Decimal(str(duration)):f}" if isinstance(duration, float) else str(duration)


class TokenClock(Protocol):
    """A provision.clock.Clock. `option`: what `--clock` of `provision` and `firmware-sim` takes to share it."""

    @property
    def option(self) -> str: ...

    def now(self) -> float: ...

    def monotonic(self) -> float: ...

    def wait_until(self, t: float) -> None: ...

    def advance(self, duration: str | float) -> None:
        """Let `18 months`, or so many seconds, go by at once."""


class MovedClock:
    """A TokenClock that begins at START_S. It is in a file from when `option` is asked for: few tests share it, and to
    make a file takes as long as to make a token."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._clock: ManualClock | FileClock = ManualClock(START_S)

    @property
    def option(self) -> str:
        if isinstance(self._clock, ManualClock):
            self._path.write_text(f"{self.now()!r}\n", encoding="ascii")
            self._clock = FileClock(self._path)
        return f"file:{self._path}"

    def now(self) -> float:
        return self._clock.now()

    def monotonic(self) -> float:
        return SystemClock().monotonic()

    def wait_until(self, t: float) -> None:
        self._clock.wait_until(t)

    def advance(self, duration: str | float) -> None:
        from firmware_sim.control.durations import parse_duration  # most tests have no use for it

        self.wait_until(self.now() + float(parse_duration(spelled(duration))))


class RealClock(SystemClock):
    """A TokenClock that nobody moves. `refuse`: how a test ends that tries to."""

    option = "system"

    def __init__(self, refuse: Callable[[str], NoReturn]) -> None:
        self._refuse = refuse

    def advance(self, duration: str | float) -> None:
        self._refuse("the machine's clock cannot be moved")


class StillClock:
    """For a wire inside this process, where silence is final: its monotonic time stands still, so nobody waits."""

    def __init__(self, clock: TokenClock) -> None:
        self.now = clock.now
        self.wait_until = clock.wait_until

    def monotonic(self) -> float:
        return 0.0
