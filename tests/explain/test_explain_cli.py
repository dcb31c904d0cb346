"""`provision explain`: one screen for whoever has a person on the telephone, one JSON object for programs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from provision.cli.explain_text import told_everybody
from provision.cli.main import main
from provision.clock import ManualClock
from provision.model import OathType, OtpParameters, Secret
from provision.servers.backend import Registration
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.desk import Asked
from provision.station.explain.crowd import Crowd
from tests.explain.office import ANN, Office
from tests.explain.troubles import slow


class Call(NamedTuple):
    """What the desk has, in a folder: the server, the time, and two codes in a row."""

    folder: Path
    asked: Asked

    def set_clock(self, now_s: float) -> None:
        (self.folder / "clock").write_text(str(now_s))

    @property
    def server(self) -> tuple[str, ...]:
        return "--server", f"embedded:{self.folder}/server.db", "--clock", f"file:{self.folder}/clock"

    @property
    def codes(self) -> Path:
        return self.folder / "codes"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Call:
    """Ann's clock has become slow in 36 weeks, and nobody else's."""
    folder = tmp_path_factory.mktemp("desk")
    office = Office.open(folder / "server.db", 1)
    slow(office)
    call = Call(folder, office.codes())
    office.server.close()
    call.set_clock(call.asked.at_s)
    call.codes.touch(mode=0o600)
    call.codes.write_text("\n".join(call.asked.codes))
    return call


@pytest.fixture
def call(kept: Call, tmp_path: Path) -> Call:
    """Nobody has asked yet."""
    shutil.copytree(kept.folder, tmp_path / "desk")
    return kept._replace(folder=tmp_path / "desk")


def explained(call: Call, capsys: pytest.CaptureFixture[str], *arguments: str, exit_code: int = 0) -> dict[str, Any]:
    assert main(["explain", *arguments, *call.server, "--json"]) == exit_code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_object_for_programs(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(call, capsys, ANN, "--codes", str(call.codes))
    assert (found["cause"], found["certainty"], found["user"]) == ("clock-drift", "certain", ANN)
    low, high = found["rate_error_ppm"]
    assert -45 < low < high < -10
    assert found["offset_s"][1] < -30
    assert "resync" in found["now"]


def test_one_screen_for_people(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", ANN, "--codes", str(call.codes), *call.server]) == 0
    screen = capsys.readouterr().out
    for head in ("CAUSE", "CERTAINTY", "CLOCK", "SINCE", "EXCLUDED", "NOW", "FOR GOOD"):
        assert f"\n{head} " in f"\n{screen}"
    assert len(screen.splitlines()) <= 24
    assert max(map(len, screen.splitlines())) <= 100
    assert not any(code in screen for code in call.asked.codes)


def test_nobody_is_told_to_log_in_before_a_moment_that_has_come(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody saw the code change: the clock is known to 75 s, and a window, resynchronised or not, is 60 s wide."""
    found = explained(call, capsys, ANN, "--codes", str(call.codes))
    assert found["cause"] == "clock-drift"
    assert found["for_good"].startswith("set the token's clock")


def test_without_codes_it_says_what_is_unknown(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(call, capsys, ANN, "--no-codes")
    assert found["cause"] == "undecided"
    assert any("two codes in a row" in what for what in found["unknown"])


def test_everybody(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--all", *call.server]) == 0
    assert ANN in capsys.readouterr().out


@pytest.mark.parametrize(("fitting", "said"), [(1, "one person got in"), (2, "2 people got in")])
def test_as_many_people_as_there_are(fitting: int, said: str) -> None:
    assert said in told_everybody(Crowd(fitting=fitting), [], 100)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["nobody", "--no-codes"], 2, "neither a user nor a token"),
        ([], 2, "whose codes"),
        ([ANN, "--all"], 2, "whose codes"),
        ([ANN, "--no-codes", "--codes", "-"], 2, "contradict"),
    ],
)
def test_what_it_cannot_do(
    call: Call, capsys: pytest.CaptureFixture[str], arguments: list[str], exit_code: int, words: str
) -> None:
    assert words in explained(call, capsys, *arguments, exit_code=exit_code)["error"]["message"]


