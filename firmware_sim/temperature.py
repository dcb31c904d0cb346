"""What temperature does to a clock: a tuning-fork crystal is fastest at 25 degrees and slower on both sides.

The error is -0.034 ppm per degree squared from the turnover point, the usual data sheet's value (-0.034 +- 0.006),
so heat and cold both only slow a token down. A profile is a course of temperatures that repeats for ever.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from math import lcm
from types import MappingProxyType

from firmware_sim.exact import Number, bounded, exact_text, microseconds
from firmware_sim.seams import OscillatorError

TURNOVER_C = 25
PPM_PER_SQUARE_DEGREE = Fraction(-34, 1000)
_COLDEST_C, _HOTTEST_C = -60, 150
_LONGEST_S = 10 * 366 * 86400
_MOST_SEGMENTS = 1000


def temperature_error_ppm(celsius: Fraction) -> Fraction:
    """The rate error at a temperature: 0 at 25 degrees C, -21.25 ppm at 0."""
    return PPM_PER_SQUARE_DEGREE * (celsius - TURNOVER_C) ** 2


@dataclass(frozen=True)
class TemperatureProfile:
    """(duration in microseconds, degrees C) after each other, then again from the first."""

    segments: tuple[tuple[int, Fraction], ...]

    @classmethod
    def constant(cls, celsius: Number) -> TemperatureProfile:
        """One temperature. Raises OscillatorError outside -60..150 degrees C."""
        return cls.cycle([(86400, celsius)])

    @classmethod
    def cycle(cls, segments: Iterable[tuple[Number, Number]]) -> TemperatureProfile:
        """Durations in seconds (microsecond resolution) and degrees C. Raises OscillatorError."""
        result = []
        for duration_s, celsius in segments:
            duration_us = microseconds("a temperature's duration_s", duration_s, 0, _LONGEST_S)
            if not duration_us:
                raise OscillatorError("a temperature must last at least a microsecond")
            result.append((duration_us, bounded("celsius", celsius, _COLDEST_C, _HOTTEST_C)))
        if not 1 <= len(result) <= _MOST_SEGMENTS:
            raise OscillatorError(f"a temperature profile has 1 to {_MOST_SEGMENTS} segments, not {len(result)}")
        return cls(tuple(result))

    @classmethod
    def named(cls, name: str) -> TemperatureProfile:
        """One of PROFILES. Raises OscillatorError for another name."""
        try:
            return cls.cycle(PROFILES[name])
        except KeyError:
            raise OscillatorError(f"no temperature profile {name!r}; there are {', '.join(PROFILES)}") from None

    def to_list(self) -> list[dict[str, str]]:
        """For the state file; `cycle` reads its values back."""
        return [
            {"duration_s": exact_text(Fraction(duration_us, 1_000_000)), "celsius": exact_text(celsius)}
            for duration_us, celsius in self.segments
        ]

    @cached_property
    def constant_error_ppm(self) -> Fraction | None:
        """The rate error if it never changes, else None."""
        errors = {temperature_error_ppm(celsius) for _, celsius in self.segments}
        return errors.pop() if len(errors) == 1 else None

    @cached_property
    def denominator(self) -> int:
        """What `integral` counts in: ppm microseconds divided by this."""
        return lcm(*(temperature_error_ppm(celsius).denominator for _, celsius in self.segments))

    def integral(self, elapsed_us: int) -> int:
        """The rate error, summed from the start of the profile to `elapsed_us` (which may be negative) after it."""
        cycles, rest = divmod(elapsed_us, self._starts[-1])
        segment = self._segment(rest)
        return cycles * self._sums[-1] + self._sums[segment] + (rest - self._starts[segment]) * self._errors[segment]

    def celsius_at(self, elapsed_us: int) -> Fraction:
        """The temperature at `elapsed_us`, as in `integral`."""
        return self.segments[self._segment(elapsed_us % self._starts[-1])][1]

    def _segment(self, rest_us: int) -> int:
        """Which one it is so long after the beginning of a cycle."""
        return bisect_right(self._starts, rest_us) - 1

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((duration for duration, _ in self.segments), initial=0))

    @cached_property
    def _errors(self) -> list[int]:
        return [int(temperature_error_ppm(celsius) * self.denominator) for _, celsius in self.segments]

    @cached_property
    def _sums(self) -> list[int]:
        products = (duration * error for (duration, _), error in zip(self.segments, self._errors, strict=True))
        return list(accumulate(products, initial=0))


PROFILES: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "desk": ((86400, 22),),
        "pocket": ((16 * 3600, 30), (8 * 3600, 20)),  # against the body by day, on the night table
        "car": ((6 * 3600, 5), (4 * 3600, 20), (6 * 3600, 50), (8 * 3600, 15)),  # a summer day behind the windscreen
        "freezer": ((86400, -18),),
    }
)
"""(seconds, degrees C). The cycle starts when the profile is set, not at midnight."""
