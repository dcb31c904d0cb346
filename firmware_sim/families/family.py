"""Families by name, model and firmware. Whoever adds a family adds a line."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from firmware_sim.core.family import Family

__all__ = ["NAMES", "Family", "UnknownFamily", "family", "variants"]

# name -> the module whose VARIANTS are the family's models and firmware versions; the first is what one gets unasked.
_FAMILIES = {
    "reference": "firmware_sim.families.reference",
    "yubikey": "firmware_sim.families.yubikey",
    "molto2": "firmware_sim.families.molto2",
    "token2": "firmware_sim.families.token2",
}

NAMES = tuple(_FAMILIES)


class UnknownFamily(Exception):
    """There is no such family, or none of that model and firmware; the message lists those there are."""


def variants(name: str) -> Sequence[Family]:
    """Every model and firmware of a family. Raises UnknownFamily."""
    if name not in _FAMILIES:
        raise UnknownFamily(f"no token family {name!r}; there are: {', '.join(NAMES)}")
    found: Sequence[Family] = importlib.import_module(_FAMILIES[name]).VARIANTS
    return found


def family(name: str, *, model: str | None = None, firmware: str | None = None) -> Family:
    """The first variant of that model and firmware (`5.7.4`); None stands for any. Raises UnknownFamily."""
    known = variants(name)
    for variant in known:
        if model in (None, variant.model) and firmware in (None, variant.firmware_text):
            return variant
    wanted = " ".join(part for part in (name, model, firmware) if part)
    there_are = ", ".join(f"{variant.model} {variant.firmware_text}" for variant in known)
    raise UnknownFamily(f"no token {wanted!r}; of {name} there are: {there_are}")
