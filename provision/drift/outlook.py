"""What lies ahead of one token at one server: the dates, what the server should store, and how that is written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from provision.drift.diagnosis import Diagnosis
from provision.drift.document import Document
from provision.drift.estimate import Estimate, Interval, Model
from provision.drift.moments import iso, iso_or_none
from provision.drift.observation import PPM, Observation
from provision.drift.prediction import Forecast, Window, forecast
from provision.drift.profiles import Memory, Profile
from provision.errors import UsageError


@dataclass(frozen=True, slots=True)
class Server:
    """`profile`: None where only the window is known. `steps`: (back, forward), None: the profile's own. `shift_s`:
    what it remembers, None: what it learnt at the last login. `delay_s`: how long typing may take."""

    profile: Profile | None
    steps: tuple[int, int] | None = None
    shift_s: Fraction | None = None
    delay_s: Fraction = Fraction(0)

    def window(self, document: Document) -> Window:
        """Raises UsageError if nothing says how wide it is."""
        shift_s, profile, step_s = self.shift_s, self.profile, document.time_step_s
        if shift_s is None:
            shift_s = Fraction(0)
            if profile is not None and profile.shift is not None and document.last_code is not None:
                shift_s = profile.shift(*document.last_code, step_s)
        if profile is not None:
            return profile.window(step_s, shift_s=shift_s, delay_s=self.delay_s, steps=self.steps)
        if self.steps is None:
            raise UsageError("which server?", hint="give --server-profile, or --back-steps and --forward-steps")
        return Window(*self.steps, step_s, shift_s, self.delay_s)


@dataclass(frozen=True, slots=True)
class Outlook:
    """`dates`: None for a clock that cannot be. `value`: what to write into the server as of `dates.from_s`, in the
    profile's unit; None if it stores nothing, or nothing was seen. `offset_s`: bounds as of `at_s`, if a moment was
    asked for."""

    server: Server
    window: Window
    dates: Forecast | None
    value: int | None = None
    at_s: Fraction | None = None
    offset_s: Interval | None = None

    @property
    def follows(self) -> bool:
        """Whether each login moves the window, so that the first date is one to log in before."""
        return self.server.profile is not None and self.server.profile.memory is Memory.FOLLOWS

    @property
    def accepted(self) -> Interval | None:
        """The least and greatest probability that a code typed at `at_s` is accepted."""
        if self.offset_s is None:
            return None
        window = self.window
        middle = window.shift_s + Fraction(window.forward_steps - window.back_steps, 2) * window.time_step_s
        likeliest = min(max(middle, self.offset_s[0]), self.offset_s[1])
        return min(map(window.acceptance, self.offset_s)), window.acceptance(likeliest)


def outlook(estimate: Estimate, server: Server, window: Window, at_s: Fraction | None = None) -> Outlook:
    """Asked as of `at_s`; None: of the last observation, or of the model's reference time where there is none."""
    if not estimate.is_feasible:
        return Outlook(server, window, None)
    start_s = at_s if at_s is not None else estimate.last_s if estimate.last_s is not None else estimate.model.tref_s
    dates = forecast(estimate, window, int(start_s))
    value = None
    if server.profile is not None and server.profile.unit is not None and estimate.last_s is not None:
        middle = estimate.centroid
        since_s = dates.from_s - estimate.model.tref_s
        value = server.profile.value(middle.offset_s + middle.rate_error_ppm * since_s / PPM, window.time_step_s)
    return Outlook(server, window, dates, value, at_s, None if at_s is None else estimate.offset_at(at_s))


def present(model: Model, observations: Sequence[Observation], diagnosis: Diagnosis) -> Estimate:
    """The clock as it has been since something last happened to it."""
    if not diagnosis.runs:
        return diagnosis.estimate
    return Estimate.of(model, [observations[number] for number in diagnosis.runs[-1]])


def written(found: Outlook) -> dict[str, Any]:
    """What `predict --json` adds to what `estimate --json` prints."""
    dates, profile = found.dates, found.server.profile
    first = None if dates is None else iso_or_none(dates.first_possible_failure_s)
    result: dict[str, Any] = {
        "first_possible_failure": first,
        "certain_failure": None if dates is None else iso_or_none(dates.certain_failure_s),
        "total_failure": None if dates is None else iso_or_none(dates.total_failure_s),
        "log_in_before": first if found.follows else None,
        "from": None if dates is None else iso(dates.from_s),
        "server_profile": None if profile is None else profile.name,
        "back_steps": found.window.back_steps,
        "forward_steps": found.window.forward_steps,
        "time_step_s": found.window.time_step_s,
        "shift_s": str(found.window.shift_s),
        "write": None,
    }
    if profile is not None and profile.unit is not None and found.value is not None:
        result["write"] = {"where": profile.where, "value": found.value, "unit": profile.unit.value}
    if found.at_s is not None and found.offset_s is not None and found.accepted is not None:
        result["at"] = {
            "unix": str(found.at_s),
            "offset_s": list(map(str, found.offset_s)),
            "accepted": list(map(str, found.accepted)),
        }
    return result
