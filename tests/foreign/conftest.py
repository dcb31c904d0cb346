"""A simulated token as other people's programs meet it: a process, its wire, a clock in a file."""

from __future__ import annotations

import contextlib
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
    with _token(tmp_path, "pty") as address:
        yield address.removeprefix("serial:")


@pytest.fixture
def usbip_port(tmp_path: Path) -> Iterator[int]:
    """The port of 127.0.0.1 on which such a token is a USB device."""
    with _token(tmp_path, "usbip") as address:
        yield int(address.removeprefix("usbip:127.0.0.1:").removesuffix("/1-1"))


@contextlib.contextmanager
def _token(tmp_path: Path, link: str) -> Iterator[str]:
    """Its address."""
    clock = tmp_path / "clock"
    clock.write_text(str(STARTED_AT_S))
    command = [sys.executable, "-m", "firmware_sim", "run", "--family", "reference", "--link", link, "--json"]
    with subprocess.Popen(
        [*command, "--clock", f"file:{clock}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()
    assert process.returncode == 0
