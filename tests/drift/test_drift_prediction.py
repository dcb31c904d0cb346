"""When codes will be refused: the published dates, and what a clock followed second by second does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from provision.drift.estimate import Estimate, Model
from provision.drift.observation import Observation
from provision.drift.outlook import Outlook, Server
from provision.drift.prediction import HORIZON_S, Forecast, Window, forecast
from tests.drift.strategies import MODEL, TREF, Truth, fractions, lives

LAST = 1_798_338_228  # TV3's last login
DAY = 86_400


@pytest.fixture(scope="module")
def thirteen_logins() -> Estimate:
    """drift.json's TV3: a year of a token that runs 8 ppm fast."""
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "drift.json").read_text("utf-8"))
    (vector,) = (one for one in vectors if one["name"] == "TV3")
    seen = [Observation(*(Fraction(one[name]) for name in ("a", "b", "lo", "hi"))) for one in vector["observations"]]
    rate = (Fraction(-200), Fraction(200))
    return Estimate.of(Model(Fraction(TREF), rate_error_ppm=rate), seen)


def utc(unix_s: int | None) -> str:
    assert unix_s is not None
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_published_dates(thirteen_logins: Estimate) -> None:
    found = forecast(thirteen_logins, Window(10, 10), LAST)
    assert utc(found.first_possible_failure_s) == "2027-02-15T08:10:40Z"
    assert utc(found.certain_failure_s) == "2027-03-08T18:37:13Z"
    assert utc(found.total_failure_s) == "2027-04-22T13:45:37Z"


@pytest.mark.parametrize(
    ("steps", "first_days", "certain_days"),
    [(1, 50.2, 71.7), (4, 173.3, 206.1), (6, 255.4, 295.7), (10, 419.5, 474.9), (20, 829.9, 922.8)],
)
def test_a_server_that_follows(thirteen_logins: Estimate, steps: int, first_days: float, certain_days: float) -> None:
    found = forecast(thirteen_logins, Window(steps, steps, shift_s=Fraction(270)), LAST)
    assert found.first_possible_failure_s is not None
    assert found.certain_failure_s is not None
    assert round((found.first_possible_failure_s - LAST) / DAY, 1) == first_days
    assert round((found.certain_failure_s - LAST) / DAY, 1) == certain_days


def point(truth: Truth) -> Estimate:
    """A clock that is known."""
    return Estimate.of(
        Model(Fraction(TREF), (truth.offset_s, truth.offset_s), (truth.rate_error_ppm, truth.rate_error_ppm))
    )


windows = st.builds(
    Window,
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from((30, 60)),
    fractions(-300, 300, 0),
    fractions(0, 20, 0),
)


@given(lives(), windows)
def test_no_forecast_is_later_than_a_worse_one(life: tuple[Truth, list[Observation]], window: Window) -> None:
    found = forecast(Estimate.of(MODEL, life[1]), window, TREF)
    moments = [found.first_possible_failure_s, found.certain_failure_s, found.total_failure_s]
    later = [HORIZON_S * 10 if moment is None else moment for moment in moments]
    assert later == sorted(later)
    assert later[0] >= found.from_s


@given(lives(), windows, st.integers(0, 3 * 31_557_600))
def test_the_truth_keeps_to_the_forecast(life: tuple[Truth, list[Observation]], window: Window, later: int) -> None:
    """Before the first date every login of the true clock is accepted, after the last one none is."""
    truth, seen = life
    found = forecast(Estimate.of(MODEL, seen), window, TREF)
    at = Fraction(found.from_s + later)
    low, high = window.limits_s()
    offset_s = truth.offset_at(at)
    if found.first_possible_failure_s is None or at < found.first_possible_failure_s:
        assert low <= offset_s <= high
        assert window.acceptance(offset_s - window.delay_s) == 1 or window.delay_s
    one_clock = forecast(point(truth), window, found.from_s)
    if found.certain_failure_s is not None:
        assert one_clock.certain_failure_s is not None
        assert one_clock.certain_failure_s <= found.certain_failure_s
    if found.total_failure_s is not None:
        assert one_clock.total_failure_s is not None
        assert one_clock.total_failure_s <= found.total_failure_s


