"""Where the simulator's true time comes from: the system, a hand that moves it, or a file shared with others.

Twin: provision/clock.py, which reads and moves the same file from the host's side. The two packages share only
wire bytes by design, so the file's format (one decimal Unix time, replaced atomically under the lock of PATH.lock) is
the contract.
"""

from __future__ import annotations

import math
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from firmware_sim.files import exclusive, replace


class ClockError(Exception):
    """There is no such clock, or it cannot be moved like that."""


class ClockFileError(ClockError):
    """The clock file is missing, cannot be written, or holds something else than a Unix time."""


class SteerableClock(Protocol):
    """A seams.Clock that somebody may ask to move."""

    def now(self) -> float: ...

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) of true time pass at once. Raises ClockError."""


def monotonic() -> float:
    """Real time, in seconds from anywhere, which nobody can set."""
    return time.monotonic()


class SystemClock:
    """The machine's own clock, which nobody moves."""

    def now(self) -> float:
        return time.time()

    def advance(self, seconds: float) -> None:
        raise ClockError("the real clock cannot be moved; start with --clock file:PATH to have one that can")


class ManualClock:
    """Stands still until advanced."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += _forward(seconds)


class FileClock:
    """One decimal Unix time in a file. Raises ClockFileError when made if there is none.

    A shell's `>` empties the file before it writes: until it has written, the time is what it was. Otherwise a token
    that looked just then would end, with all that it holds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = self._read()

    def now(self) -> float:
        self._last = self._read(while_empty=self._last)
        return self._last

    def _read(self, *, while_empty: float | None = None) -> float:
        try:
            text = self.path.read_text(encoding="ascii").strip()
            if not text and while_empty is not None:
                return while_empty
            value = Decimal(text)
        except FileNotFoundError:
            raise ClockFileError(
                f"the clock file {self.path} does not exist; create it with one Unix time in it"
            ) from None
        except OSError as error:
            raise ClockFileError(f"the clock file {self.path} cannot be read: {error.strerror}") from error
        except (InvalidOperation, UnicodeDecodeError):
            raise ClockFileError(f"the clock file {self.path} does not hold one decimal Unix time") from None
        if not value.is_finite() or not 0 <= value <= _LATEST_S:
            raise ClockFileError(f"the clock file {self.path} holds {value}, which is not a Unix time")
        return float(value)

    def advance(self, seconds: float) -> None:
        """Reads and replaces under the lock, or two movers could take the clock back."""
        later_s = _forward(seconds)
        try:
            with exclusive(self.path):
                # repr gives the shortest text that reads back as this very float
                replace(self.path, f"{Decimal(repr(_unix_time(self._read() + later_s))):f}\n")
        except OSError as error:
            raise ClockFileError(f"the clock file {self.path} cannot be moved: {error.strerror}") from error


def parse_clock(text: str | None) -> SteerableClock:
    """The clock that `--clock` names: None or "system", or "file:PATH". Raises ClockError."""
    if text is None or text == "system":
        return SystemClock()
    scheme, _, path = text.partition(":")
    if scheme != "file" or not path:
        raise ClockError(f"unknown clock {text!r}; use system or file:PATH")
    return FileClock(Path(path))


_LATEST_S = 2**40  # as far as the token's own clock reaches


def _forward(seconds: float) -> float:
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ClockError(f"true time does not go back, and {seconds} seconds is not forward")
    return seconds


def _unix_time(t: float) -> float:
    if not 0 <= t <= _LATEST_S:
        raise ClockError(f"{t} is not a Unix time that this clock can show")
    return t
