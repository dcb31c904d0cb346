"""The drifting clock against numeric integration, an independent formula, and what the field measured."""

from __future__ import annotations

import itertools
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.exact import exact, exact_text
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import BatteryEvent, BatteryState, OscillatorState, from_dict, to_dict
from firmware_sim.seams import Battery, OscillatorError
from firmware_sim.temperature import PROFILES, TemperatureProfile, temperature_error_ppm

NOW = 1767225600.0  # 2026-01-01
DAY = 86400
YEAR = 31_557_600

PPM = st.decimals(-200, 200, places=3)
AGEING = st.decimals(-5, 5, places=3)
SPANS = st.integers(0, 10 * YEAR * 64).map(lambda ticks: ticks / 64)  # seconds; exact as floats
TEMPERATURES = st.lists(st.tuples(st.integers(1, 100_000), st.integers(-40, 85)), min_size=1, max_size=5).map(
    TemperatureProfile.cycle
)
PARAMETERS = st.fixed_dictionaries(
    {
        "offset_s": st.decimals(-1000, 1000, places=6),
        "rate_error_ppm": PPM,
        "ageing_ppm_per_year": AGEING,
        "temperature": TEMPERATURES,
        "jitter_us": st.just(0) | st.integers(0, 100_000),
        "jitter_seed": st.integers(0, 2**64 - 1),
    }
)


def quartz(now: float = NOW, **parameters: Any) -> QuartzOscillator:
    return QuartzOscillator(OscillatorState.start(now, **parameters))


def reading(oscillator: QuartzOscillator, now: float) -> int:
    device_us = oscillator.device_time_us(now)
    assert device_us is not None
    return device_us


def offset_us(oscillator: QuartzOscillator, now: float) -> int:
    return reading(oscillator, now) - round(now * 1_000_000)


def test_the_data_sheets_parabola() -> None:
    assert temperature_error_ppm(Fraction(0)) == Fraction("-21.25")
    assert temperature_error_ppm(Fraction(25)) == 0
    assert [float(temperature_error_ppm(Fraction(c))) for c in (20, 30, 35, 60)] == [-0.85, -0.85, -3.4, -41.65]
    assert offset_us(quartz(temperature=TemperatureProfile.constant(0)), NOW + 1_000_000) == -21_250_000


