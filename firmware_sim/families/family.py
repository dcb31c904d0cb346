"""Families by name. Whoever adds one adds a line."""

from __future__ import annotations

import importlib

from firmware_sim.core.family import Family

__all__ = ["NAMES", "Family", "UnknownFamily", "family"]

_FAMILIES = {"reference": ("firmware_sim.families.reference", "REFERENCE")}

NAMES = tuple(_FAMILIES)


class UnknownFamily(Exception):
    """There is no family of that name; the message lists those there are."""


def family(name: str) -> Family:
    """Raises UnknownFamily."""
    try:
        module, attribute = _FAMILIES[name]
    except KeyError:
        raise UnknownFamily(f"no token family {name!r}; there are: {', '.join(NAMES)}") from None
    found: Family = getattr(importlib.import_module(module), attribute)
    return found
