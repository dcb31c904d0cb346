"""What was seen of a token's clock, as bounds: at some true time in [a, b] the clock was in [lo, hi].

A clock runs forward, whatever its rate, so each observation is two half-planes (drift of the offset over time taken
as a straight line, wander apart):

    offset_s + rate * (b - tref) >= lo - b - wander_s        the clock had reached lo at b at the latest
    offset_s + rate * (a - tref) <= hi - a + wander_s        the clock was not past hi at a at the earliest

A person who types late only makes a clock look slow: the delay widens the upper side alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from provision.drift.polygon import HalfPlane
from provision.errors import InputError

PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class Observation:
    """All in Unix seconds, `lo` and `hi` by the token's clock. Raises InputError unless a <= b and lo <= hi."""

    a: Fraction
    b: Fraction
    lo: Fraction
    hi: Fraction

    def __post_init__(self) -> None:
        if self.a > self.b:
            raise InputError(f"an observation ends at {float(self.b)}, before it begins at {float(self.a)}")
        if self.lo > self.hi:
            raise InputError(f"an observation's clock is at least {float(self.lo)} and at most {float(self.hi)}")

    @classmethod
    def of_code(
        cls,
        *,
        received_s: Fraction | int,
        step: int,
        time_step_s: int,
        t0_s: int,
        delay_s: Fraction | int = 0,
        server_error_s: Fraction | int = 0,
    ) -> Observation:
        """A code of `step` that a server received. `delay_s`: the longest that somebody may have taken to type it;
        `server_error_s`: how wrong the server's clock may have been, either way."""
        start = t0_s + step * time_step_s
        return cls(
            Fraction(received_s - delay_s - server_error_s),
            Fraction(received_s + server_error_s),
            Fraction(start),
            Fraction(start + time_step_s),
        )

    @classmethod
    def of_edge(cls, *, before_s: Fraction, after_s: Fraction, device_s: Fraction) -> Observation:
        """The clock was seen to become `device_s` between two instants."""
        return cls(before_s, after_s, device_s, device_s)

    def half_planes(self, tref_s: Fraction, wander_s: Fraction) -> tuple[HalfPlane, HalfPlane]:
        """What it leaves of (offset_s at `tref_s`, rate_error_ppm)."""
        # In ticks that all of the numbers are whole in: fractions would cost more than all the rest.
        values = (self.a, self.b, self.lo, self.hi, tref_s, wander_s)
        ticks = lcm(*[value.denominator for value in values])
        a, b, lo, hi, tref, wander = [value.numerator * (ticks // value.denominator) for value in values]
        one = ticks * PPM
        return HalfPlane(one, b - tref, (b + wander - lo) * PPM), HalfPlane(-one, tref - a, (hi + wander - a) * PPM)
