"""What a test declares about its token with `@pytest.mark.token(...)`, nearest marker first.

Light: it is imported with the plugin, so by every pytest of whoever has hwtoken installed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

MARKER = "token"
_TEXTS = ("family", "model", "firmware", "serial", "pin", "profile")


class DeclarationError(Exception):
    """The marker says something that no token can be."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The state in which a test wants its token. Out of its box, with the factory's keys, unless it says more.

    `family`, `model`, `firmware`, `serial`: which token; None for the family's first, and for a serial of the test's
    own. `pin`: set before the test. `offset_s`, `rate_error_ppm`, `ageing_ppm_per_year`, `temperature_c`, `profile`,
    `jitter_us`: its clock when it is made, as `firmware-sim run` names them. `aged`: its clock errs as if so much time
    ("18 months") had gone by since, while true time stands still. `clock`: "file", a true time of the test's own that
    the test moves, or "system", the machine's.
    """

    family: str = "reference"
    model: str | None = None
    firmware: str | None = None
    serial: str | None = None
    pin: str | None = field(default=None, repr=False)
    offset_s: float = 0
    rate_error_ppm: float = 0
    ageing_ppm_per_year: float = 0
    temperature_c: float | None = None
    profile: str | None = None
    jitter_us: int = 0
    aged: str | float | None = None
    clock: str = "file"

    @property
    def clock_is_wrong(self) -> bool:
        """Whether the token's clock is declared to be another than a good one that was just set."""
        return any((self.offset_s, self.rate_error_ppm, self.ageing_ppm_per_year, self.jitter_us, self.aged)) or (
            (self.temperature_c, self.profile) != (None, None)
        )


def declared(node: pytest.Item) -> Declared:
    """What the markers of a test, its class and its module say together. Raises DeclarationError."""
    said = spoken(node)
    known = [one.name for one in fields(Declared)]
    if strange := [name for name in said if name not in known]:
        raise DeclarationError(f"@pytest.mark.token does not know {', '.join(strange)}; it knows {', '.join(known)}")
    for name in _TEXTS:
        if not isinstance(said.get(name), str | None):
            raise DeclarationError(f"@pytest.mark.token({name}=...) is text, in quotes")
    if said.get("clock", "file") not in ("file", "system"):
        raise DeclarationError('@pytest.mark.token(clock=...) is "file" or "system"')
    if None not in (said.get("temperature_c"), said.get("profile")):
        raise DeclarationError("@pytest.mark.token takes temperature_c or profile, not both")
    return Declared(**said)


def spoken(node: pytest.Item) -> Mapping[str, Any]:
    """The arguments of the markers, unchecked. Raises DeclarationError for those without a name."""
    said: dict[str, Any] = {}
    for marker in node.iter_markers(MARKER):
        if marker.args:
            raise DeclarationError("@pytest.mark.token takes names only, for example token(pin='271828')")
        said = {**marker.kwargs, **said}
    return said


def own_seed(node: pytest.Item, which: str) -> int:
    """A number of this test's and this token's own: the same in every run, on every worker, in every order."""
    return zlib.crc32(f"{node.nodeid} {which}".encode())
