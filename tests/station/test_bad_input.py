"""Broken standard streams: the command says so in words, and no traceback is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def shell(arguments: str, redirection: str, *, module: str = "provision", before: str = "") -> tuple[int, str]:
    """Run a program with a broken stream: its exit code and what it said on standard error."""
    command = f"{before} exec {sys.executable} -m {module} {arguments} {redirection}"
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


def test_closed_standard_input_is_named(tmp_path: Path) -> None:
    arguments = f"server check --user anna --code-file - --server embedded:{tmp_path / 'server.db'}"
    code, told = shell(arguments, "<&-")
    assert code == 9
    assert "standard input (--code-file) is closed" in told


def test_a_seed_that_nobody_received_leaves_no_device(tmp_path: Path) -> None:
    server = f"--server embedded:{tmp_path / 'server.db'}"
    assert shell(f"server init {server}", ">&-")[0] == 0
    code, told = shell(f"server register {server} --user anna --name phone --otpauth-out -", ">/dev/full")
    assert code == 1
    assert "nothing stays registered" in told
    code, _ = shell(f"server list {server}", f">{tmp_path / 'list'}")
    assert (tmp_path / "list").read_text() == "no devices\n"


@pytest.mark.parametrize("option", ["", "--json"])
def test_a_terminal_without_the_letters_of_a_name(option: str, tmp_path: Path) -> None:
    server = f"--server embedded:{tmp_path / 'server.db'}"
    assert shell(f"server init {server}", ">&-")[0] == 0
    uri = tmp_path / "uri"
    assert shell(f"server register {server} --user anna --name Schlüssel --otpauth-out {uri}", ">&-")[0] == 0
    out = tmp_path / "list"
    code, _ = shell(f"server list {server} {option}", f">{out}", before="PYTHONIOENCODING=ascii:strict")
    assert code == 0
    assert ("Schl\\u00fcssel" if option else "Schl\\xfcssel") in out.read_text()


def test_the_simulator_too_ends_in_words(tmp_path: Path) -> None:
    run = f"run --clock file:{tmp_path / 'clock'} --state {tmp_path / 'token.json'}"
    (tmp_path / "clock").write_text("1767225600\n")
    code, told = shell(run, ">/dev/full", module="firmware_sim")
    assert code == 1
    assert "standard output cannot be written: No space left on device" in told
    code, told = shell("inspect --control unix:/nonexistent --json", ">/dev/full", module="firmware_sim")
    assert (code, told.count("\n")) == (3, 1)
    code, told = shell("type-pin --control unix:/nonexistent", "<&- >&-", module="firmware_sim")
    assert (code, told.count("\n")) == (3, 1)
