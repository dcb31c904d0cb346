"""Yubico's own host library drives the token: SCP03 and the OATH applet, as ykman uses them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.foreign

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".lanes" / "foreign" / "bin" / "python"


def test_yubikit_lives_with_the_token(token_port: str) -> None:
    if not PYTHON.exists():
        pytest.fail("yubikit is missing. Install it with: sh tests/foreign/install.sh")
    command = [PYTHON, "-W", "error", HERE / "yubikit_session.py", "--port", token_port]
    session = subprocess.run(command, capture_output=True, text=True, timeout=60)
    print(session.stdout)
    assert session.returncode == 0, session.stderr
