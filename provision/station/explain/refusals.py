"""Whose fault refused logins were: the clock's, or that of whoever typed.

The server tells when each code came. A code that is typed at once shows the clock of seconds before. So it can be said,
of a clock that is known well enough, whether a right code would have been taken then.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from fractions import Fraction

from provision.drift.estimate import Interval
from provision.servers.backend import Attempt, AttemptOutcome, Device
from provision.station.explain.clock import Clock

PROMPTLY_S = 15  # whoever takes longer, types late


@enum.unique
class Fault(enum.Enum):
    CLOCK = "clock"  # a right code, typed at once, was refused
    TYPING = "typing"  # it would have been taken
    EITHER = "either"


def at_fault(
    refusals: Iterable[Attempt], device: Device, made: Clock, window_steps: tuple[int, int], server_error_s: Fraction
) -> Fault:
    """Of wrong codes only. One that only the clock explains decides; EITHER if there are none."""
    faults = {
        _fault(one, device, made.offset_at(Fraction(one.at_s)), window_steps, server_error_s)
        for one in refusals
        if one.outcome is AttemptOutcome.MISMATCH
    }
    if Fault.CLOCK in faults:
        return Fault.CLOCK
    return Fault.TYPING if faults == {Fault.TYPING} else Fault.EITHER


def _fault(
    refused: Attempt,
    device: Device,
    offset_s: Interval,
    window_steps: tuple[int, int],
    server_error_s: Fraction,
) -> Fault:
    at_s, (back, forward), step_at = Fraction(refused.at_s), window_steps, device.parameters.step_at
    expected = step_at(refused.at_s) + device.drift_steps
    first = step_at(float(at_s - PROMPTLY_S - server_error_s + offset_s[0]))
    last = step_at(float(at_s + server_error_s + offset_s[1]))
    if last < expected - back or first > expected + forward:
        return Fault.CLOCK
    return Fault.TYPING if expected - back <= first and last <= expected + forward else Fault.EITHER
