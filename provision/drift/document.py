"""The document that `provision drift estimate --input FILE --json` reads, and the one that it prints. Kept stable.

    {"serial": "SN-1", "tref": Unix, "time_step_s": 30, "t0_s": 0,
     "prior": {"offset_s": [lo, hi], "rate_error_ppm": [lo, hi]},
     "wander_s": "0", "ageing_ppm_per_year_max": "0",
     "observations": [{"a", "b", "lo", "hi"} or {"t", "step", "delay_s", "server_error_s"}, ...]}

Numbers are JSON numbers, or decimals or fractions as text; every one is taken exactly. Only "observations" is needed.
"serial" is of the token whose clock was read; codes come without.
What is printed has every number as a fraction in text.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from provision.drift.diagnosis import Diagnosis
from provision.drift.estimate import Interval, Model
from provision.drift.observation import Observation
from provision.errors import InputError

_FIELDS = {"serial", "tref", "time_step_s", "t0_s", "prior", "wander_s", "ageing_ppm_per_year_max", "observations"}
_BOUNDS, _CODE = {"a", "b", "lo", "hi"}, {"t", "step", "delay_s", "server_error_s"}
_MOST = 10**30
# As Fraction reads them, but short: 1e999999999 would keep it busy for hours.
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(/[0-9]{1,30}|(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,2})?)")


@dataclass(frozen=True, slots=True)
class Document:
    """What a FILE says. `time_step_s`, `t0_s`: seconds, of the codes in it. `last_code`: when the latest code was
    received, and the first second of its step; None if there is none. `serial`: whose clock was read, if known."""

    model: Model
    observations: tuple[Observation, ...]
    time_step_s: int
    t0_s: int
    last_code: tuple[Fraction, Fraction] | None = None
    serial: str | None = None


def read(text: str) -> Document:
    """Raises InputError that names the field."""
    try:
        found = json.loads(text, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the input is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError("the input is no JSON object")
    return of_json(found)


def of_json(found: Mapping[str, Any]) -> Document:
    """The same from an object that json.loads made with parse_float=str."""
    _only(found, _FIELDS, "the input")
    step_s, t0_s = whole(found.get("time_step_s", 30), "time_step_s"), whole(found.get("t0_s", 0), "t0_s")
    if not 1 <= step_s <= 86_400:
        raise InputError(f"time_step_s is {step_s}: a step has 1 to 86400 seconds")
    listed = found.get("observations")
    if not isinstance(listed, list):
        raise InputError('"observations" is a list, and has to be there')
    observations = tuple(_observation(one, f"observation {i}", step_s, t0_s) for i, one in enumerate(listed))
    last_code = _last_code(listed, observations, step_s)
    serial = found.get("serial")
    if not isinstance(serial, str | None):
        raise InputError('"serial" is text')
    return Document(_model(found, observations), observations, step_s, t0_s, last_code, serial)


def written(diagnosis: Diagnosis) -> dict[str, Any]:
    """The result, ready for JSON."""
    estimate = diagnosis.estimate
    result: dict[str, Any] = {
        "feasible": diagnosis.feasible,
        "vertices": [[str(x), str(y)] for x, y in estimate.polygon.vertices],
        "offset_s": None,
        "rate_error_ppm": None,
        "centroid": None,
        "dropped": list(diagnosis.dropped),
        "diagnosis": [
            {
                "name": cause.name,
                "what": cause.what,
                **{name: value if isinstance(value, int) else str(value) for name, value in cause.evidence.items()},
            }
            for cause in diagnosis.causes
        ],
    }
    if estimate.is_feasible:
        result["offset_s"] = list(map(str, estimate.offset_s))
        result["rate_error_ppm"] = list(map(str, estimate.rate_error_ppm))
        result["centroid"] = list(map(str, estimate.centroid))
    return result


def exact(value: object, what: str) -> Fraction:
    """A number of a document read with parse_float=str, or of a command line; `what` names it. Raises InputError."""
    return Fraction(_number(value, what))


def whole(value: object, what: str) -> int:
    """The same for a whole number. Raises InputError."""
    number = _number(value, what)
    if number.denominator != 1:
        raise InputError(f"{what} is a whole number")
    return int(number)


def _number(value: object, what: str) -> Fraction | int:
    """Most are whole; whoever reads a million of them must neither match text nor add fractions."""
    if type(value) is int and -_MOST < value < _MOST:
        return value
    spelled = _NUMBER.fullmatch(str(value)) if not isinstance(value, bool) else None
    if spelled is not None:
        with contextlib.suppress(ZeroDivisionError):
            return Fraction(spelled[0])
    raise InputError(f"{what} is no number: {str(value)[:20]!r}", hint="write 1.5 or 3/2")


def _model(found: Mapping[str, Any], observations: Sequence[Observation]) -> Model:
    prior = found.get("prior", {})
    if not isinstance(prior, dict):
        raise InputError("prior is no JSON object")
    _only(prior, {"offset_s", "rate_error_ppm"}, "prior")
    model = Model(
        exact(found["tref"], "tref")
        if "tref" in found
        else min((seen.a for seen in observations), default=Fraction(0)),
        wander_s=exact(found.get("wander_s", 0), "wander_s"),
        ageing_ppm_per_year_max=exact(found.get("ageing_ppm_per_year_max", 0), "ageing_ppm_per_year_max"),
    )
    if model.wander_s < 0 or model.ageing_ppm_per_year_max < 0:
        raise InputError("wander_s and ageing_ppm_per_year_max are not negative")
    return Model(
        model.tref_s,
        _interval(prior["offset_s"], "prior.offset_s") if "offset_s" in prior else model.offset_s,
        _interval(prior["rate_error_ppm"], "prior.rate_error_ppm")
        if "rate_error_ppm" in prior
        else model.rate_error_ppm,
        model.wander_s,
        model.ageing_ppm_per_year_max,
    )


def _observation(one: object, what: str, step_s: int, t0_s: int) -> Observation:
    if not isinstance(one, dict):
        raise InputError(f"{what} is no JSON object")
    if set(one) == _BOUNDS:
        bounds = {name: exact(value, f"{what}: {name}") for name, value in one.items()}
        return Observation(**bounds)
    if {"t", "step"} <= set(one) <= _CODE:
        delay_s = _number(one.get("delay_s", 0), f"{what}: delay_s")
        error_s = _number(one.get("server_error_s", 0), f"{what}: server_error_s")
        if delay_s < 0 or error_s < 0:
            raise InputError(f"{what}: delay_s and server_error_s are not negative")
        return Observation.of_code(
            received_s=_number(one["t"], f"{what}: t"),
            step=whole(one["step"], f"{what}: step"),
            time_step_s=step_s,
            t0_s=t0_s,
            delay_s=delay_s,
            server_error_s=error_s,
        )
    raise InputError(f"{what} has neither a, b, lo, hi nor t, step and perhaps delay_s, server_error_s")


def _last_code(
    listed: Sequence[Any], observations: Sequence[Observation], step_s: int
) -> tuple[Fraction, Fraction] | None:
    """Of observations given as bounds, those are codes that are as wide as a step."""
    codes = [
        (exact(one["t"], "t") if "t" in one else seen.b, seen.lo)
        for one, seen in zip(listed, observations, strict=True)
        if "step" in one or seen.hi - seen.lo == step_s
    ]
    return max(codes, default=None)


def _interval(value: object, what: str) -> Interval:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{what} has a least and a greatest")
    low, high = exact(value[0], what), exact(value[1], what)
    if low > high:
        raise InputError(f"{what}: the least is over the greatest")
    return low, high


def _only(found: Mapping[str, object], known: set[str], what: str) -> None:
    if unknown := sorted(set(found) - known):
        raise InputError(f"{what} has a field that is not known: {unknown[0][:40]!r}")
