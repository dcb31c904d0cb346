"""A simulated token as other people's programs meet it: a process, a pty, a clock in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTED_AT_S = 1_000_000_000


@pytest.fixture
def token_port(tmp_path: Path) -> Iterator[str]:
    """The serial device of a new token. True time stands still at STARTED_AT_S; only SET TIME moves its clock."""
    clock = tmp_path / "clock"
    clock.write_text(str(STARTED_AT_S))
    command = [sys.executable, "-m", "firmware_sim", "run", "--family", "reference", "--link", "pty", "--json"]
    with subprocess.Popen(
        [*command, "--clock", f"file:{clock}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            scheme, _, port = json.loads(process.stdout.readline())["address"].partition(":")
            assert scheme == "serial"
            yield port
        finally:
            process.terminate()
    assert process.returncode == 0
