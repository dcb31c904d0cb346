"""What a sudden change of a clock may have been: its size, compared with the sizes that mistakes have."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from provision.drift.estimate import Interval

HOUR_S, QUARTER_S = 3600, 900
_ZONES = range(-14 * 4, 14 * 4 + 1)  # quarters of an hour; the widest difference to UTC is 14 h
_LEAP_SECONDS = {37: "TAI", 18: "GPS time"}  # since 2017-01-01
_NARROW_S = 8  # wider than this, and 18 s or 37 s would be guessing
Y2000_S = 946_684_800


@dataclass(frozen=True, slots=True)
class Jump:
    """`name`: for programs; `what`: for people. `size_s`: the size that it has if this is what happened, seconds."""

    name: str
    what: str
    size_s: int


def named(size_s: Interval, at_s: Fraction) -> list[Jump]:
    """Every explanation of a jump of that size at that true time (Unix seconds), the likeliest first."""
    least, greatest = size_s
    found = []
    for quarters in sorted(_ZONES, key=lambda n: (n % 4 != 0, n % 2 != 0, abs(n))):
        seconds = quarters * QUARTER_S
        if quarters and least <= seconds <= greatest:
            if abs(quarters) == 4:
                found.append(
                    Jump("daylight-saving", f"summer time was {'added' if seconds > 0 else 'taken off'}", seconds)
                )
            found.append(Jump("time-zone", f"it was set to local time, {zone(seconds)} from UTC", seconds))
    if greatest - least <= _NARROW_S:
        found += [
            Jump("leap-seconds", f"it was set to or from {scale}", signed)
            for seconds, scale in _LEAP_SECONDS.items()
            for signed in (seconds, -seconds)
            if least <= signed <= greatest
        ]
    for name, what, seconds in (
        ("epoch-1970", "it began anew at 1970-01-01", round(-at_s)),
        ("epoch-2000", "it began anew at 2000-01-01", round(Y2000_S - at_s)),
    ):
        if least <= seconds <= greatest:
            found.append(Jump(name, what, seconds))
    if not found and greatest < 0:
        found.append(
            Jump("stopped", "it stood still for a while: a weak battery, or a battery replaced", int(greatest))
        )
    return found or [Jump("set-wrong", "it was set to a wrong time", int((least + greatest) / 2))]


def zone(seconds: int) -> str:
    """A difference to UTC as people write it: "+2:00 h"."""
    hours, rest = divmod(abs(seconds), HOUR_S)
    return f"{'+' if seconds > 0 else '-'}{hours}:{rest // 60:02d} h"
