"""The simulator is the oracle: whatever became of a token's clock, it is found where the oscillator says that it is."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmware_sim.core import otp
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import BatteryEvent, OscillatorState
from provision.drift import places
from provision.drift.search import Candidate, Shown, search
from provision.model import OtpParameters, Secret

BORN = 1_672_531_200  # 2023-01-01 UTC
DAY = 86_400
DIED_DAYS = 500
TWO_YEARS_DAYS = 731  # from BORN: 2024 is a leap year
KEY = b"12345678901234567890"
PARAMETERS = OtpParameters(time_step_s=60)


def device_s(oscillator: QuartzOscillator, now: int) -> float:
    device_us = oscillator.device_time_us(now)
    assert device_us is not None
    return device_us / 1e6


def find(oscillator: QuartzOscillator, now: int) -> Candidate:
    """The first clock that explains what the token shows from `now` on."""
    first = PARAMETERS.step_at(device_s(oscillator, now))
    codes = tuple(otp.code(KEY, first + n, "sha1", 6) for n in range(3))
    return next(search(Shown(codes, now), Secret(KEY), PARAMETERS, places.likely(now, BORN)))


def assert_true(candidate: Candidate, oscillator: QuartzOscillator, now: int) -> None:
    assert candidate.unix_s <= device_s(oscillator, now) < candidate.unix_s + PARAMETERS.time_step_s
    truth = oscillator.offset_s(now)
    assert truth is not None and candidate.offset_s <= truth < candidate.offset_s + PARAMETERS.time_step_s


@given(st.integers(-40, 40), st.integers(1, 3 * 365))
def test_slow_or_fast(rate_error_ppm: int, days: int) -> None:
    oscillator = QuartzOscillator(OscillatorState.start(BORN, rate_error_ppm=rate_error_ppm))
    now = BORN + days * DAY
    candidate = find(oscillator, now)
    assert_true(candidate, oscillator, now)
    if abs(candidate.offset_s) < places.NEAR_S - PARAMETERS.time_step_s:
        assert candidate.place.reason == "near-now"


@given(st.sampled_from((-8, -5, -1, 1, 2, 9)), st.integers(1, 365))
def test_set_to_local_time(hours: int, days: int) -> None:
    oscillator = QuartzOscillator(OscillatorState.start(BORN, rate_error_ppm=-5))
    oscillator.change(BORN, offset_s=hours * 3600)
    now = BORN + days * DAY
    candidate = find(oscillator, now)
    assert_true(candidate, oscillator, now)
    assert candidate.place.reason == ("daylight-saving" if abs(hours) == 1 else "time-zone")


@settings(max_examples=5)
@pytest.mark.parametrize(
    ("restart_s", "reason"), [(0, "epoch-1970"), (946_684_800, "epoch-2000"), (BORN, "epoch-birth")]
)
@given(lying=st.integers(1, 400), since=st.integers(1, 80))
@example(lying=TWO_YEARS_DAYS - DIED_DAYS, since=1)
def test_began_anew_with_a_new_battery(restart_s: int, reason: str, lying: int, since: int) -> None:
    oscillator = QuartzOscillator(OscillatorState.start(BORN, rate_error_ppm=-12, restart_s=restart_s))
    dead = BORN + DIED_DAYS * DAY
    oscillator.battery(dead, BatteryEvent.DIED)
    oscillator.battery(dead + lying * DAY, BatteryEvent.REPLACED)
    now = dead + (lying + since) * DAY
    candidate = find(oscillator, now)
    assert_true(candidate, oscillator, now)
    # Born to the day two years ago: whoever set the year wrong by two left the same clock.
    told = "wrong-date" if (restart_s, lying) == (BORN, TWO_YEARS_DAYS - DIED_DAYS) else reason
    assert candidate.place.reason == told


def test_stood_still_for_months() -> None:
    oscillator = QuartzOscillator(OscillatorState.start(BORN, restart_s=BORN + 500 * DAY))
    oscillator.battery(BORN + 500 * DAY, BatteryEvent.DIED)
    oscillator.battery(BORN + 640 * DAY, BatteryEvent.REPLACED)  # and its clock goes on where it stopped
    now = BORN + 700 * DAY
    candidate = find(oscillator, now)
    assert_true(candidate, oscillator, now)
    assert candidate.place.reason == "stopped"
