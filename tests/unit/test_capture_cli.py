"""`--capture` on both command lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provision.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "tcp:127.0.0.1:1"


def test_a_capture_that_cannot_be_made_stops_the_command_before_it_opens_the_token(tmp_path, capsys):
    (tmp_path / "c").write_bytes(b"precious")
    assert main(["info", "--token", NOBODY, "--capture", str(tmp_path / "c")]) == 9
    assert "exists already" in capsys.readouterr().err
    assert main(["info", "--token", NOBODY, "--capture", str(tmp_path / "no" / "c")]) == 9
    assert (tmp_path / "c").read_bytes() == b"precious"


def test_a_command_that_fails_leaves_what_it_captured(tmp_path):
    assert main(["info", "--token", NOBODY, "--capture", str(tmp_path / "c")]) == 3
    assert (tmp_path / "c").read_bytes().startswith(b"\x0a\x0d\x0d\x0a")


@pytest.mark.parametrize("command", [["list"], ["token", "retire"], ["token", "program"], ["info"]])
def test_commands_that_open_a_token_have_it(command, capsys):
    assert main([*command, "--help"]) == 0
    assert "--capture FILE" in capsys.readouterr().out


def test_a_command_without_a_token_has_none(capsys):
    assert main(["ledger", "list", "--capture", "c"]) == 2
    assert "--capture" in capsys.readouterr().err


def test_the_simulator_refuses_to_overwrite_too(tmp_path):
    (tmp_path / "c").write_bytes(b"precious")
    command = [sys.executable, "-m", "firmware_sim", "run", "--link", "tcp", "--capture", str(tmp_path / "c"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert done.returncode == 9
    assert json.loads(done.stdout)["exit_code"] == 9
    assert "exists already" in done.stderr
    assert (tmp_path / "c").read_bytes() == b"precious"
