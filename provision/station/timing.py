"""Setting a token's clock, and saying how well it went.

The token starts a second at the moment it receives SET TIME, so the command leaves on a second's edge of the
station's clock. How far off the two clocks are afterwards is then measured: each reading of the token's clock is
bracketed by two of the station's, and the reading with the shortest round trip gives the narrowest bracket. That
bracket is a guarantee, not an estimate: it needs no assumption that both directions take equally long (RFC 5905
calls its half the maximum error).

Of a clock that tells whole seconds one reading leaves a second open. It is read again at the very moment at which, if
it were in the middle of what is open, it would turn to its next second: either answer halves the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from provision.clock import Clock
from provision.errors import TokenRefused
from provision.families.driver import Session
from provision.model import ClockReading

READINGS = 8
RESOLUTION_S = 2e-6  # a reading is cut to whole microseconds, and a float holds Unix time to a quarter of one
COARSE_S = 0.1  # a clock that tells no less is asked where its seconds turn
HALVINGS = 6
MAX_RATE_ERROR_PPM = 200  # more than any quartz has
EDGE_LEAD_S = 0.05  # an edge nearer than this may pass before the command is ready


@dataclass(frozen=True, slots=True)
class Residual:
    """Device minus station lies in [lo_ms, hi_ms], milliseconds; negative is slow. `round_trip_ms`: of that reading."""

    lo_ms: float
    hi_ms: float
    round_trip_ms: float

    def __str__(self) -> str:
        return f"[{self.lo_ms:+.3f}, {self.hi_ms:+.3f}] ms"


@dataclass(frozen=True, slots=True)
class TimeSet:
    """`set_s`: the Unix second that was written. `before`: what was measured first, None when the clock stood still."""

    set_s: int
    before: Residual | None
    residual: Residual


def measure(session: Session, clock: Clock) -> Residual:
    """How far the token's clock is off, from the shortest of several round trips; to 16 ms and a round trip where it
    tells whole seconds, which takes as many seconds as there are halvings. Raises as read_clock does."""
    first = session.read_clock()
    if first.resolution_s >= COARSE_S:
        return _halved(session, clock, residual(first))
    return residual(min((first, *(session.read_clock() for _ in range(READINGS - 1))), key=_round_trip_s))


def residual(reading: ClockReading) -> Residual:
    """The interval that one reading guarantees."""
    return Residual(
        (reading.device_s - RESOLUTION_S - reading.received_s) * 1e3,
        (reading.device_s + reading.resolution_s + RESOLUTION_S - reading.sent_s) * 1e3,
        _round_trip_s(reading) * 1e3,
    )


def set_time(session: Session, clock: Clock) -> TimeSet:
    """Set the token's clock from the station's (as authenticated administrator), and measure what remains."""
    try:
        # This reading also makes the session ready, so that the write below is one exchange and nothing else.
        before = residual(session.read_clock())
    except TokenRefused:
        before = None
    edge = math.ceil(clock.now() + EDGE_LEAD_S)
    clock.wait_until(edge)
    session.write_clock(edge)
    return TimeSet(edge, before, measure(session, clock))


def _halved(session: Session, clock: Clock, found: Residual) -> Residual:
    for _ in range(HALVINGS):
        begin_s = clock.now()
        middle_s = (found.lo_ms + found.hi_ms) / 2e3
        clock.wait_until(math.ceil(begin_s + EDGE_LEAD_S + middle_s) - middle_s)
        again = residual(session.read_clock())
        drift_ms = (clock.now() - begin_s) * MAX_RATE_ERROR_PPM / 1e3  # by which it may have gone on since
        lo_ms, hi_ms = max(found.lo_ms - drift_ms, again.lo_ms), min(found.hi_ms + drift_ms, again.hi_ms)
        if lo_ms > hi_ms:
            return again  # somebody set one of the two clocks meanwhile
        found = Residual(lo_ms, hi_ms, again.round_trip_ms)
    return found


def _round_trip_s(reading: ClockReading) -> float:
    return reading.received_s - reading.sent_s
