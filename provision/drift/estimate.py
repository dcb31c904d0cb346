"""All clocks that could have shown what was seen: the exact set, and bounds guaranteed while the model holds.

Model (facts of quartz, not of statistics): offset_s(t) = offset_s + rate_error_ppm (t - tref) / 10^6 + w(t), |w| <= W.
The set is a convex polygon; every observation cuts it and can only make it smaller, in whatever order they come.
With a uniform prior the density on it is uniform too, so its centroid is the best point estimate and its areas are
probabilities; no filter and no regression gives more, and neither gives a guarantee.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction

from provision.drift.observation import PPM, Observation
from provision.drift.polygon import Point, Polygon

YEAR_S = Fraction(31_557_600)  # the Julian year of 365.25 days

Interval = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class Model:
    """What is taken for granted. `tref_s`: Unix seconds that offset_s is said for; any will do.

    `rate_error_ppm`: least and greatest; a tuning fork is only slowed by heat and cold, so the default leans.
    `wander_s`: how far temperature may carry the clock off the straight line, either way.
    `ageing_ppm_per_year_max`: how fast the rate may change after the last observation; bounds on the rate itself are
    claimed for 0 only.
    """

    tref_s: Fraction
    offset_s: Interval = (Fraction(-200_000), Fraction(200_000))
    rate_error_ppm: Interval = (Fraction(-60), Fraction(40))
    wander_s: Fraction = Fraction(0)
    ageing_ppm_per_year_max: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Immutable. `last_s`: the latest instant that an observation speaks of, None before the first."""

    model: Model
    polygon: Polygon
    last_s: Fraction | None = None

    @classmethod
    def of(cls, model: Model, observations: Iterable[Observation] = ()) -> Estimate:
        start = cls(model, Polygon.box(model.offset_s, model.rate_error_ppm))
        return start.given(observations)

    def given(self, observations: Iterable[Observation]) -> Estimate:
        """With more observations, early or late."""
        polygon, last_s = self.polygon, self.last_s
        tref_s, wander_s = self.model.tref_s, self.model.wander_s
        for observation in observations:
            for plane in observation.half_planes(tref_s, wander_s):
                polygon = polygon.cut(plane)
            if last_s is None or observation.b > last_s:
                last_s = observation.b
        return replace(self, polygon=polygon, last_s=last_s)

    @property
    def is_feasible(self) -> bool:
        """Whether any clock of the model could have shown all this; if not, something happened: see diagnosis.py."""
        return not self.polygon.is_empty

    @property
    def offset_s(self) -> Interval:
        """At `tref_s`, on the straight line. This and all below raise ValueError for an infeasible estimate."""
        return self.polygon.extent(Fraction(1), Fraction(0))

    @property
    def rate_error_ppm(self) -> Interval:
        return self.polygon.extent(Fraction(0), Fraction(1))

    @property
    def centroid(self) -> Point:
        return self.polygon.centroid

    def offset_at(self, unix_s: Fraction) -> Interval:
        """Bounds of the clock's offset, device minus true, at any time."""
        least, greatest = self.polygon.extent(Fraction(1), (unix_s - self.model.tref_s) / PPM)
        slack = self.slack_at(unix_s)
        return least - slack, greatest + slack

    def slack_at(self, unix_s: Fraction) -> Fraction:
        """What wander and ageing may add to a prediction, seconds."""
        since = max(unix_s - self.last_s, Fraction(0)) if self.last_s is not None else Fraction(0)
        return self.model.wander_s + self.model.ageing_ppm_per_year_max * since * since / (2 * PPM * YEAR_S)
