"""Which test of the conformance suite is for which token, and where a token is excepted from one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from _pytest.mark.structures import ParameterSet

from provision.model import Capability
from tests.families.targets import KINDS, Kind

Test = Callable[..., Any]
_Test = TypeVar("_Test", bound=Test)


@dataclass(frozen=True)
class Excepted:
    """A test that a kind of token fails because what it imitates does. `source`: who says so; never this project."""

    kind: str
    test: str
    why: str
    source: str


EXCEPTIONS: tuple[Excepted, ...] = ()


@dataclass(frozen=True)
class Wire:
    """`lane`: the pytest mark of what it needs, if `make test` has not got it. `is_slow`: tests of what is above the
    wire are not repeated on it."""

    lane: str | None = None
    is_slow: bool = False


WIRES = {
    "inprocess": Wire(),
    "pty": Wire(),
    "usbip": Wire(),
    "vpcd": Wire("pcsc"),
    "vhci": Wire("kernel", is_slow=True),
}


def above_the_wire(test: _Test) -> _Test:
    """A test of what no wire can spoil: arithmetics, and what a driver refuses by itself."""
    test.above_the_wire = True  # type: ignore[attr-defined]
    return test


def needs(*capabilities: Capability, so_that: Callable[[Kind], bool] = lambda kind: True) -> Callable[[_Test], _Test]:
    """A test only for tokens with these capabilities, that also hold what `so_that` asks."""

    def mark(test: _Test) -> _Test:
        test.needs = lambda kind: set(capabilities) <= kind.capabilities and so_that(kind)  # type: ignore[attr-defined]
        return test

    return mark


def is_for(test: Test, kind: Kind, link: str) -> bool:
    condition: Callable[[Kind], bool] = getattr(test, "needs", lambda kind: True)
    repeated = not (WIRES[link].is_slow and hasattr(test, "above_the_wire"))
    return link in kind.links and repeated and condition(kind)


def exception(test: str, kind: Kind) -> Excepted | None:
    return next((one for one in EXCEPTIONS if (one.kind, one.test) == (kind.name, test)), None)


def on_every_link(kind: Kind) -> pytest.MarkDecorator:
    """For tests of one family: the fixture `target` is a token of that kind on each of its wires but the slow ones."""
    links = [link for link in kind.links if not WIRES[link].is_slow]
    params = [pytest.param((kind, link), id=link, marks=_lane(link)) for link in links]
    return pytest.mark.parametrize("wire", params, indirect=True, scope="module")


def on_every_kind(test: Test) -> list[ParameterSet]:
    """The values of the fixture `wire` for a test of the suite."""
    params = []
    for kind in KINDS:
        excepted = exception(test.__name__, kind)
        why = [pytest.mark.xfail(strict=True, reason=f"{excepted.why}: {excepted.source}")] if excepted else []
        for link in WIRES:
            if is_for(test, kind, link):
                marks = [*_lane(link), *why]
                params.append(pytest.param((kind, link), id=f"{kind.name}-{link}".replace(" ", "-"), marks=marks))
    return params


def _lane(link: str) -> list[pytest.MarkDecorator]:
    lane = WIRES[link].lane
    return [getattr(pytest.mark, lane)] if lane else []
