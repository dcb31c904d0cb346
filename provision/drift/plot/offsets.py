"""The offset of one clock over time: where it can be, what was seen, what a server takes, and when that ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from provision.drift.diagnosis import Diagnosis
from provision.drift.document import Document
from provision.drift.estimate import YEAR_S, Estimate, Interval
from provision.drift.moments import DAY_S, calendar
from provision.drift.observation import PPM
from provision.drift.outlook import Outlook, present
from provision.drift.profiles import Memory

_POINTS = 120  # of a band's outline: what is between two of them is narrower than a pen
_FLOATS = 1e-9  # of a number: what is closer to it may be the same float
_MARGIN = Fraction(1, 25)  # of the time shown, on both sides


@dataclass(frozen=True, slots=True)
class Seen:
    """An observation: at `unix_s` the offset was from `least_s` to `greatest_s`, if it is not `left_out`."""

    unix_s: float
    least_s: float
    greatest_s: float
    left_out: bool


@dataclass(frozen=True, slots=True)
class BandPoint:
    """At `unix_s`: the bounds of the offset, and the most likely one."""

    unix_s: float
    least_s: float
    likely_s: float
    greatest_s: float


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the server takes from `from_s` on, as offsets: for certain inside `surely_s`, perhaps inside `perhaps_s`."""

    server: str
    from_s: float
    surely_s: tuple[float, float]
    perhaps_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Date:
    """`unix_s`: None for never, as far as is known."""

    what: str
    unix_s: int | None


@dataclass(frozen=True, slots=True)
class OffsetPicture:
    """All offsets are the token's time minus true time, in seconds; all times are Unix seconds. `bands`: one for each
    clock that the token has had; none where nothing fits."""

    begins_s: float
    ends_s: float
    seen: tuple[Seen, ...]
    bands: tuple[tuple[BandPoint, ...], ...]
    accepted: Accepted | None
    dates: tuple[Date, ...]

    @property
    def extent_s(self) -> tuple[float, float]:
        """The least and the greatest offset that is shown. They are never equal."""
        offsets = [offset for one in self.seen for offset in (one.least_s, one.greatest_s)]
        offsets += [offset for band in self.bands for point in band for offset in (point.least_s, point.greatest_s)]
        offsets += self.accepted.perhaps_s if self.accepted is not None else ()
        low, high = min(offsets, default=0.0), max(offsets, default=0.0)
        margin = max((high - low) / 20, 0.5, abs(high) * _FLOATS)
        return low - margin, high + margin

    @property
    def lettered(self) -> list[tuple[str, Date]]:
        """The dates, each with the letter that it has in the picture."""
        return list(zip("ABC", self.dates, strict=False))


def offset_picture(
    document: Document, diagnosis: Diagnosis, ahead: Outlook | None, until_s: Fraction | None = None
) -> OffsetPicture:
    """`ahead`: what `diagnosis` (or the present clock of it) means at a server. `until_s`: show the time until then;
    None: until the last date, if that is not much further than one has looked back. Raises InputError beyond the
    calendar's years."""
    seen, now = document.observations, present(document.model, document.observations, diagnosis)
    begins_s = min((one.b for one in seen), default=document.model.tref_s)
    dates = _dates(ahead)
    asked_s = begins_s if ahead is None or ahead.dates is None else Fraction(ahead.dates.from_s)
    last_s = max([asked_s, *(one.b for one in seen)])
    if until_s is None or until_s < last_s + 1:
        until_s = _until(begins_s, last_s, dates)
    margin_s = (until_s - begins_s) * _MARGIN
    for unix_s in (begins_s - margin_s, until_s + margin_s):
        calendar(unix_s)  # beyond it there are no labels, and floats cannot tell seconds apart
    runs = diagnosis.runs or ((*(i for i in range(len(seen)) if i not in diagnosis.dropped),),)
    clocks = [Estimate.of(document.model, [seen[i] for i in run]) for run in runs[:-1]] + [now]
    return OffsetPicture(
        float(begins_s - margin_s),
        float(until_s + margin_s),
        tuple(
            Seen(float(one.b), float(one.lo - one.b), float(one.hi - one.a), number in diagnosis.dropped)
            for number, one in enumerate(seen)
        ),
        tuple(_bands(document, clocks, runs, begins_s, until_s + margin_s)),
        _accepted(ahead, now, begins_s - margin_s),
        dates,
    )


def _bands(
    document: Document, clocks: Sequence[Estimate], runs: Sequence[Sequence[int]], begins_s: Fraction, ends_s: Fraction
) -> Iterator[tuple[BandPoint, ...]]:
    """Each clock from its first observation on, to its last; the present one, into the future."""
    for number, (clock, run) in enumerate(zip(clocks, runs, strict=True)):
        if clock.is_feasible:
            moments = [document.observations[i].b for i in run]
            until_s = ends_s if number == len(runs) - 1 else max(moments)
            yield tuple(_band(clock, min(moments, default=begins_s), until_s))


def _band(clock: Estimate, begins_s: Fraction, ends_s: Fraction) -> Iterator[BandPoint]:
    middle = clock.centroid
    moments = {begins_s + (ends_s - begins_s) * i / _POINTS for i in range(_POINTS + 1)}
    if clock.last_s is not None and begins_s < clock.last_s < ends_s:
        moments.add(clock.last_s)  # ageing begins to widen it here
    for unix_s in sorted(moments):
        least, greatest = clock.offset_at(unix_s)
        likely = middle.offset_s + middle.rate_error_ppm * (unix_s - clock.model.tref_s) / PPM
        yield BandPoint(float(unix_s), float(least), float(likely), float(greatest))


def _accepted(ahead: Outlook | None, now: Estimate, begins_s: Fraction) -> Accepted | None:
    if ahead is None:
        return None
    profile = ahead.server.profile
    stands_still = profile is None or profile.memory is Memory.NONE
    from_s = begins_s if stands_still or now.last_s is None else now.last_s
    title = "this window" if profile is None else profile.title
    return Accepted(title, float(from_s), _floats(ahead.window.limits_s()), _floats(ahead.window.limits_s(1)))


def _floats(bounds: Interval) -> tuple[float, float]:
    return float(bounds[0]), float(bounds[1])


def _dates(ahead: Outlook | None) -> tuple[Date, ...]:
    if ahead is None or ahead.dates is None:
        return ()
    return (
        Date("a code may be refused from here", ahead.dates.first_possible_failure_s),
        Date("some codes are refused from here", ahead.dates.certain_failure_s),
        Date("all codes are refused from here", ahead.dates.total_failure_s),
    )


def _until(begins_s: Fraction, last_s: Fraction, dates: Sequence[Date]) -> Fraction:
    looked_back = last_s - begins_s
    furthest = last_s + max(3 * looked_back, 3 * YEAR_S)
    shown = [date.unix_s for date in dates if date.unix_s is not None and date.unix_s <= furthest]
    return max([last_s + max(looked_back / 2, Fraction(30 * DAY_S)), *map(Fraction, shown)])
