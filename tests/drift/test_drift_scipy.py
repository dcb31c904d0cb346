"""Another's linear programme judges the polygon: SciPy's HiGHS, in floats, in units in which everything is near one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from scipy.optimize import linprog

from provision.drift.estimate import Estimate
from provision.drift.observation import PPM, Observation
from tests.drift.strategies import MODEL, TREF, YEAR, Truth, lives

SPAN_S = Fraction(YEAR)  # the rate is counted in the seconds that it makes in a year: 32 for each ppm
CENTRE_S = Fraction(TREF - YEAR)  # a year before anything is seen: HiGHS takes coefficients under 1e-9 for zero
TOLERANCE_S = 1e-6
NEAR_TREF = (
    Truth(Fraction(0), Fraction(0)),
    [
        Observation(TREF - Fraction("0.4"), TREF + Fraction("0.031"), Fraction(TREF), Fraction(TREF + 1)),
        Observation(*[TREF + Fraction("842285.89")] * 2, Fraction(TREF + 842280), Fraction(TREF + 842310)),
    ],
)


def extremes(seen: list[Observation], objective: tuple[float, float]) -> tuple[float, float]:
    """The least and greatest of objective . (offset_s at CENTRE_S, rate in seconds a year) over all clocks."""
    at_most, limits = [(-1.0, -1.0), (1.0, 1.0)], [-float(MODEL.offset_s[0]), float(MODEL.offset_s[1])]
    for one in seen:
        at_most.append((-1.0, -float((one.b - CENTRE_S) / SPAN_S)))
        limits.append(-float(one.lo - one.b))
        at_most.append((1.0, float((one.a - CENTRE_S) / SPAN_S)))
        limits.append(float(one.hi - one.a))
    ends = []
    for sign in (1, -1):
        found = linprog(
            [sign * weight for weight in objective],
            A_ub=at_most,
            b_ub=limits,
            bounds=[(None, None), tuple(float(rate * SPAN_S / PPM) for rate in MODEL.rate_error_ppm)],
            method="highs",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        assert found.status == 0, found.message
        ends.append(sign * found.fun)
    return ends[0], ends[1]


@settings(max_examples=60)
@given(lives())
@example(NEAR_TREF)
def test_bounds_are_those_of_a_linear_programme(life: tuple[Truth, list[Observation]]) -> None:
    seen = life[1]
    estimate = Estimate.of(MODEL, seen)
    exact = {
        (1.0, 1.0): estimate.offset_s,
        (0.0, 1.0): tuple(rate * SPAN_S / PPM for rate in estimate.rate_error_ppm),
        (1.0, 4.0): estimate.offset_at(CENTRE_S + 4 * SPAN_S),  # there the last observation widens nothing: no ageing
    }
    for objective, bounds in exact.items():
        assert extremes(seen, objective) == pytest.approx(tuple(map(float, bounds)), abs=TOLERANCE_S, rel=0)
