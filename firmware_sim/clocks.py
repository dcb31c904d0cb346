"""Where the simulator's true time comes from: the system, a hand that moves it, or a file shared with others.

Twin: provision/clock.py, which reads and moves the same file from the host's side. The two packages share only
wire bytes by design, so the file's format (one decimal Unix time, replaced atomically) is the contract.
"""

from __future__ import annotations

import time
from decimal import Decimal, InvalidOperation
from pathlib import Path


class ClockFileError(Exception):
    """The clock file is missing, holds something else than a Unix time, or would have to go back."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()


class ManualClock:
    """Stands still until advanced."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ClockFileError("true time does not go backwards")
        self._now += seconds


class FileClock:
    """One decimal Unix time in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now()

    def now(self) -> float:
        try:
            value = Decimal(self.path.read_text(encoding="ascii").strip())
        except FileNotFoundError:
            raise ClockFileError(
                f"the clock file {self.path} does not exist; create it with one Unix time in it"
            ) from None
        except (InvalidOperation, UnicodeDecodeError):
            raise ClockFileError(f"the clock file {self.path} does not hold one decimal Unix time") from None
        if not value.is_finite() or value < 0:
            raise ClockFileError(f"the clock file {self.path} holds {value}, which is not a Unix time")
        return float(value)
