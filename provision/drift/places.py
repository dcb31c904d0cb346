"""Where a lost clock is likely to be, the likeliest first, and last of all everywhere: 1970 to 2106.

A token's clock is lost in few ways: it was set to local time, to a wrong date, to nothing at all, or it stood still.
Each leaves it in a small part of the 4.3 billion seconds in which it can be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from provision.drift.jumps import HOUR_S, QUARTER_S, Y2000_S
from provision.drift.jumps import zone as zone_text

DAY_S = 86_400
END_S = 2**32  # a clock of 32 bits ends in February 2106
NEAR_S = 20 * 60  # what a bad oscillator loses in two years
_SLOW_OR_FAST_S = QUARTER_S // 2  # how far one that was set to another zone may have drifted since
_FRESH_S = 90 * DAY_S  # how long ago a clock began anew, if somebody noticed soon
_LONG_S = 10 * 365 * DAY_S  # the longest that a battery lasts
_FAR_ZONE_S = 14 * HOUR_S
# Differences to UTC in use, in quarters of an hour besides whole hours, summer times included.
_PART_HOURS = (10, 14, 18, 22, 26, 38, 42, 23, 35, 51, 55)


@dataclass(frozen=True, slots=True)
class Place:
    """A part of the time line: device times, in whole Unix seconds, `begin_s` <= t < `end_s`.

    `reason`: why a clock may be there, for programs, in the words of `jumps` and `diagnosis`. `what`: for people.
    """

    reason: str
    what: str
    begin_s: int
    end_s: int

    @classmethod
    def around(cls, reason: str, what: str, middle_s: int, reach_s: int) -> Place:
        return cls(reason, what, max(middle_s - reach_s, 0), max(min(middle_s + reach_s + 1, END_S), 0))


def near(at_s: int, reach_s: int = NEAR_S) -> Place:
    """Where a clock is that nothing has happened to."""
    return Place.around("near-now", "it is only slow or fast", at_s, reach_s)


def likely(at_s: int, born_s: int | None = None) -> list[Place]:
    """Where the clock may stand at the true time `at_s`; `born_s`: when it was made or first set. They overlap: what
    an earlier one covers is that one's. The last is everywhere."""
    return [
        near(at_s),
        *_zones(at_s),
        Place.around("set-wrong", "it was set to a wrong time", at_s, 7 * DAY_S),
        *_dates(at_s),
        *_restarts(born_s, _FRESH_S),
        _stopped(at_s, born_s),
        *_restarts(born_s, _LONG_S),
        Place("elsewhere", "it was set to a wrong time, or never", 0, END_S),
    ]


def _zones(at_s: int) -> Iterator[Place]:
    for quarters in (*range(4, 15 * 4, 4), *_PART_HOURS):
        for seconds in (quarters * QUARTER_S, -quarters * QUARTER_S):
            reason, what = "time-zone", f"it was set to local time, {zone_text(seconds)} from UTC"
            if quarters == 4:
                reason, what = "daylight-saving", f"summer time was {'added' if seconds > 0 else 'taken off'}"
            yield Place.around(reason, what, at_s + seconds, _SLOW_OR_FAST_S)


def _dates(at_s: int) -> Iterator[Place]:
    """The right time of day, in whatever zone, on a date that was mistaken for the right one."""
    now = datetime.fromtimestamp(at_s, UTC)
    mistakes = [("day and month were exchanged", now.year, now.day, now.month)]
    mistakes += [(f"the year is wrong by {years:+d}", now.year + years, now.month, now.day) for years in (-1, 1, -2, 2)]
    mistakes += [(f"the month is wrong by {months:+d}", *_month(now, months), now.day) for months in (-1, 1)]
    for what, year, month, day in mistakes:
        try:
            mistaken = now.replace(year, month, day)
        except ValueError:
            continue  # there is no such day, so nobody can have set it
        yield Place.around("wrong-date", f"it was set to a wrong date: {what}", int(mistaken.timestamp()), _FAR_ZONE_S)


def _month(now: datetime, months: int) -> tuple[int, int]:
    years, month = divmod(now.month - 1 + months, 12)
    return now.year + years, month + 1


def _restarts(born_s: int | None, since_s: int) -> Iterator[Place]:
    yield Place("epoch-1970", "it began anew at 1970-01-01, or it counts presses, not time", 0, since_s)
    yield Place("epoch-2000", "it began anew at 2000-01-01", Y2000_S, Y2000_S + since_s)
    if born_s is not None:
        what = "it began anew at the date that it was made with"
        yield Place("epoch-birth", what, max(born_s - DAY_S, 0), min(born_s + since_s, END_S))


def _stopped(at_s: int, born_s: int | None) -> Place:
    begin_s = at_s - _LONG_S if born_s is None else born_s
    return Place("stopped", "it stood still for a while: a weak battery, or a battery replaced", max(begin_s, 0), at_s)
