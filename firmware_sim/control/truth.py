"""What no real token could tell: how its clock really stands and why."""

from __future__ import annotations

from fractions import Fraction
from typing import TypedDict

from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import YEAR, true_us
from firmware_sim.temperature import temperature_error_ppm


class Truth(TypedDict):
    """Times in Unix seconds; `offset_s` is device minus true. None: the clock stands still."""

    true_time_s: float
    device_time_s: float | None
    offset_s: float | None
    rate_error_ppm: float
    ageing_ppm_per_year: float
    temperature_c: float
    battery: str


def truth(oscillator: QuartzOscillator, now: float) -> Truth:
    """All of it at true time `now`. `rate_error_ppm` is the momentary one, ageing and temperature included."""
    state = oscillator.state
    device_us = oscillator.device_time_us(now)
    celsius = state.temperature.celsius_at(true_us(now) - state.temperature_start_us)
    aged = state.ageing_ppm_per_year * Fraction(true_us(now) - state.ageing_start_us, YEAR)
    return Truth(
        true_time_s=now,
        device_time_s=None if device_us is None else device_us / 1e6,
        offset_s=oscillator.offset_s(now),
        rate_error_ppm=float(state.rate_error_ppm + aged + temperature_error_ppm(celsius)),
        ageing_ppm_per_year=float(state.ageing_ppm_per_year),
        temperature_c=float(celsius),
        battery=state.battery.value,
    )
