"""Broken standard streams: the command says so in words, and no traceback is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def shell(arguments: str, redirection: str) -> tuple[int, str]:
    """Run `provision` with a broken stream: its exit code and what it said on standard error."""
    command = f"exec {sys.executable} -m provision {arguments} {redirection}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return done.returncode, done.stderr


def test_closed_standard_output_is_like_dev_null(tmp_path: Path) -> None:
    assert shell(f"server init --server embedded:{tmp_path / 'server.db'}", ">&-") == (0, "")
    assert (tmp_path / "server.db").read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("option", ["", "--json"])
def test_full_standard_output_is_told_on_the_other_stream(option: str, tmp_path: Path) -> None:
    code, told = shell(f"server init --server embedded:{tmp_path / 'server.db'} {option}", ">/dev/full")
    assert code == 1
    assert "standard output cannot be written: No space left on device" in told
    assert (tmp_path / "server.db").exists()


def test_an_error_that_cannot_be_printed_keeps_its_code() -> None:
    code, told = shell("token verify x --token bogus --json", ">/dev/full")
    assert code == 2
    assert "unknown token address" in told
    assert "standard output cannot be written" in told
