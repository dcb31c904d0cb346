"""The true time of a test: one that it moves itself, shared with every process that it starts, or the machine's."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import NoReturn, Protocol

from provision.clock import FileClock, SystemClock

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


class MovedClock(FileClock):
    """A TokenClock in a file."""

    def __init__(self, path: Path) -> None:
        path.write_text(f"{START_S}\n", encoding="ascii")
        super().__init__(path)

    @property
    def option(self) -> str:
        return f"file:{self.path}"

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
