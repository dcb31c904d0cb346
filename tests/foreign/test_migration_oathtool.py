"""docs/MIGRATION.md with Debian's oathtool as everybody's app."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.servers import story

pytestmark = pytest.mark.foreign


def test_five_people_move_over(tmp_path: Path) -> None:
    if shutil.which("oathtool") is None:
        pytest.fail("oathtool is missing. Install it as root: apt-get install oathtool")
    story.tell(tmp_path, stand_in=False)
