"""An explanation on one screen, or as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

from provision.cli.drift_text import between
from provision.cli.output import table
from provision.drift.moments import iso

if TYPE_CHECKING:
    from provision.servers.backend import Device
    from provision.station.explain.case import Explanation
    from provision.station.explain.crowd import Crowd

WIDEST, NARROWEST = 100, 40  # columns
_LABEL = 10


def told(found: Explanation, wide: int) -> str:
    """Cause, certainty, what is excluded, since when, what to do; in lines of `wide` columns."""
    part = partial(_part, wide=wide)
    odds = "" if found.odds is None else f"; by mere chance 1 in {int(1 / found.odds):,}"
    lines = [
        *part("CAUSE", found.what),
        *part("CERTAINTY", f"{found.certainty.value}{odds}"),
        *(line for one in found.evidence for line in part("", one)),
    ]
    if found.offset_s is not None:
        rate = "" if found.rate_error_ppm is None else f"; rate {between(found.rate_error_ppm, 'ppm', 2)}"
        lines += part("CLOCK", f"offset {between(found.offset_s, 's', 1)}{rate}")
    if found.since_s is not None:
        lines += part("SINCE", _since(found.since_s))
    for label, several in (("EXCLUDED", found.excluded), ("UNKNOWN", found.unknown)):
        for number, one in enumerate(several):
            lines += part("" if number else label, one)
    return "\n".join([*lines, *part("NOW", found.now), *part("FOR GOOD", found.for_good)])


def plain(found: Explanation) -> dict[str, Any]:
    device = found.device
    return {
        "cause": found.cause,
        "certainty": found.certainty.value,
        "what": found.what,
        "device_id": None if device is None else device.device_id,
        "serial": None if device is None else device.serial,
        "user": None if device is None else device.user,
        "odds": None if found.odds is None else float(found.odds),
        "offset_s": _bounds(found.offset_s),
        "rate_error_ppm": _bounds(found.rate_error_ppm),
        "since": None if found.since_s is None else [iso(int(one)) for one in found.since_s],
        "evidence": list(found.evidence),
        "excluded": list(found.excluded),
        "unknown": list(found.unknown),
        "now": found.now,
        "for_good": found.for_good,
    }


def told_everybody(crowd: Crowd, failing: Sequence[Device], wide: int) -> str:
    lines = _part("SERVER", _crowd(crowd), wide)
    if crowd.since_s is not None:
        lines += _part("SINCE", _since(crowd.since_s), wide)
    if not failing:
        return "\n".join([*lines, *_part("PEOPLE", "nobody is shut out or was refused last", wide)])
    rows = [["USER", "NAME", "SERIAL", "FAILURES", "STATE"]]
    rows += [
        [one.user or "-", one.name, one.serial or "-", str(one.consecutive_failures), _state(one)] for one in failing
    ]
    return "\n".join([*lines, "", table(rows)])


def plain_everybody(crowd: Crowd, failing: Sequence[Device]) -> dict[str, Any]:
    return {
        "server_clock": _crowd(crowd),
        "moved_s": _bounds(crowd.moved_s),
        "fitting": crowd.fitting,
        "refused": crowd.refused,
        "since": None if crowd.since_s is None else [iso(int(one)) for one in crowd.since_s],
        "failing": [
            {
                "user": one.user,
                "device_id": one.device_id,
                "serial": one.serial,
                "failures": one.consecutive_failures,
                "state": _state(one),
            }
            for one in failing
        ],
    }


def _crowd(crowd: Crowd) -> str:
    if crowd.moved_s is not None:
        return f"its clock moved by {between(crowd.moved_s, 's', 0)}: the tokens of those who got in all say so"
    if crowd.shut_out:
        return (
            f"{crowd.refused} people were refused since anybody got in: its clock may have moved; "
            "`provision explain USER` with two codes tells"
        )
    if crowd.fitting:
        people = "one person" if crowd.fitting == 1 else f"{crowd.fitting} people"
        return f"its clock is where it was: {people} got in within a day, as was expected of their clocks"
    return "nobody whose clock is known got in within a day: compare its clock with NTP"


def _state(device: Device) -> str:
    return "disabled" if device.disabled else "locked" if device.locked else "refused last"


def _since(since_s: tuple[float, float]) -> str:
    first, last = (iso(int(one)) for one in since_s)
    return first if first == last else f"between {first} and {last}"


def _bounds(bounds: tuple[Fraction, Fraction] | None) -> list[float] | None:
    return None if bounds is None else [float(bound) for bound in bounds]


def _part(label: str, text: str, wide: int) -> list[str]:
    first, *rest = textwrap.wrap(text, wide - _LABEL, break_long_words=False, break_on_hyphens=False) or [""]
    return [f"{label:<{_LABEL}}{first}", *(" " * _LABEL + line for line in rest)]
