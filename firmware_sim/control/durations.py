"""Durations as people say them: `90 s`, `18 months`, `1 day 2 hours`."""

from __future__ import annotations

import re
from decimal import Decimal

from firmware_sim.control.errors import ControlError

# The Julian year of astronomers, as ageing_ppm_per_year uses it; a month is its twelfth.
_YEAR_S = Decimal(31_557_600)
_UNITS = {
    "second": Decimal(1),
    "minute": Decimal(60),
    "hour": Decimal(3600),
    "day": Decimal(86_400),
    "week": Decimal(604_800),
    "month": _YEAR_S / 12,
    "year": _YEAR_S,
}
_SHORT = {"s": "second", "sec": "second", "min": "minute", "h": "hour", "d": "day", "w": "week", "y": "year"}
_LONGEST_S = 200 * _YEAR_S
_PART = re.compile(r"\s*(?:and\s+|,\s*)?(\d+(?:\.\d+)?|\.\d+)\s*([a-z]+)", re.IGNORECASE | re.ASCII)


def parse_duration(text: str) -> Decimal:
    """Seconds, 0 to 200 years. A bare number is seconds. Raises ControlError."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?|\.\d+", text, re.ASCII):
        return _within(Decimal(text), text)
    total, position = Decimal(0), 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            break
        word = part[2].lower()
        unit = _UNITS.get(_SHORT.get(word, word)) or _UNITS.get(word.removesuffix("s"))
        if unit is None:
            raise ControlError(f"no unit {part[2]!r} in the duration {text!r}; use {', '.join(_UNITS)}")
        total += Decimal(part[1]) * unit
        position = part.end()
    if not text or position < len(text):
        raise ControlError(f"{text!r} is not a duration; say it like '90 s', '2 days' or '18 months'")
    return _within(total, text)


def _within(seconds: Decimal, text: str) -> Decimal:
    if seconds > _LONGEST_S:
        raise ControlError(f"the duration {text!r} is over 200 years")
    return seconds