@given(fractions(-60, 60), fractions(-40, 40).filter(bool), windows, fractions(0, 3))
def test_a_known_clock_fails_when_it_passes_the_limit(
    offset_s: Fraction, rate: Fraction, window: Window, ageing: Fraction
) -> None:
    """Followed second by second around the date; ageing widens on both sides."""
    low, high = window.limits_s()
    assume(low <= offset_s <= high)
    model = Model(Fraction(TREF), (offset_s, offset_s), (rate, rate), Fraction(0), ageing)
    seen = Observation.of_edge(before_s=Fraction(TREF), after_s=Fraction(TREF), device_s=TREF + offset_s)
    estimate = Estimate.of(model, [seen])
    found = forecast(estimate, window, TREF)
    for moment, inside in (
        (
            found.first_possible_failure_s,
            lambda t: low <= estimate.offset_at(t)[0] and estimate.offset_at(t)[1] <= high,
        ),
        (found.certain_failure_s, lambda t: low <= estimate.offset_at(t)[1] and estimate.offset_at(t)[0] <= high),
    ):
        if moment is not None:
            assert inside(Fraction(moment - 1)) or moment == TREF
            assert not inside(Fraction(moment + 2))


def test_ageing_may_take_back_what_seemed_certain() -> None:
    """So slow a drift that the uncertainty outgrows it: possible, never certain."""
    model = Model(Fraction(TREF), (Fraction(0), Fraction(0)), (Fraction(1), Fraction(1)), Fraction(0), Fraction(1))
    seen = Observation.of_edge(before_s=Fraction(TREF), after_s=Fraction(TREF), device_s=Fraction(TREF))
    found = forecast(Estimate.of(model, [seen]), Window(1, 1), TREF)
    assert found.first_possible_failure_s is not None
    assert (found.certain_failure_s, found.total_failure_s) == (None, None)


def test_a_perfect_clock_never_fails_and_a_lost_one_has_failed() -> None:
    assert forecast(point(Truth(Fraction(0), Fraction(0))), Window(1, 1), TREF) == Forecast(TREF, None, None, None)
    lost = forecast(point(Truth(Fraction(3600), Fraction(0))), Window(1, 1), TREF)
    assert lost == Forecast(TREF, TREF, TREF, TREF)


@given(st.integers(0, 5), st.integers(0, 5), fractions(-200, 200, 0), fractions(-30, 30, 0))
def test_acceptance_is_the_share_of_moments_at_which_the_step_is_in_the_window(
    back: int, forward: int, offset_s: Fraction, shift_s: Fraction
) -> None:
    window = Window(back, forward, shift_s=shift_s)
    phases = [Fraction(2 * i + 1, 4) for i in range(60)]  # the middle of every half second of a step
    accepted = sum(-back <= (phase + offset_s - shift_s) // 30 <= forward for phase in phases)
    assert window.acceptance(offset_s) == Fraction(accepted, len(phases))


def test_an_infeasible_estimate_has_no_future() -> None:
    with pytest.raises(ValueError, match="cannot be"):
        forecast(Estimate.of(Model(Fraction(TREF), (Fraction(1), Fraction(0)))), Window(1, 1), TREF)


@given(fractions(-300, 300, 0), fractions(0, 200, 0), st.integers(0, 5), st.integers(0, 5), fractions(-90, 90, 0))
def test_the_chances_are_the_least_and_the_greatest_between_two_offsets(
    low: Fraction, width: Fraction, back: int, forward: int, shift_s: Fraction
) -> None:
    """Also where the likeliest offset lies within, and the window leans to one side."""
    window = Window(back, forward, shift_s=shift_s)
    found = Outlook(Server(None, (back, forward)), window, None, at_s=Fraction(TREF), offset_s=(low, low + width))
    chances = [window.acceptance(low + Fraction(i, 2)) for i in range(2 * int(width) + 1)]
    assert found.accepted is not None
    least, greatest = found.accepted
    assert least == min(chances)
    assert greatest >= max(chances)
    assert (greatest == 1) == (low <= shift_s + forward * 30 and low + width >= shift_s - back * 30)
