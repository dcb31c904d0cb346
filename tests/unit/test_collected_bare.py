"""`make test` collects the other lanes' tests too, on machines where nothing of those lanes is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("folder", ["kernel", "pcsc", "udev", "foreign", "families", "web"])
def test_it_is_collected_without_what_its_lane_installs(folder: str, tmp_path: Path) -> None:
    hidden = "raise ModuleNotFoundError('hidden by a test')\n"
    for name in ("smartcard", "ykman", "yubikit", "playwright"):
        (tmp_path / f"{name}.py").write_text(hidden)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", f"tests/{folder}"]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(tmp_path), "PATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 5), done.stdout  # 5: all of them are of that lane, and left out here
