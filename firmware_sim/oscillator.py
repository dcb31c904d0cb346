"""The clock that drifts: device time from true time, exact and in closed form, so ten years cost what a second costs.

With e the true time since an anchor, the device's time is

    device(e) = device at the anchor + e + e * rate error + e^2 * ageing / 2
                + the integral of the temperature's error + jitter

as one rational number, rounded down to microseconds at the very end. Changing anything moves the anchor to the
present without touching the value, so the clock never jumps but when it is set.

Signs: rate_error_ppm > 0 runs fast; offset_s is device minus true. A year is 365.25 days.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import lcm
from types import MappingProxyType

from firmware_sim.exact import Number, exact, microseconds
from firmware_sim.oscillator_state import (
    SECOND,
    YEAR,
    BatteryEvent,
    BatteryState,
    OscillatorState,
    checked_ageing,
    checked_device_us,
    checked_jitter,
    checked_rate,
    checked_whole_second,
    true_us,
)
from firmware_sim.seams import Battery, OscillatorError
from firmware_sim.temperature import TemperatureProfile

MILLION = 1_000_000
_LONGEST_AGE_S = 100 * 31_557_600

_AFTER = MappingProxyType(
    {
        BatteryEvent.WEAKENED: BatteryState.LOW,
        BatteryEvent.DIED: BatteryState.DEAD,
        BatteryEvent.REPLACED: BatteryState.GOOD,
    }
)


class QuartzOscillator:
    """Implements seams.Oscillator over an OscillatorState. `now` is true time, Unix seconds, in every method."""

    def __init__(self, state: OscillatorState) -> None:
        self.state = state

    @property
    def state(self) -> OscillatorState:
        """All of it, immutable: keep it to undo, write it down to go on after a restart."""
        return self._state

    @state.setter
    def state(self, state: OscillatorState) -> None:
        self._state = state
        temperature = state.temperature
        steady = temperature.constant_error_ppm
        start = state.device_us or Fraction(0)
        slope = 1 + (_aged_rate(state) + (steady or 0)) / MILLION
        bend = state.ageing_ppm_per_year / (2 * YEAR * MILLION)
        self._denominator = lcm(
            start.denominator, slope.denominator, bend.denominator, temperature.denominator * MILLION, SECOND
        )
        self._start = int(start * self._denominator)
        self._slope = int(slope * self._denominator)
        self._bend = int(bend * self._denominator)
        self._anchor_us = state.anchor_us
        self._runs = state.device_us is not None
        self._jitters = state.jitter_us > 0
        self._heated = steady is None
        self._heat_unit = self._denominator // (temperature.denominator * MILLION)
        self._heat_at_anchor = temperature.integral(state.anchor_us - state.temperature_start_us)

    def device_time_us(self, now: float) -> int | None:
        """Microseconds since the Unix epoch, None while the clock stands still."""
        if not self._runs:
            return None
        now_us = round(now * SECOND)
        total = self._scaled(now_us)
        if self._jitters:
            total += _jitter_sum(self._state, now_us) * (self._denominator // SECOND)
        # True time may be set back by hand to before the token was; a counter still does not go below zero.
        return max(0, total // self._denominator)

    def offset_s(self, now: float) -> float | None:
        """Device minus true, in seconds; None while the clock stands still."""
        device_us = self.device_time_us(now)
        return None if device_us is None else (device_us - true_us(now)) / SECOND

    def set_device_time(self, now: float, device_s: int) -> None:
        """Go on from exactly `device_s` at `now`. Raises OscillatorError if the battery is dead or device_s absurd."""
        if self._state.battery is BatteryState.DEAD:
            raise OscillatorError("the battery is dead: the clock cannot be set until it is replaced")
        state = self._anchored(now)
        device_us = checked_whole_second(device_s) * SECOND - _jitter_at(state)
        self.state = replace(state, device_us=device_us, time_lost=False)

    def battery_status(self, now: float) -> Battery:
        state = self._state
        if state.time_lost or state.device_us is None:
            return Battery.STOPPED
        return Battery.LOW if state.battery is BatteryState.LOW else Battery.GOOD

    def change(
        self,
        now: float,
        *,
        rate_error_ppm: Number | None = None,
        ageing_ppm_per_year: Number | None = None,
        temperature: TemperatureProfile | None = None,
        jitter_us: int | None = None,
        offset_s: Number | None = None,
    ) -> None:
        """From `now` on, other parameters; the clock goes on from where it stands, unless `offset_s` moves it.

        Raises OscillatorError and changes nothing if one of them is out of range.
        """
        state = self._anchored(now)
        if rate_error_ppm is not None or ageing_ppm_per_year is not None:
            rate = _aged_rate(state) if rate_error_ppm is None else rate_error_ppm
            state = replace(
                state,
                rate_error_ppm=checked_rate(rate),
                ageing_ppm_per_year=(
                    state.ageing_ppm_per_year if ageing_ppm_per_year is None else checked_ageing(ageing_ppm_per_year)
                ),
                ageing_start_us=state.anchor_us,
            )
        if temperature is not None:
            state = replace(state, temperature=temperature, temperature_start_us=state.anchor_us)
        if jitter_us is not None:
            other = replace(state, jitter_us=checked_jitter(jitter_us))
            if state.device_us is not None:
                other = replace(other, device_us=state.device_us + _jitter_at(state) - _jitter_at(other))
            state = other
        if offset_s is not None:
            if state.device_us is None:
                raise OscillatorError("the clock stands still: it has no offset to change")
            state = replace(state, device_us=checked_device_us(state.anchor_us + exact(offset_s) * SECOND))
        self.state = state

    def age(self, now: float, seconds: Number) -> None:
        """True time stands still, but the token is as if it had lain there for `seconds` more.

        Its offset, ageing and place in the temperature profile are what they would be then. Raises OscillatorError.
        """
        age_us = microseconds("the age in seconds", seconds, 0, _LONGEST_AGE_S)
        state = self._anchored(now)
        if state.device_us is not None:
            state = replace(state, device_us=checked_device_us(self._nominal(state.anchor_us + age_us) - age_us))
        state = replace(
            state,
            ageing_start_us=state.ageing_start_us - age_us,
            temperature_start_us=state.temperature_start_us - age_us,
        )
        checked_rate(_aged_rate(state))
        self.state = state

    def battery(self, now: float, event: BatteryEvent) -> None:
        """The clock stops when its battery dies. Replacing a dead one restarts it at `restart_s`, or leaves it standing
        until it is set; replacing one that still works costs nothing."""
        state = self._anchored(now)
        device_us, time_lost = state.device_us, state.time_lost
        if event is BatteryEvent.DIED:
            device_us, time_lost = None, True
        elif device_us is None and event is BatteryEvent.REPLACED and state.restart_s is not None:
            device_us = state.restart_s * SECOND - _jitter_at(state)
        self.state = replace(state, battery=_AFTER[event], device_us=device_us, time_lost=time_lost)

    def _scaled(self, now_us: int) -> int:
        """Device time without jitter, in microseconds times the denominator."""
        elapsed = now_us - self._anchor_us
        total = self._start + elapsed * (self._slope + elapsed * self._bend)
        if self._heated:
            state = self._state
            heat = state.temperature.integral(now_us - state.temperature_start_us) - self._heat_at_anchor
            total += heat * self._heat_unit
        return total

    def _nominal(self, now_us: int) -> Fraction:
        return Fraction(self._scaled(now_us), self._denominator)

    def _anchored(self, now: float) -> OscillatorState:
        """The same clock, seen from `now`."""
        now_us = true_us(now)
        device_us = self._nominal(now_us) if self._runs else None
        return replace(self._state, anchor_us=now_us, device_us=device_us)


def _aged_rate(state: OscillatorState) -> Fraction:
    """The rate error at the anchor, in ppm, temperature left out."""
    return state.rate_error_ppm + state.ageing_ppm_per_year * Fraction(state.anchor_us - state.ageing_start_us, YEAR)


def _jitter_at(state: OscillatorState) -> Fraction:
    """The jitter at the anchor, in microseconds."""
    return Fraction(_jitter_sum(state, state.anchor_us), SECOND)


def _jitter_sum(state: OscillatorState, now_us: int) -> int:
    """The jitter in microseconds / 1e6: a line from each second's noise to the next one's.

    With at most 0.1 s of noise a second the line never falls as fast as time rises, so the clock never goes back.
    """
    second, rest = divmod(now_us, SECOND)
    return _noise(state, second) * (SECOND - rest) + _noise(state, second + 1) * rest


def _noise(state: OscillatorState, second: int) -> int:
    """Whole microseconds within [-jitter_us, jitter_us]: SplitMix64 (Steele, Lea, Flood 2014) of seed and second."""
    mask = 0xFFFF_FFFF_FFFF_FFFF
    z = (state.jitter_seed + (second + 1) * 0x9E37_79B9_7F4A_7C15) & mask
    z = (z ^ z >> 30) * 0xBF58_476D_1CE4_E5B9 & mask
    z = (z ^ z >> 27) * 0x94D0_49BB_1331_11EB & mask
    return ((z ^ z >> 31) * (2 * state.jitter_us + 1) >> 64) - state.jitter_us
