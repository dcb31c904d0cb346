"""Each kind of token that shows its codes to people only."""

from __future__ import annotations

import pytest

from tests.station.shown.people import DIES, MOLTO2, STAYS, world_of


@pytest.fixture(params=[MOLTO2, DIES, STAYS])
def shown(request, make_world):
    return world_of(make_world, request.param)


@pytest.fixture
def molto(make_world):
    return world_of(make_world, MOLTO2)
