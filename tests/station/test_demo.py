"""`provision demo` keeps its promises, says so, and does not when one is broken."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provision.cli import demo_acts, demo_stage
from provision.cli.demo_acts import Step, acts_of
from provision.cli.demo_casts import cast_of
from provision.cli.demo_stage import BrokenPromise, Stage
from provision.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("family", "model", "options"),
    [
        ("molto2", None, ()),
        ("token2", "OTPC-P2-i", ("--model", "OTPC-P2-i")),
    ],
)
def test_the_whole_life_of_another_token(family: str, model: str | None, options: tuple[str, ...]) -> None:
    """That of the reference token is `make demo` itself, and lane packaging's."""
    promises = sum(len(steps) for _, steps in acts_of(cast_of(family, model)))
    options = ("--family", family, *options)
    command = [sys.executable, "-m", "provision", "demo", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{promises} of {promises} steps as promised"
    assert "\x1b" not in done.stdout, "no colour into a pipe"
    for word in ("exit 3", "DONE", "TIME_SET", "VERIFIED", "REGISTERED", "SERVER_VERIFIED", "in truth"):
        assert word in done.stdout


def test_a_broken_promise_ends_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def kept(stage: Stage) -> str:
        return "seen"

    def broken(stage: Stage) -> str:
        raise BrokenPromise("it did not")

    acts = (("One act", (Step("first", kept), Step("second", broken), Step("third", kept))),)
    monkeypatch.setattr("provision.cli.demo.acts_of", lambda cast: acts)
    assert main(["demo"]) == BrokenPromise.exit_code != 0
    shown = capsys.readouterr().out
    assert "second: it did not" in shown
    assert "third" not in shown
    assert shown.splitlines()[-1] == "1 of 3 steps as promised"


def test_an_interruption_while_the_simulator_starts_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    begin = subprocess.Popen.__init__

    def interrupted(self: subprocess.Popen[str], *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named)
        started.append(self)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess.Popen, "__init__", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background process ignores it
    try:
        with pytest.raises(KeyboardInterrupt), Stage(tmp_path, 0, cast_of("reference", None)) as stage:
            stage.unbox()
        (token,) = started
        assert token.poll() is not None
    finally:
        signal.signal(signal.SIGINT, before)
        for each in started:
            each.kill()
            each.wait()


@pytest.mark.skipif(sys.platform == "win32", reason="there nothing can refuse to end")
def test_a_simulator_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    monkeypatch.setattr(demo_stage, "PATIENCE_S", 0.2)
    stage = Stage(tmp_path, 0, cast_of("reference", None))
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True) as token:
        assert token.stdout is not None
        assert token.stdout.readline() == "deaf\n"
        stage._token = token
        with pytest.raises(subprocess.TimeoutExpired):
            stage.__exit__(None, None, None)
        ended = token.poll()
        token.kill()
    assert ended == -signal.SIGKILL


@pytest.mark.parametrize(
    ("options", "why"),
    [(("--link", "nonsense"), "'nonsense' is not"), (("--family", "token2", "--link", "pty"), "serial")],
)
def test_a_simulator_that_does_not_start_says_why(
    options: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", *options]) == BrokenPromise.exit_code
    shown = capsys.readouterr().out
    assert "the simulator did not start" in shown
    assert why in shown


def test_a_command_that_ends_otherwise_than_promised_is_noticed() -> None:
    ran = demo_acts.Ran(0, ({"step": "DONE"},), "")
    assert demo_acts._expect(ran, 0) == {"step": "DONE"}
    with pytest.raises(BrokenPromise, match="exit code 0 instead of 3"):
        demo_acts._expect(ran, 3)


def test_sigterm_ends_it_with_its_token_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "provision", "demo"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    ) as running:
        assert running.stdout is not None
        while "   ok  " not in running.stdout.readline():
            pass
        (folder,) = tmp_path.iterdir()
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert (running.returncode, said.strip()) == (130, "interrupted")
    assert list(tmp_path.iterdir()) == []
    assert not any(str(folder) in others for others in command_lines())


def command_lines() -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            found.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return found
