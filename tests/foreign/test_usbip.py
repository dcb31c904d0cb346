"""PyPI usbip's host API, which is not ours, finds and drives the token; and yubikit lives with it on top of that."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.foreign

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".lanes" / "foreign" / "bin" / "python"


@pytest.mark.parametrize("program", ["usbip_session.py", "yubikit_session.py"])
def test_a_usb_host_of_other_peoples_lives_with_the_token(program: str, usbip_port: int) -> None:
    if not PYTHON.exists():
        pytest.fail("usbip and yubikit are missing. Install them with: sh tests/foreign/install.sh")
    command = [PYTHON, "-W", "error", HERE / program, "--usbip", str(usbip_port)]
    session = subprocess.run(command, capture_output=True, text=True, timeout=60)
    print(session.stdout)
    assert session.returncode == 0, session.stderr
