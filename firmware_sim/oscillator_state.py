"""Everything that a simulated oscillator is, as one immutable value, and the text that the state file keeps of it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from firmware_sim.exact import Number, bounded, exact, exact_text
from firmware_sim.seams import OscillatorError
from firmware_sim.temperature import TemperatureProfile

SECOND = 1_000_000  # microseconds
YEAR = 31_557_600 * SECOND  # a Julian year

# Within these limits the clock runs forward, whatever temperature and jitter do.
_RATE_PPM = 100_000
_AGEING_PPM = 1_000
_JITTER_US = 100_000
_LATEST_S = 2**40  # the latest time that the reference protocol can set


@enum.unique
class BatteryState(enum.Enum):
    """GOOD and LOW keep the clock running; LOW shows."""

    GOOD = "good"
    LOW = "low"
    DEAD = "dead"


@enum.unique
class BatteryEvent(enum.Enum):
    """What happens to a battery."""

    WEAKENED = "weakened"
    DIED = "died"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class OscillatorState:
    """Everything that an oscillator is. Times in microseconds: true ones whole, the device's exact.

    `device_us`: the device's time at the anchor, jitter left out; None while the clock stands still.
    `rate_error_ppm`: at 25 degrees C and at `ageing_start_us`, from when on ageing changes it.
    `jitter_us`: the largest deviation. `restart_s`: what the clock starts from when power returns to it after a dead
    battery; None: it stands still until it is set. `time_lost`: it stopped or restarted since it was last set.
    """

    anchor_us: int
    device_us: Fraction | None
    rate_error_ppm: Fraction
    ageing_ppm_per_year: Fraction
    ageing_start_us: int
    temperature: TemperatureProfile
    temperature_start_us: int
    jitter_us: int
    jitter_seed: int
    battery: BatteryState
    restart_s: int | None
    time_lost: bool

    @classmethod
    def start(
        cls,
        now: float,
        *,
        offset_s: Number = 0,
        rate_error_ppm: Number = 0,
        ageing_ppm_per_year: Number = 0,
        temperature: TemperatureProfile | None = None,
        jitter_us: int = 0,
        jitter_seed: int = 0,
        restart_s: int | None = None,
    ) -> OscillatorState:
        """A clock that leaves the factory at true time `now`, at 25 degrees C unless told. Raises OscillatorError."""
        now_us = true_us(now)
        return cls(
            anchor_us=now_us,
            device_us=checked_device_us(now_us + exact(offset_s) * SECOND),
            rate_error_ppm=checked_rate(rate_error_ppm),
            ageing_ppm_per_year=checked_ageing(ageing_ppm_per_year),
            ageing_start_us=now_us,
            temperature=TemperatureProfile.constant(25) if temperature is None else temperature,
            temperature_start_us=now_us,
            jitter_us=checked_jitter(jitter_us),
            jitter_seed=checked_seed(jitter_seed),
            battery=BatteryState.GOOD,
            restart_s=None if restart_s is None else checked_whole_second(restart_s),
            time_lost=False,
        )

    @property
    def anchor_s(self) -> float:
        """The true time of the anchor, Unix seconds: the clock has no history before it."""
        return self.anchor_us / SECOND


def true_us(now: float) -> int:
    """Unix seconds as whole microseconds."""
    return round(now * SECOND)


def checked_rate(value: Number) -> Fraction:
    return bounded("rate_error_ppm", value, -_RATE_PPM, _RATE_PPM)


def checked_ageing(value: Number) -> Fraction:
    return bounded("ageing_ppm_per_year", value, -_AGEING_PPM, _AGEING_PPM)


def checked_jitter(value: int) -> int:
    return int(bounded("jitter_us", value, 0, _JITTER_US))


def checked_seed(value: int) -> int:
    return int(bounded("jitter_seed", value, 0, 2**64 - 1))


def checked_whole_second(value: int) -> int:
    return int(bounded("the device's time in seconds", value, 0, _LATEST_S))


def checked_device_us(value: Fraction) -> Fraction:
    bounded("the device's time in seconds", value / SECOND, 0, _LATEST_S)
    return value


def to_dict(state: OscillatorState) -> dict[str, object]:
    """The state as JSON can hold it: seconds and ppm as decimal text (a fraction where no decimal is exact)."""
    return {
        "anchor_true_s": _seconds(state.anchor_us),
        "anchor_device_s": None if state.device_us is None else _seconds(state.device_us),
        "rate_error_ppm": exact_text(state.rate_error_ppm),
        "ageing_ppm_per_year": exact_text(state.ageing_ppm_per_year),
        "ageing_start_s": _seconds(state.ageing_start_us),
        "temperature": state.temperature.to_list(),
        "temperature_start_s": _seconds(state.temperature_start_us),
        "jitter_us": state.jitter_us,
        "jitter_seed": state.jitter_seed,
        "battery": state.battery.value,
        "restart_s": state.restart_s,
        "time_lost": state.time_lost,
    }


def from_dict(data: object) -> OscillatorState:
    """`to_dict`'s inverse. Raises OscillatorError that names the field which is missing, unknown or wrong."""
    if not isinstance(data, Mapping):
        raise OscillatorError("the oscillator is not an object")
    if odd := _FIELDS ^ set(data):
        raise OscillatorError(f"the oscillator's fields are wrong: {', '.join(sorted(map(str, odd)))}")
    stopped = data["anchor_device_s"] is None
    try:
        battery = BatteryState(data["battery"])
    except ValueError:
        raise OscillatorError(f"battery is {data['battery']!r}") from None
    if battery is BatteryState.DEAD and not stopped:
        raise OscillatorError("the battery is dead, but anchor_device_s says that the clock runs")
    temperature = data["temperature"]
    if not isinstance(temperature, list) or not all(
        isinstance(segment, dict) and set(segment) == {"duration_s", "celsius"} for segment in temperature
    ):
        raise OscillatorError("temperature is not a list of duration_s and celsius")
    return OscillatorState(
        anchor_us=_whole_us(data, "anchor_true_s"),
        device_us=None if stopped else checked_device_us(_number(data, "anchor_device_s") * SECOND),
        rate_error_ppm=checked_rate(_number(data, "rate_error_ppm")),
        ageing_ppm_per_year=checked_ageing(_number(data, "ageing_ppm_per_year")),
        ageing_start_us=_whole_us(data, "ageing_start_s"),
        temperature=TemperatureProfile.cycle(
            (_number(segment, "duration_s"), _number(segment, "celsius")) for segment in temperature
        ),
        temperature_start_us=_whole_us(data, "temperature_start_s"),
        jitter_us=checked_jitter(_integer(data, "jitter_us")),
        jitter_seed=checked_seed(_integer(data, "jitter_seed")),
        battery=battery,
        restart_s=None if data["restart_s"] is None else checked_whole_second(_integer(data, "restart_s")),
        time_lost=_flag(data, "time_lost"),
    )


