"""Families by name, model and firmware. Whoever adds a family adds a line."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence

from firmware_sim.core.family import Family

__all__ = ["NAMES", "SERIAL_RULE", "Family", "UnknownFamily", "family", "is_serial", "variants"]

# name -> the module whose VARIANTS are the family's models and firmware versions; the first is what one gets unasked.
_FAMILIES = {
    "reference": "firmware_sim.families.reference",
    "yubikey": "firmware_sim.families.yubikey",
    "molto2": "firmware_sim.families.molto2",
    "token2": "firmware_sim.families.token2",
}

NAMES = tuple(_FAMILIES)
SERIAL_RULE = "1 to 27 letters, digits, dots, dashes and underscores"
_SERIAL = re.compile(r"[A-Za-z0-9._-]{1,27}")


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


def is_serial(text: str) -> bool:
    """Whether a new token may be given this serial, see SERIAL_RULE: it fits on every wire and into names of files."""
    return _SERIAL.fullmatch(text) is not None
