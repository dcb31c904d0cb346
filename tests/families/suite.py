"""Which test of the conformance suite is for which token, and where a token is excepted from one."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from provision.model import Capability
from tests.families.targets import KINDS, Kind

Test = Callable[..., Any]
_Test = TypeVar("_Test", bound=Test)


@dataclass(frozen=True)
class Exception_:
    """A test that a kind of token fails because what it imitates does. `source`: who says so; never this project."""

    kind: str
    test: str
    why: str
    source: str


EXCEPTIONS: tuple[Exception_, ...] = ()

# What the suite runs on unless told otherwise; others need a lane: HWTOKEN_SUITE_LINKS="vpcd" in a room with pcscd.
LINKS = ("inprocess", "pty", "usbip")


def links() -> tuple[str, ...]:
    asked = os.environ.get("HWTOKEN_SUITE_LINKS")
    return tuple(asked.split(",")) if asked else LINKS


def needs(*capabilities: Capability, so_that: Callable[[Kind], bool] = lambda kind: True) -> Callable[[_Test], _Test]:
    """A test only for tokens with these capabilities, that also hold what `so_that` asks."""

    def mark(test: _Test) -> _Test:
        test.needs = lambda kind: set(capabilities) <= kind.capabilities and so_that(kind)  # type: ignore[attr-defined]
        return test

    return mark


def is_for(test: Test, kind: Kind) -> bool:
    condition: Callable[[Kind], bool] | None = getattr(test, "needs", None)
    return condition is None or condition(kind)


def exception(test: str, kind: Kind) -> Exception_ | None:
    return next((one for one in EXCEPTIONS if (one.kind, one.test) == (kind.name, test)), None)


def on_every_link(kind: Kind) -> pytest.MarkDecorator:
    """For tests of one family: the fixture `target` is a token of that kind on each of its wires."""
    params = [pytest.param((kind, link), id=link) for link in links() if link in kind.links]
    return pytest.mark.parametrize("target", params, indirect=True)


def targets(test: Test) -> Iterator[tuple[Kind, str]]:
    for kind in KINDS:
        if is_for(test, kind):
            for link in links():
                if link in kind.links:
                    yield kind, link
