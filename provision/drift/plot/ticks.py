"""Where the marks of an axis stand and what is written at them: round numbers, and round dates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from math import ceil, floor, log10

from provision.drift.moments import DAY_S, calendar

_EPOCH = datetime(1970, 1, 1)  # as calendar() has it: UTC, without saying so
_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, DAY_S, 2 * DAY_S, 7 * DAY_S)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 12_000)
_GAP = 3  # characters between two labels

# The unit that offsets of some size are told in, by the greatest size.
_UNITS = ((1800, "s", 1), (3 * 3600, "min", 60), (4 * DAY_S, "h", 3600))

Tick = tuple[float, str]


def unit_of(size_s: float) -> tuple[str, int]:
    """In which unit to tell offsets of up to `size_s`: its name, and its seconds."""
    return next(((name, seconds) for most, name, seconds in _UNITS if size_s <= most), ("days", DAY_S))


def numbers(low: float, high: float, most: int) -> list[Tick]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten, from `low` < `high`; with a sign but for 0."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    step = next(step for step in (power, 2 * power, 5 * power, 10 * power) if step >= rough * (1 - 1e-9))
    decimals = max(0, -floor(log10(step)))
    whole = range(ceil(low / step), floor(high / step) + 1)
    return [(number * step, f"{number * step:+.{decimals}f}" if number else "0") for number in whole][:most]


def dates(begins_s: float, ends_s: float, room: int) -> list[Tick]:
    """Round moments from `begins_s` to `ends_s`, as many as have room in a line of `room` characters. The coarsest
    kind is taken if none has. Raises InputError beyond the calendar's years."""
    for seconds in _SECONDS:
        label = "%Y-%m-%d" if seconds % DAY_S == 0 else "%Y-%m-%d %H:%M" if seconds % 60 == 0 else "%m-%d %H:%M:%S"
        width = len(calendar(begins_s).strftime(label)) + _GAP
        if ((ends_s - begins_s) // seconds + 1) * width <= room:
            first, last = ceil(begins_s / seconds), floor(ends_s / seconds)
            return [(n * seconds, calendar(n * seconds).strftime(label)) for n in range(first, last + 1)]
    found: list[Tick] = []
    for months in _MONTHS:
        found = list(_months(begins_s, ends_s, months))
        if sum(len(label) + _GAP for _, label in found) <= room:
            break
    return found


def _months(begins_s: float, ends_s: float, every: int) -> Iterator[Tick]:
    """The first of every so many months, counted from the year 0; whole years as "2026"."""
    begins, ends = calendar(begins_s), calendar(ends_s)
    first, last = begins.year * 12 + begins.month - 1, ends.year * 12 + ends.month - 1
    for month in range(ceil(first / every) * every, last + 1, every):
        year, index = divmod(month, 12)
        unix_s = (datetime(year, index + 1, 1) - _EPOCH).total_seconds()
        if begins_s <= unix_s <= ends_s:
            yield unix_s, f"{year:04d}" if every % 12 == 0 else f"{year:04d}-{index + 1:02d}"
