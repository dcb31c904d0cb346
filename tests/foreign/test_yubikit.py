"""Yubico's own host library drives the tokens: SCP03 and the OATH applet, as ykman uses them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from firmware_sim.families.family import variants

pytestmark = pytest.mark.foreign

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = ROOT / ".lanes" / "foreign" / "bin" / "python"


def run(script: str, *arguments: str) -> None:
    if not PYTHON.exists():
        pytest.fail("yubikit is missing. Install it with: sh tests/foreign/install.sh")
    command = [PYTHON, "-W", "error", HERE / script, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    session = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    print(session.stdout)
    assert session.returncode == 0, session.stderr


def test_yubikit_lives_with_the_reference_token(token_port: str) -> None:
    run("yubikit_session.py", "--port", token_port)


@pytest.mark.parametrize("secure_channel", [(), ("--scp",)], ids=["plain", "scp03"])
@pytest.mark.parametrize("firmware", [variant.firmware_text for variant in variants("yubikey")])
def test_yubikit_lives_with_a_yubikey(firmware: str, secure_channel: tuple[str, ...]) -> None:
    run("yubikit_on_yubikey.py", "--firmware", firmware, *secure_channel)
