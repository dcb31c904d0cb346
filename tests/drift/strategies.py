"""Clocks, what they show, and a slow reference for the exact polygon."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from hypothesis import strategies as st

from provision.drift.estimate import Model
from provision.drift.observation import PPM, Observation

TREF = 1_767_225_600  # 2026-01-01 UTC
YEAR = 31_557_600
MODEL = Model(Fraction(TREF), (Fraction(-7200), Fraction(7200)), (Fraction(-60), Fraction(40)))


@dataclass(frozen=True)
class Truth:
    """A clock: offset_s at TREF, a constant rate."""

    offset_s: Fraction
    rate_error_ppm: Fraction

    def device_s(self, unix_s: Fraction) -> Fraction:
        return unix_s + self.offset_at(unix_s)

    def offset_at(self, unix_s: Fraction) -> Fraction:
        return self.offset_s + self.rate_error_ppm * (unix_s - TREF) / PPM

    def login(self, unix_s: Fraction, delay_s: Fraction, allowed_s: Fraction, time_step_s: int = 30) -> Observation:
        """A code read at `unix_s` and received `delay_s` later, when up to `allowed_s` are allowed for."""
        step = int(self.device_s(unix_s) // time_step_s)
        return Observation.of_code(
            received_s=unix_s + delay_s, step=step, time_step_s=time_step_s, t0_s=0, delay_s=allowed_s
        )


def fractions(low: int, high: int, digits: int = 3) -> st.SearchStrategy[Fraction]:
    scale = 10**digits
    return st.integers(low * scale, high * scale).map(lambda number: Fraction(number, scale))


truths = st.builds(Truth, fractions(-3600, 3600), fractions(-60, 40))
moments = fractions(TREF, TREF + 3 * YEAR)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Truth, list[Observation]]:
    """A clock and what was seen of it, in any order: logins, readings, edges."""
    truth = draw(truths)
    seen = []
    for unix_s in draw(st.lists(moments, max_size=12)):
        kind = draw(st.sampled_from(("login", "reading", "edge")))
        if kind == "login":
            allowed = draw(fractions(0, 60))
            seen.append(truth.login(unix_s, draw(st.fractions(0, allowed)), allowed))
        elif kind == "reading":
            before, after = draw(fractions(0, 2)), draw(fractions(0, 2))
            device = Fraction(truth.device_s(unix_s) // 1)
            seen.append(Observation(unix_s - before, unix_s + after, device, device + 1))
        else:
            seen.append(Observation.of_edge(before_s=unix_s - 1, after_s=unix_s + 1, device_s=truth.device_s(unix_s)))
    return truth, seen
