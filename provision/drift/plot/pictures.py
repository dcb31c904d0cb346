"""What all pictures have in common: their numbers can be written down, and no drawing is needed to compare two."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from provision.drift.plot.offsets import OffsetPicture
from provision.drift.plot.polygons import PolygonPicture
from provision.drift.plot.rates import RatesPicture

Picture = OffsetPicture | PolygonPicture | RatesPicture

_DECIMALS = 6  # microseconds, and millionths of a ppm


def written(picture: Picture) -> dict[str, Any]:
    """Its numbers, ready for JSON."""
    found: dict[str, Any] = _rounded(asdict(picture))
    return found


def printable(text: str) -> str:
    """With a mark in place of what no file of text may hold: control characters, halves of characters."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(one) for one in value]
    return value
