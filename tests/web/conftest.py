"""An office of people with devices, made once."""

from __future__ import annotations

import pytest

from tests.web.office import Made, populate


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return populate(tmp_path_factory.mktemp("office"))
