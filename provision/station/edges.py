"""How fast a connected token's clock runs: its edges timed twice, with as much time between as the accuracy needs.

Each reading of the clock is an observation with bounds (provision/drift): it was asked and answered between two
instants of the station's clock, which itself may be off by what the kernel guarantees. The polygon of all of them
holds the rate, whatever the link did. Of a clock that tells whole seconds an edge is looked for by halving: it is read
again at the moment at which, if its offset were in the middle of what is open, it would turn.

What an edge leaves open, twice, divided by the time between is what the rate is known to: 5 ms are 2.8 ppm after an
hour, and 0.12 ppm after a day.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from provision.clock import Clock
from provision.drift.estimate import Estimate, Interval, Model
from provision.drift.observation import PPM, Observation
from provision.errors import VerificationError
from provision.families.driver import Session
from provision.model import ClockReading
from provision.station.timing import COARSE_S, EDGE_LEAD_S, HALVINGS, READINGS, RESOLUTION_S

RATE_ERROR_PPM: Interval = (Fraction(-1000), Fraction(1000))  # beyond any crystal: what is measured, not presumed
_FIRST_WAIT_S = 1.0
_MARGIN_S = 2


@dataclass(frozen=True, slots=True)
class Rate:
    """What is known of a clock after `elapsed_s`. `remaining_s`: seconds still needed for the accuracy that was asked
    for; 0 once it is reached."""

    estimate: Estimate
    elapsed_s: float
    remaining_s: float


def observation_of(reading: ClockReading, error_s: Fraction | float) -> Observation:
    """`error_s`: how far the station's clock may be off. In whole microseconds, rounded outward."""
    error_s, cut_s = _microseconds(ceil, error_s), _microseconds(ceil, RESOLUTION_S)
    return Observation(
        _microseconds(floor, reading.sent_s) - error_s,
        _microseconds(ceil, reading.received_s) + error_s,
        _microseconds(floor, reading.device_s) - cut_s,
        _microseconds(ceil, reading.device_s + reading.resolution_s) + cut_s,
    )


def measure_rate(
    session: Session,
    clock: Clock,
    *,
    error_s: Callable[[], float],
    accuracy_ppm: Fraction,
    longest_s: float,
    report: Callable[[Rate], None],
) -> Rate:
    """Until the rate is known to +-`accuracy_ppm`, or for `longest_s`. `error_s`: how far the station's clock may be
    off now. `report` hears of every sample; the waits between them double.

    Raises as read_clock does, and VerificationError if no constant rate explains the readings.
    """
    start_s = clock.now()
    estimate = _sampled(session, clock, None, error_s)
    while True:
        elapsed_s = clock.now() - start_s
        rate = Rate(estimate, elapsed_s, _remaining_s(estimate, elapsed_s, accuracy_ppm))
        report(rate)
        left_s = longest_s - elapsed_s
        if rate.remaining_s == 0 or left_s <= 0:
            return rate
        clock.wait_until(clock.now() + min(max(elapsed_s, _FIRST_WAIT_S), left_s, max(rate.remaining_s, _FIRST_WAIT_S)))
        estimate = _sampled(session, clock, estimate, error_s)


def _sampled(session: Session, clock: Clock, before: Estimate | None, error_s: Callable[[], float]) -> Estimate:
    """One more sample: several readings, of which the best count by themselves; or one edge, halved."""
    reading = session.read_clock()
    first = observation_of(reading, error_s())
    estimate = _given(_beginning(first) if before is None else before, first)
    coarse = reading.resolution_s >= COARSE_S
    for _ in range(HALVINGS if coarse else READINGS - 1):
        if coarse:
            middle_s = float(sum(estimate.offset_at(Fraction(clock.now())))) / 2
            clock.wait_until(ceil(clock.now() + EDGE_LEAD_S + middle_s) - middle_s)
        estimate = _given(estimate, observation_of(session.read_clock(), error_s()))
    return estimate


def _beginning(first: Observation) -> Estimate:
    offset_s = (first.lo - first.b - _MARGIN_S, first.hi - first.a + _MARGIN_S)
    return Estimate.of(Model(first.a, offset_s, RATE_ERROR_PPM))


def _given(estimate: Estimate, seen: Observation) -> Estimate:
    estimate = estimate.given([seen])
    if not estimate.is_feasible:
        raise VerificationError(
            "the token's clock and this station's do not run at a constant rate to each other",
            hint="one of them was set while it was measured: measure again",
        )
    return estimate


def _remaining_s(estimate: Estimate, elapsed_s: float, accuracy_ppm: Fraction) -> float:
    least, greatest = estimate.rate_error_ppm
    width_ppm = greatest - least
    if width_ppm <= 2 * accuracy_ppm:
        return 0.0
    if elapsed_s < _FIRST_WAIT_S:  # nothing is known of the rate yet, but how well an edge is timed
        low, high = estimate.offset_s
        return float((high - low) * PPM / accuracy_ppm)
    return elapsed_s * float(width_ppm / (2 * accuracy_ppm) - 1)


def _microseconds(towards: Callable[[Fraction], int], seconds: Fraction | float) -> Fraction:
    return Fraction(towards(Fraction(seconds) * 1_000_000), 1_000_000)
