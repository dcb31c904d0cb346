"""USB/IP hosts of other people's: the kernel's own tool lists the token, PyPI usbip drives it, yubikit on top."""

from __future__ import annotations

import os
import shutil
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


def test_the_kernels_own_tool_lists_it(usbip_port: int) -> None:
    usbip = shutil.which("usbip", path=f"{os.environ['PATH']}:/usr/sbin")
    if usbip is None:
        pytest.fail("usbip is missing. Install it with: sh tests/foreign/install.sh")
    command = [usbip, "--tcp-port", str(usbip_port), "list", "--remote", "127.0.0.1"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert listed.returncode == 0, listed.stderr
    assert "1-1:" in listed.stdout and "(1209:0001)" in listed.stdout
    assert [line.rpartition("(")[2] for line in listed.stdout.splitlines() if ":  " in line] == [
        "02/02/00)",
        "0a/00/00)",
        "0b/00/00)",
    ]
