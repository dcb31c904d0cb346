"""All clocks that fit, as an area: each point is an offset at the reference time together with a rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from provision.drift.estimate import Estimate
from provision.drift.observation import Observation

_MARGIN = Fraction(1, 4)  # of its size, around the area, so that one sees which bounds pass it by
_LEAST = Fraction(1, 1000)  # seconds and ppm: the size of a picture of one point
_FLOATS = Fraction(1, 10**9)  # of a number: what is closer to it may be the same float


@dataclass(frozen=True, slots=True)
class PolygonPicture:
    """Points are (seconds, ppm), as in Polygon. `view`: the least and greatest of both that are shown. `bounds`: of
    each line that an observation draws through the view, the seconds at the least ppm and at the greatest."""

    tref_s: float
    vertices: tuple[tuple[float, float], ...]
    likely: tuple[float, float]
    view: tuple[tuple[float, float], tuple[float, float]]
    bounds: tuple[tuple[float, float], ...]


def polygon_picture(clock: Estimate, observations: Sequence[Observation]) -> PolygonPicture | None:
    """`observations`: those that `clock` was estimated from. None if no clock fits."""
    if not clock.is_feasible:
        return None
    model, (seconds, ppm) = clock.model, (_wider(*clock.offset_s), _wider(*clock.rate_error_ppm))
    return PolygonPicture(
        float(model.tref_s),
        tuple((float(x), float(y)) for x, y in clock.polygon.vertices),
        (float(clock.centroid.offset_s), float(clock.centroid.rate_error_ppm)),
        ((float(seconds[0]), float(seconds[1])), (float(ppm[0]), float(ppm[1]))),
        tuple((float(low), float(high)) for low, high in _lines(clock, observations, seconds, ppm)),
    )


def _wider(low: Fraction, high: Fraction) -> tuple[Fraction, Fraction]:
    margin = max((high - low) * _MARGIN, _LEAST, abs(high) * _FLOATS)
    return low - margin, high + margin


def _lines(
    clock: Estimate,
    observations: Sequence[Observation],
    seconds: tuple[Fraction, Fraction],
    ppm: tuple[Fraction, Fraction],
) -> Iterator[tuple[Fraction, Fraction]]:
    for one in observations:
        for plane in one.half_planes(clock.model.tref_s, clock.model.wander_s):
            at_least, at_most = (-(plane.y * rate + plane.c) / plane.x for rate in ppm)
            if min(at_least, at_most) <= seconds[1] and max(at_least, at_most) >= seconds[0]:
                yield at_least, at_most