_FIELDS = frozenset(
    {
        "anchor_true_s",
        "anchor_device_s",
        "rate_error_ppm",
        "ageing_ppm_per_year",
        "ageing_start_s",
        "temperature",
        "temperature_start_s",
        "jitter_us",
        "jitter_seed",
        "battery",
        "restart_s",
        "time_lost",
    }
)


def _seconds(us: int | Fraction) -> str:
    return exact_text(Fraction(us) / SECOND)


def _number(data: Mapping[str, object], name: str) -> Fraction:
    value = data[name]
    if not isinstance(value, str):
        raise OscillatorError(f"{name} is {value!r}, not a number written as text")
    return exact(value)


def _whole_us(data: Mapping[str, object], name: str) -> int:
    number = bounded(name, _number(data, name), -_LATEST_S, _LATEST_S) * SECOND
    if number.denominator != 1:
        raise OscillatorError(f"{name} is {data[name]!r}, which is not a whole number of microseconds")
    return number.numerator


def _integer(data: Mapping[str, object], name: str) -> int:
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise OscillatorError(f"{name} is {value!r}, not a whole number")
    return value


def _flag(data: Mapping[str, object], name: str) -> bool:
    value = data[name]
    if not isinstance(value, bool):
        raise OscillatorError(f"{name} is {value!r}, not true or false")
    return value
