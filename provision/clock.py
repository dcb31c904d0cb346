"""The clock seam of the host: the only place of `provision` that asks the system for the time.

A clock is an argument everywhere. Three implementations ship: the system's, one that jumps, and one kept in a file
that several processes share, so that a token's life of years runs in seconds.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from provision.errors import InputError, UsageError
from provision.locking import lock


class Clock(Protocol):
    """`now()` is Unix seconds UTC; `monotonic()` is seconds from an unknown start and only measures durations."""

    def now(self) -> float: ...

    def monotonic(self) -> float: ...

    def wait_until(self, t: float) -> None:
        """Return once `now() >= t` (Unix seconds UTC)."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait_until(self, t: float) -> None:
        # Short naps rather than one long one: a station clock that is stepped while we wait must be noticed.
        while (left := t - self.now()) > 0:
            time.sleep(min(left, 1.0))


class ManualClock:
    """Stands still until somebody waits or advances it; `monotonic()` moves with it."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = now
        self._start = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now - self._start

    def wait_until(self, t: float) -> None:
        self._now = max(self._now, t)

    def advance(self, seconds: float) -> None:
        """Move forward by `seconds` (>= 0)."""
        if seconds < 0:
            raise UsageError("a clock does not go backwards")
        self._now += seconds


class FileClock:
    """One decimal Unix time in a file, replaced atomically; whoever waits on it moves it forward.

    The file is the truth for every process that was given it, so `wait_until` returns at once and the others see
    the new time. Raises InputError for a file that is missing, holds something else or cannot be moved, also when
    it is made. `monotonic()` stays real: link deadlines are about the wire, not about the calendar.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now()

    def now(self) -> float:
        try:
            text = self.path.read_text(encoding="ascii")
            value = Decimal(text.strip())
        except FileNotFoundError:
            raise InputError(
                f"the clock file {self.path} does not exist", hint="create it with one Unix time in it"
            ) from None
        except OSError as error:
            raise InputError(f"the clock file {self.path} cannot be read: {error.strerror}") from error
        except (InvalidOperation, UnicodeDecodeError):
            raise InputError(
                f"the clock file {self.path} does not hold one decimal Unix time",
                hint="for example 1767225600.0",
            ) from None
        if not value.is_finite() or not 0 <= value <= _LATEST_S:
            raise InputError(f"the clock file {self.path} holds {value}, which is not a Unix time")
        return float(value)

    def monotonic(self) -> float:
        return time.monotonic()

    def wait_until(self, t: float) -> None:
        # Two movers must not overtake each other, or the clock would go back.
        try:
            with self.path.with_name(self.path.name + ".lock").open("a+b") as file:
                lock(file, wait=True)
                if t > self.now():
                    _replace(self.path, f"{t!r}\n")
        except OSError as error:
            raise InputError(f"the clock file {self.path} cannot be moved: {error.strerror}") from error


def parse_clock(text: str | None) -> Clock:
    """The clock that `--clock` names: None or "system", or "file:PATH"."""
    if text is None or text == "system":
        return SystemClock()
    scheme, _, path = text.partition(":")
    if scheme != "file" or not path:
        raise UsageError(f"unknown clock {text!r}", hint="use system or file:PATH")
    return FileClock(Path(path))


_LATEST_S = 2**40  # as far as a token's clock reaches; the file's other readers know no later time


def _replace(path: Path, text: str) -> None:
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(fd, "w", encoding="ascii") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
