"""docs/MIGRATION.md runs as it stands; another's oathtool is the app in the lane foreign (tests/foreign)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers import story

pytestmark = pytest.mark.service


def test_five_people_move_over(tmp_path: Path) -> None:
    story.tell(tmp_path, stand_in=True)
