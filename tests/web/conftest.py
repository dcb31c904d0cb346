"""An office of people with devices, made once, and visitors to its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.servers.roles import Role
from tests.web.office import Desk, Made, populate
from tests.web.visitor import Visitor


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return populate(tmp_path_factory.mktemp("office"))


@pytest.fixture
def desk(made: Made, tmp_path: Path) -> Iterator[Desk]:
    with Desk(made, tmp_path) as desk:
        yield desk


@pytest.fixture
def anna(desk: Desk) -> Visitor:
    return desk.visitor(Role.USER)


@pytest.fixture
def helper(desk: Desk) -> Visitor:
    return desk.visitor(Role.DESK)


@pytest.fixture(scope="module")
def unchanged(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """For those who must not get anything done."""
    with Desk(made, tmp_path_factory.mktemp("unchanged")) as desk:
        before = desk.state()
        yield desk
        assert desk.state() == before