def test_who_has_no_device_is_known_all_the_same(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedServer(call.folder / "server.db", ManualClock(call.asked.at_s), os.urandom) as server:
        server.add_people(["gil"])
    error = explained(call, capsys, "gil", "--no-codes", exit_code=2)["error"]
    assert "has no device" in error["message"]
    assert "server report" in error["hint"]


def test_a_counter_has_no_clock(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    server = EmbeddedServer(call.folder / "server.db", ManualClock(call.asked.at_s), os.urandom)
    server.register(
        Registration(UUID(int=77), "gus", "fob", None, Secret(b"k" * 20), OtpParameters(oath_type=OathType.HOTP))
    )
    server.close()
    error = explained(call, capsys, "gus", exit_code=2)["error"]
    assert "counter" in error["message"]
    assert "resync" in error["hint"]


@pytest.mark.parametrize("codes", ["", "123456", "123456\n12345678", "123456\nabcdef"])
def test_what_are_no_two_codes(call: Call, capsys: pytest.CaptureFixture[str], tmp_path: Path, codes: str) -> None:
    path = tmp_path / "codes"
    path.touch(mode=0o600)
    path.write_text(codes)
    assert "code" in explained(call, capsys, ANN, "--codes", str(path), exit_code=9)["error"]["message"]


def test_who_asks_too_often_is_told_when_to_ask_again(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(10):
        main(["explain", ANN, "--codes", str(call.codes), *call.server, "--json"])
    capsys.readouterr()
    error = explained(call, capsys, ANN, "--codes", str(call.codes), exit_code=4)["error"]
    assert "too often" in error["message"]
    assert "minutes" in error["hint"]


class Telephone:
    """`provision explain` at a terminal, and whoever types there."""

    def __init__(self, master: int) -> None:
        self._master, self.shown = master, ""

    def answer(self, prompt: str, line: str) -> None:
        """`line`, to the question that ends with `prompt`."""
        while not self.shown.rstrip().endswith(f"{prompt}:"):
            self.shown += os.read(self._master, 1024).decode()
        os.write(self._master, line.encode() + b"\n")
        self.shown += "|"


@contextmanager
def telephone(call: Call) -> Iterator[tuple[Telephone, subprocess.Popen[str]]]:
    master, slave = os.openpty()
    program = [sys.executable, "-m", "provision", "explain", ANN, *call.server, "--json"]
    with subprocess.Popen(
        program, stdin=slave, stdout=subprocess.PIPE, stderr=slave, start_new_session=True, text=True
    ) as process:
        os.close(slave)
        try:
            yield Telephone(master), process
        finally:
            process.kill()
            os.close(master)


WHEN = "nobody can see it change)"


def test_enter_at_the_change_shows_the_clock_to_a_few_seconds(call: Call) -> None:
    assert call.asked.changed_s is not None
    call.set_clock(call.asked.changed_s)
    with telephone(call) as (desk, process):
        desk.answer(WHEN, "")
        desk.answer("shows now", call.asked.codes[0])
        call.set_clock(call.asked.at_s)
        desk.answer("next code", call.asked.codes[1])
        out, _ = process.communicate(timeout=60)
    found = json.loads(out)
    assert found["cause"] == "clock-drift"
    low, high = found["offset_s"]
    assert high - low <= 7
    assert found["for_good"].startswith("log in again before 2")
    assert not any(code in desk.shown for code in call.asked.codes)


def test_enter_at_no_change_is_not_believed(call: Call) -> None:
    """The next code came after 12 s: there was no change when the key was pressed."""
    call.set_clock(call.asked.at_s - 12)
    with telephone(call) as (desk, process):
        desk.answer(WHEN, "")
        desk.answer("shows now", call.asked.codes[0])
        call.set_clock(call.asked.at_s)
        desk.answer("next code", call.asked.codes[1])
        out, _ = process.communicate(timeout=60)
    low, high = json.loads(out)["offset_s"]
    assert high - low > 30


def test_codes_that_fit_nowhere_are_asked_for_again(call: Call) -> None:
    first, second = call.asked.codes
    with telephone(call) as (desk, process):
        desk.answer(WHEN, second)  # in the wrong order
        desk.answer("next code", first)
        desk.answer(WHEN, first)
        desk.answer("next code", second)
        out, _ = process.communicate(timeout=60)
    assert json.loads(out)["cause"] == "clock-drift"
    assert "fit nowhere" in desk.shown


@pytest.mark.parametrize("has", [80, 300])
def test_a_line_is_as_wide_as_the_terminal_and_no_wider_than_anybody_reads(call: Call, has: int) -> None:
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, has))
    program = [sys.executable, "-m", "provision", "explain", ANN, "--codes", str(call.codes), *call.server]
    with subprocess.Popen(program, stdin=subprocess.DEVNULL, stdout=slave, env=_without_columns()) as process:
        os.close(slave)
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal, on Linux
            while some := os.read(master, 4096):
                shown += some
        assert process.wait(timeout=60) == 0
    os.close(master)
    widest = max(map(len, shown.decode().splitlines()))
    assert 60 < widest <= min(has - 1, 100)


def _without_columns() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
