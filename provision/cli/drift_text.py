"""Clocks in words: one screen, every number with its unit and its bounds, every moment as a date."""

from __future__ import annotations

from fractions import Fraction

from provision.drift.diagnosis import Diagnosis
from provision.drift.estimate import YEAR_S, Estimate, Interval
from provision.drift.moments import DAY_S, iso
from provision.drift.observation import PPM
from provision.drift.outlook import Outlook


def told_estimate(diagnosis: Diagnosis) -> str:
    lines = [f"clock   {cause.what}" for cause in diagnosis.causes]
    if diagnosis.dropped:
        lines.append("        without observation " + ", ".join(map(str, diagnosis.dropped)) + ":")
    if diagnosis.estimate.is_feasible:
        lines += _clock(diagnosis.estimate)
    else:
        lines.append("        no one clock fits all of this; estimate what was seen since the last change on its own")
    return "\n".join(lines)


def _clock(estimate: Estimate) -> list[str]:
    tref_s, middle = estimate.model.tref_s, estimate.centroid
    rate = f"rate    {between(estimate.rate_error_ppm, 'ppm', 3)}"
    if estimate.last_s is None:
        return [f"{rate}, as promised: nothing was seen"]
    moments = [tref_s] if estimate.last_s in (None, tref_s) else [tref_s, estimate.last_s]
    lines = [
        f"offset  {between(estimate.offset_at(unix_s), 's', 3)} on {iso(unix_s)}"
        for unix_s in moments
        if unix_s is not None
    ]
    a_year = float(middle.rate_error_ppm / PPM * YEAR_S)
    word = "fast" if a_year > 0 else "slow"
    lines.append(f"{rate}; most likely {float(middle.rate_error_ppm):+.3f} ppm, {abs(a_year):.0f} s a year {word}")
    return lines


def told_outlook(ahead: Outlook) -> str:
    window, profile, dates = ahead.window, ahead.server.profile, ahead.dates
    who = "this window" if profile is None else profile.title
    steps = f"{-window.back_steps:+d} to {window.forward_steps:+d} steps of {window.time_step_s} s"
    lines = [f"server  {who}: {steps} around {float(window.shift_s):+.0f} s"]
    if profile is not None and profile.caveat:
        lines.append(f"        {profile.caveat}")
    if dates is None:
        return "\n".join([*lines, "        no date can be given for a clock that cannot be"])
    rows: list[tuple[str, int | None]] = [
        ("a code may be refused from ", dates.first_possible_failure_s),
        ("some codes are refused from", dates.certain_failure_s),
        ("all codes are refused from ", dates.total_failure_s),
    ]
    for what, unix_s in rows:
        when = "never, as far as is known" if unix_s is None else f"{iso(unix_s)}  {_in_days(unix_s - dates.from_s)}"
        lines.append(f"        {what}  {when}")
    if ahead.follows and dates.first_possible_failure_s is not None:
        if dates.first_possible_failure_s > dates.from_s:
            lines.append(f"do      log in again before {iso(dates.first_possible_failure_s)}")
        elif dates.total_failure_s is None or dates.total_failure_s > dates.from_s:
            lines.append("do      log in again at once")
    if profile is not None:
        if profile.unit is not None and ahead.value is not None:
            lines.append(f"write   {ahead.value:+d} {profile.unit.value} as {profile.where}")
        lines.append(f"mend    {profile.remedy}")
    if ahead.at_s is not None and ahead.offset_s is not None and ahead.accepted is not None:
        least, greatest = ahead.accepted
        chance = _percent(least) if least == greatest else f"{_percent(least)} to {_percent(greatest)}"
        lines.append(f"then    offset {between(ahead.offset_s, 's', 1)} on {iso(ahead.at_s)}, accepted: {chance}")
    return "\n".join(lines)


def between(bounds: Interval, unit: str, decimals: int) -> str:
    return f"{float(bounds[0]):+.{decimals}f} to {float(bounds[1]):+.{decimals}f} {unit}"


def _in_days(seconds: int) -> str:
    return "already" if seconds <= 0 else f"in {seconds / DAY_S:.1f} days"


def _percent(chance: Fraction) -> str:
    return f"{float(chance):.0%}"