def test_the_fields_eight_steps_in_three_years() -> None:
    """Tokens of a maker who promised 2.5 ppm were found 7 to 8 steps of 30 s off after three years in a box."""
    oscillator = quartz(rate_error_ppm=2.5)
    end = NOW + 3 * YEAR
    assert offset_us(oscillator, end) == 236_682_000  # 7.9 steps
    steps = {reading(oscillator, end + s) // 30_000_000 - int(end + s) // 30 for s in range(30)}
    assert steps == {7, 8}


def test_ageing_grows_with_the_square_of_time() -> None:
    oscillator = quartz(ageing_ppm_per_year=1)
    assert offset_us(oscillator, NOW + YEAR) == YEAR // 2
    assert offset_us(oscillator, NOW + 2 * YEAR) == 4 * (YEAR // 2)


@given(PARAMETERS, SPANS)
def test_ten_years_against_an_independent_formula(parameters: dict[str, Any], span: float) -> None:
    oscillator = quartz(**parameters | {"jitter_us": 0})
    e = Fraction(span)
    rate = Fraction(parameters["rate_error_ppm"]) / 10**6
    heat = Fraction(0)
    cycle = [(Fraction(us, 10**6), temperature_error_ppm(c)) for us, c in parameters["temperature"].segments]
    period = sum(duration for duration, _ in cycle)
    heat += (e // period) * sum(duration * ppm for duration, ppm in cycle)
    left = e % period
    for duration, ppm in cycle:
        heat += min(left, duration) * ppm
        left -= min(left, duration)
    ageing = Fraction(parameters["ageing_ppm_per_year"]) * e * e / (2 * YEAR)
    device = Fraction(NOW) + Fraction(parameters["offset_s"]) + e + rate * e + (heat + ageing) / 10**6
    assert reading(oscillator, NOW + span) == device * 10**6 // 1


@given(PARAMETERS, st.lists(st.tuples(st.integers(1, 40), st.integers(-40, 85)), min_size=1, max_size=5))
@settings(max_examples=15)
def test_the_closed_form_is_the_integral_of_the_rate(parameters: dict[str, Any], course: list[tuple[int, int]]) -> None:
    """Sampled in the middle of steps within which temperature does not change, where that sum has no error."""
    step, steps = 50, 2000
    profile = TemperatureProfile.cycle([(step * length, celsius) for length, celsius in course])
    oscillator = quartz(**parameters | {"jitter_us": 0, "temperature": profile})
    temperatures = itertools.cycle([celsius for length, celsius in course for _ in range(length)])
    error_us = 0.0
    for number, celsius in zip(range(steps), temperatures, strict=False):
        age_years = (number + 0.5) * step / YEAR
        ppm = float(parameters["rate_error_ppm"]) + float(parameters["ageing_ppm_per_year"]) * age_years
        error_us += step * (ppm - 0.034 * (celsius - 25) ** 2)
    expected = float(parameters["offset_s"]) * 1e6 + error_us
    assert offset_us(oscillator, NOW + step * steps) == pytest.approx(expected, abs=1.01, rel=0)


@given(PARAMETERS, st.lists(SPANS, min_size=1, max_size=8))
def test_many_small_steps_are_one_jump(parameters: dict[str, Any], spans: list[float]) -> None:
    """Re-anchoring, which every change does, loses not a microsecond, whatever the number of times."""
    jumped, stepped = quartz(**parameters), quartz(**parameters)
    for now in sorted(NOW + span for span in spans):
        stepped.change(now, ageing_ppm_per_year=parameters["ageing_ppm_per_year"])
    for span in spans:
        assert reading(stepped, NOW + span) == reading(jumped, NOW + span)


CHANGES = st.one_of(
    st.fixed_dictionaries({"rate_error_ppm": PPM}),
    st.fixed_dictionaries({"ageing_ppm_per_year": AGEING}),
    st.fixed_dictionaries({"temperature": TEMPERATURES}),
    st.fixed_dictionaries({"jitter_us": st.integers(0, 100_000)}),
    st.fixed_dictionaries({"rate_error_ppm": PPM, "ageing_ppm_per_year": AGEING, "temperature": TEMPERATURES}),
)


@given(PARAMETERS, SPANS, CHANGES)
def test_no_change_makes_the_clock_jump(parameters: dict[str, Any], span: float, change: dict[str, Any]) -> None:
    oscillator = quartz(**parameters)
    now = NOW + span
    before = reading(oscillator, now)
    oscillator.change(now, **change)
    assert reading(oscillator, now) == before
    assert abs(reading(oscillator, now + 1) - before - 1_000_000) < 210_000


@given(PARAMETERS, st.lists(st.integers(0, 3_000_000), min_size=2, max_size=40))
def test_device_time_never_goes_back(parameters: dict[str, Any], instants_us: list[int]) -> None:
    oscillator = quartz(**parameters | {"jitter_us": 100_000})
    readings = [reading(oscillator, NOW + us / 1e6) for us in sorted(instants_us)]
    assert readings == sorted(readings)


@given(st.integers(1, 100_000), st.integers(0, 2**64 - 1), SPANS)
def test_jitter_is_bounded_repeatable_and_there(amplitude: int, seed: int, span: float) -> None:
    noisy, calm = quartz(jitter_us=amplitude, jitter_seed=seed), quartz()
    errors = [reading(noisy, NOW + span + n) - reading(calm, NOW + span + n) for n in range(50)]
    assert all(-amplitude - 1 <= error <= amplitude for error in errors)
    assert len(set(errors)) > 1
    again = quartz(jitter_us=amplitude, jitter_seed=seed)
    assert [reading(again, NOW + span + n) - reading(calm, NOW + span + n) for n in range(50)] == errors


def test_jitter_uses_its_whole_range_and_its_seed() -> None:
    def errors(seed: int) -> list[int]:
        oscillator = quartz(jitter_us=100, jitter_seed=seed)
        return [offset_us(oscillator, NOW + n) for n in range(2000)]

    assert (min(errors(1)), max(errors(1))) == (-100, 100)
    assert abs(sum(errors(1))) < 2000 * 10
    assert errors(1) != errors(2)


@given(PARAMETERS, SPANS, st.integers(0, 2**40))
def test_setting_the_clock_is_exact_and_keeps_its_rate(parameters: dict[str, Any], span: float, device_s: int) -> None:
    oscillator = quartz(**parameters)
    now = NOW + span
    before = oscillator.state
    oscillator.set_device_time(now, device_s)
    assert reading(oscillator, now) == device_s * 1_000_000
    assert oscillator.state.rate_error_ppm == before.rate_error_ppm
    assert oscillator.state.ageing_start_us == before.ageing_start_us


@given(PARAMETERS, SPANS, SPANS)
def test_age_is_time_that_only_the_error_saw(parameters: dict[str, Any], span: float, age: float) -> None:
    parameters |= {"jitter_us": 0}
    aged, waited = quartz(**parameters), quartz(**parameters)
    now = NOW + span
    aged.age(now, age)
    for later in (0, 1, 12345, YEAR):
        assert offset_us(aged, now + later) == offset_us(waited, now + age + later)


def test_eighteen_months_in_a_drawer() -> None:
    oscillator = quartz(rate_error_ppm=-8, temperature=TemperatureProfile.named("desk"))
    oscillator.age(NOW, 18 * YEAR // 12)
    assert oscillator.offset_s(NOW) == pytest.approx(-8.306 * 1.5 * YEAR / 1e6, abs=1e-5)


@given(PARAMETERS, SPANS, CHANGES, SPANS)
def test_a_restart_from_the_state_file_changes_nothing(
    parameters: dict[str, Any], span: float, change: dict[str, Any], later: float
) -> None:
    oscillator = quartz(**parameters)
    oscillator.change(NOW + span, **change)
    text = json.dumps(to_dict(oscillator.state))
    again = QuartzOscillator(from_dict(json.loads(text)))
    assert again.state == oscillator.state
    assert again.device_time_us(NOW + span + later) == oscillator.device_time_us(NOW + span + later)


def test_the_state_reads_like_the_question_that_made_it() -> None:
    assert to_dict(OscillatorState.start(NOW, offset_s=-0.1, rate_error_ppm=2.5, jitter_us=20, jitter_seed=7)) == {
        "anchor_true_s": "1767225600",
        "anchor_device_s": "1767225599.9",
        "rate_error_ppm": "2.5",
        "ageing_ppm_per_year": "0",
        "ageing_start_s": "1767225600",
        "temperature": [{"duration_s": "86400", "celsius": "25"}],
        "temperature_start_s": "1767225600",
        "jitter_us": 20,
        "jitter_seed": 7,
        "battery": "good",
        "restart_s": None,
        "time_lost": False,
    }


def test_a_weak_battery_shows_and_the_clock_runs_on() -> None:
    oscillator = quartz(rate_error_ppm=10)
    oscillator.battery(NOW + 5, BatteryEvent.WEAKENED)
    assert oscillator.state.battery is BatteryState.LOW
    assert oscillator.battery_status(NOW + 6) is Battery.LOW
    assert offset_us(oscillator, NOW + 1_000_000) == 10_000_000
    oscillator.battery(NOW + 10, BatteryEvent.REPLACED)
    assert (oscillator.state.battery, oscillator.state.time_lost) == (BatteryState.GOOD, False)
    assert offset_us(oscillator, NOW + 1_000_000) == 10_000_000


def test_a_dead_battery_stops_the_clock_until_it_is_replaced_and_set() -> None:
    oscillator = quartz()
    oscillator.battery(NOW, BatteryEvent.DIED)
    assert (oscillator.state.battery, oscillator.state.time_lost) == (BatteryState.DEAD, True)
    assert oscillator.device_time_us(NOW + 1) is oscillator.offset_s(NOW + 1) is None
    with pytest.raises(OscillatorError, match="battery is dead"):
        oscillator.set_device_time(NOW + 1, 5)
    with pytest.raises(OscillatorError, match="stands still"):
        oscillator.change(NOW + 1, offset_s=0)
    oscillator.change(NOW + 1, rate_error_ppm=3, jitter_us=5)
    oscillator.age(NOW + 1, YEAR)
    assert from_dict(to_dict(oscillator.state)) == oscillator.state
    oscillator.battery(NOW + 2, BatteryEvent.REPLACED)
    assert oscillator.device_time_us(NOW + 3) is None
    assert oscillator.battery_status(NOW + 3) is Battery.STOPPED
    oscillator.set_device_time(NOW + 4, 1767225604)
    assert reading(oscillator, NOW + 4) == 1767225604_000_000
    assert oscillator.battery_status(NOW + 4) is Battery.GOOD


def test_a_clock_may_restart_at_the_familys_epoch() -> None:
    oscillator = quartz(restart_s=946684800, jitter_us=50)
    oscillator.battery(NOW, BatteryEvent.DIED)
    assert oscillator.device_time_us(NOW + 1) is None
    oscillator.battery(NOW + 100, BatteryEvent.REPLACED)
    assert reading(oscillator, NOW + 100) == 946684800_000_000
    assert abs(reading(oscillator, NOW + 160) - 946684860_000_000) <= 100
    assert oscillator.battery_status(NOW + 160) is Battery.STOPPED


def test_an_offset_can_be_given_and_is_the_only_jump() -> None:
    oscillator = quartz(rate_error_ppm=7)
    oscillator.change(NOW + YEAR, offset_s="-47.3")
    assert oscillator.offset_s(NOW + YEAR) == -47.3


def test_the_counter_does_not_go_below_zero_when_true_time_is_set_back() -> None:
    oscillator = quartz()
    oscillator.set_device_time(NOW, 10)
    assert reading(oscillator, NOW - 5) == 5_000_000
    assert reading(oscillator, NOW - 50) == 0


@pytest.mark.parametrize("name", PROFILES)
def test_named_profiles_slow_a_token_down(name: str) -> None:
    year_offset = offset_us(quartz(temperature=TemperatureProfile.named(name)), NOW + YEAR)
    assert -2000_000_000 < year_offset < 0


@pytest.mark.parametrize(
    "parameters",
    [
        {"rate_error_ppm": 100_001},
        {"rate_error_ppm": "fast"},
        {"rate_error_ppm": float("nan")},
        {"rate_error_ppm": "1e1000000"},
        {"rate_error_ppm": "9" * 5000},
        {"rate_error_ppm": "1e-1000000"},
        {"ageing_ppm_per_year": -1001},
        {"offset_s": -NOW - 1},
        {"offset_s": 2**41},
        {"jitter_us": -1},
        {"jitter_us": 100_001},
        {"jitter_seed": 2**64},
        {"restart_s": -1},
    ],
)
def test_parameters_out_of_range_are_named(parameters: dict[str, Any]) -> None:
    with pytest.raises(OscillatorError):
        quartz(**parameters)


def test_a_refused_change_changes_nothing() -> None:
    oscillator = quartz(ageing_ppm_per_year=1000)
    before = oscillator.state
    for refused in ({"rate_error_ppm": 1, "jitter_us": -1}, {"offset_s": -(2**32)}, {"ageing_ppm_per_year": 1e9}):
        with pytest.raises(OscillatorError):
            oscillator.change(NOW + 1, **refused)  # type: ignore[arg-type]  # keywords of several types
    assert oscillator.state == before
    oscillator.age(NOW, 100 * YEAR)
    with pytest.raises(OscillatorError, match="rate_error_ppm"):
        oscillator.age(NOW, YEAR)
    with pytest.raises(OscillatorError):
        quartz().age(NOW, -1)
    with pytest.raises(OscillatorError):
        quartz().set_device_time(NOW, 2**40 + 1)


@pytest.mark.parametrize("segments", [[], [(0, 20)], [(1, 151)], [(1, -61)], [(1, 20)] * 1001, [(-5, 20)]])
def test_profiles_out_of_range_are_refused(segments: list[tuple[int, int]]) -> None:
    with pytest.raises(OscillatorError):
        TemperatureProfile.cycle(segments)
    with pytest.raises(OscillatorError, match="desk, pocket, car, freezer"):
        TemperatureProfile.named("sauna")


@given(
    st.fractions(), st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=9)
)
def test_numbers_mean_what_they_say(fraction: Fraction, decimal: Any) -> None:
    assert exact(exact_text(fraction)) == fraction
    assert exact(decimal) == exact(str(decimal)) == Fraction(decimal)
    assert "/" not in exact_text(Fraction(decimal))
    assert exact(0.1) == Fraction(1, 10)
