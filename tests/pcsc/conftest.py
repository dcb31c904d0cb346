"""Rooms with a pcscd of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pcsc.room import Room


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("room"), "Virtual PCD")
    yield room
    room.close()
