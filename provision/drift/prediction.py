"""When a token's codes will be refused: from what its clock may do, and from what a server takes.

A server that remembers a shift of s seconds and takes codes `back_steps` behind and `forward_steps` ahead accepts for
sure while the token's offset is within [s - back, s + forward] seconds, and refuses for sure one step beyond; between
the two it depends on where in a step somebody logs in.

Every vertex of an estimate is one clock that is possible, a straight line over time; ageing widens it by a parabola.
So each question is a quadratic in whole numbers, and its answer exact to the second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt, lcm
from typing import NamedTuple

from provision.drift.estimate import YEAR_S, Estimate
from provision.drift.observation import PPM

HORIZON_S = 100 * 31_557_600  # who asks for later than a hundred years gets "never"


@dataclass(frozen=True, slots=True)
class Window:
    """What a server takes. `shift_s`: what it remembers of this token's clock. `delay_s`: what typing may take, which
    makes a clock look slower by as much."""

    back_steps: int
    forward_steps: int
    time_step_s: int = 30
    shift_s: Fraction = Fraction(0)
    delay_s: Fraction = Fraction(0)

    def limits_s(self, more_steps: int = 0) -> tuple[Fraction, Fraction]:
        """The least and greatest offset inside it, with `more_steps` on both sides."""
        return (
            self.shift_s - (self.back_steps + more_steps) * self.time_step_s + self.delay_s,
            self.shift_s + (self.forward_steps + more_steps) * self.time_step_s,
        )

    def acceptance(self, offset_s: Fraction) -> Fraction:
        """The probability that a code typed at once, at a random moment, is accepted."""
        delta = (offset_s - self.shift_s) / self.time_step_s
        room = self.forward_steps - delta if delta > 0 else self.back_steps + delta
        return min(max(room + 1, Fraction(0)), Fraction(1))


@dataclass(frozen=True, slots=True)
class Forecast:
    """Whole Unix seconds (the one in which it begins), never before `from_s`; None: not within HORIZON_S, or not for
    sure.

    first_possible_failure_s    from here on a login may be refused
    certain_failure_s           from here on some logins are refused for certain
    total_failure_s             from here on every login is refused for certain
    """

    from_s: int
    first_possible_failure_s: int | None
    certain_failure_s: int | None
    total_failure_s: int | None


def forecast(estimate: Estimate, window: Window, from_s: int) -> Forecast:
    """From `from_s` on, or from the last observation if that is later. Raises ValueError for an infeasible estimate."""
    if not estimate.is_feasible:
        raise ValueError("a clock that cannot be has no future")
    if estimate.last_s is not None:
        from_s = max(from_s, int(estimate.last_s))
    clocks = _clocks(estimate, window, from_s)
    low, high = window.limits_s()
    lowest, highest = window.limits_s(more_steps=1)
    return Forecast(
        from_s,
        _within_horizon(from_s, (_may_pass(clocks, 1, high), _may_pass(clocks, -1, -low))),
        _within_horizon(from_s, (_must_pass(clocks, 1, high), _must_pass(clocks, -1, -low))),
        _within_horizon(from_s, (_must_pass(clocks, 1, highest), _must_pass(clocks, -1, -lowest))),
    )


def _within_horizon(from_s: int, delays: Iterable[int | None]) -> int | None:
    found = [delay for delay in delays if delay is not None and delay <= HORIZON_S]
    return from_s + min(found) if found else None


class _Parabola(NamedTuple):
    """q u^2 + m u + n, in whole numbers, u being seconds since `from_s`."""

    q: int
    m: int
    n: int

    def last_above(self, root: int) -> int:
        """The last whole second above zero, from the root at which it falls below, rounded down."""
        return root if (self.q * root + self.m) * root + self.n > 0 else root - 1

    def roots(self) -> tuple[int, int] | None:
        """Rounded down, the smaller first; None if it has none. Only for q != 0."""
        square = self.m * self.m - 4 * self.q * self.n
        if square < 0:
            return None
        root = isqrt(square)
        over = root if root * root == square else root + 1
        q, m = (self.q, self.m) if self.q > 0 else (-self.q, -self.m)
        return (-m - over) // (2 * q), (-m + root) // (2 * q)


class _Clock(NamedTuple):
    """An extreme clock, `scale` times as large so that all is whole: its offset at `from_s`, its rate, and by how much
    q u^2 + m u + n its offset may be wider on either side."""

    scale: int
    offset: int
    rate: int
    q: int
    m: int
    n: int

    def excess(self, sign: int, limit_s: Fraction, widening: int) -> _Parabola:
        """By how much `sign` times its offset is over `limit_s`, wander and ageing added (`widening` 1) or taken off
        (-1)."""
        limit = limit_s.numerator * (self.scale // limit_s.denominator)
        return _Parabola(
            widening * self.q, sign * self.rate + widening * self.m, sign * self.offset - limit + widening * self.n
        )


def _clocks(estimate: Estimate, window: Window, from_s: int) -> list[_Clock]:
    model = estimate.model
    half = model.ageing_ppm_per_year_max / (2 * PPM * YEAR_S)
    since = from_s - estimate.last_s if estimate.last_s is not None else Fraction(0)
    wider = (half, 2 * half * since, model.wander_s + half * since * since)
    limits = (window.shift_s, window.delay_s)
    clocks = []
    for offset_s, rate_error_ppm in estimate.polygon.vertices:
        rate = rate_error_ppm / PPM
        values = (offset_s + rate * (from_s - model.tref_s), rate, *wider)
        scale = lcm(*[value.denominator for value in (*values, *limits)])
        clocks.append(_Clock(scale, *[value.numerator * (scale // value.denominator) for value in values]))
    return clocks


def _may_pass(clocks: Iterable[_Clock], sign: int, limit_s: Fraction) -> int | None:
    """Seconds until the first of the possible clocks passes the limit."""
    delays = []
    for clock in clocks:
        curve = clock.excess(sign, limit_s, widening=1)
        q, m, n = curve
        if n > 0:
            return 0
        if q:
            roots = curve.roots()
            assert roots is not None, "a parabola that opens upward and is below zero here comes up again"
            delays.append(roots[1])
        elif m > 0:
            delays.append(-n // m)
    return min(delays, default=None)


def _must_pass(clocks: Iterable[_Clock], sign: int, limit_s: Fraction) -> int | None:
    """Seconds until the last of the possible clocks has passed it, while none has come back."""
    begins, ends = 0, HORIZON_S + 1
    for clock in clocks:
        curve = clock.excess(sign, limit_s, widening=-1)
        q, m, n = curve
        if q:
            roots = curve.roots()
            if roots is None:
                return None
            begins, ends = max(begins, roots[0]), min(ends, curve.last_above(roots[1]))
        elif m > 0:
            begins = max(begins, -n // m)
        elif m < 0:
            ends = min(ends, curve.last_above(n // -m))
        elif n <= 0:
            return None
    return begins if begins <= ends else None
