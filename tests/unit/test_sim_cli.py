"""`firmware-sim` as a person or a script uses it: real processes, real pseudo-terminals, real signals."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from firmware_sim import cli
from firmware_sim.control.address import TcpAddress, parse_address
from firmware_sim.control.client import ControlClient
from firmware_sim.control.errors import ControlError
from provision.wire.framing import Decoder, Frame, Kind, encode_frame

ROOT = Path(__file__).resolve().parents[2]
SELECT = bytes.fromhex("00A4040007A0000005272101")
PIN = "27182818"


class Simulator:
    """A running `firmware-sim run` and the lines that it printed."""

    def __init__(self, arguments: tuple[str, ...], count: int = 1, prelude: str = "") -> None:
        command = f"{prelude}\nfrom firmware_sim.cli import main\nmain()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", command, "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        self.lines: list[dict[str, str]] = []
        for _ in range(count):
            line = self.process.stdout.readline()
            assert line, self.finish()
            self.lines.append(json.loads(line))

    @property
    def line(self) -> dict[str, str]:
        return self.lines[0]

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        with ControlClient(parse_address(self.line["control"])) as client:
            return client.request(op, **fields)

    def finish(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """(exit code, standard error)."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=20)
        assert out == "", "one line a token, nothing else"
        return self.process.returncode, err


Start = Callable[..., Simulator]


@pytest.fixture
def start() -> Iterator[Start]:
    running: list[Simulator] = []

    def run(*arguments: str, count: int = 1, prelude: str = "") -> Simulator:
        running.append(Simulator(arguments, count, prelude))
        return running[-1]

    yield run
    for simulator in running:
        if simulator.process.returncode is None:
            simulator.process.kill()
            simulator.process.communicate()


@contextlib.contextmanager
def opened(address: str) -> Iterator[Callable[[bytes], Frame]]:
    """A serial line, blocking; call it with a frame to get the next frame back."""
    fd = os.open(address.removeprefix("serial:"), os.O_RDWR | os.O_NOCTTY)
    decoder = Decoder()

    def exchange(frame: bytes) -> Frame:
        os.write(fd, frame)
        while True:
            data = os.read(fd, 4096)
            assert data, "hung up"
            for reply in decoder.feed(data):
                assert isinstance(reply, Frame)
                return reply

    try:
        yield exchange
    finally:
        os.close(fd)


def raises_abort(**options: Any) -> None:
    raise click.Abort


def run_cli(arguments: list[str], monkeypatch: pytest.MonkeyPatch, stdin: str = "") -> int:
    """The exit code of `firmware-sim` in this process."""
    import io

    monkeypatch.setattr(sys, "argv", ["firmware-sim", *arguments])
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    with pytest.raises(SystemExit) as done:
        cli.main()
    code = done.value.code or 0
    assert isinstance(code, int)
    return code


def test_one_line_then_it_serves_and_ends_cleanly(start: Start, tmp_path: Path) -> None:
    link = tmp_path / "token"
    simulator = start("--serial", "ABC", "--pty-link", str(link), "--json")
    assert simulator.line["serial"] == "ABC"
    assert simulator.line["family"] == "reference"
    assert simulator.line["address"] == f"serial:{link}"
    sock = Path(simulator.line["control"].removeprefix("unix:"))
    assert stat.S_IMODE(sock.parent.stat().st_mode) == 0o700
    with opened(simulator.line["address"]) as exchange:
        assert exchange(encode_frame(Kind.HELLO, 0, 7, b"\x01")).kind == Kind.HELLO_REPLY
        assert exchange(encode_frame(Kind.APDU, 1, 7, SELECT)).payload.endswith(b"\x90\x00")
    assert simulator.ask("ping") == {}
    assert simulator.finish() == (0, "")
    assert not link.is_symlink()
    assert not sock.parent.exists()


def test_ctrl_c_is_as_clean(start: Start) -> None:
    assert start().finish(signal.SIGINT) == (0, "")


def test_the_state_survives_sigkill_and_belongs_to_one(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "token.json"
    first = start("--state", str(state), "--serial", "ABC", "--rate-error-ppm", "5")
    first.ask("type-pin", pin=PIN)
    first.ask("type-pin", pin=PIN)
    first.ask("age", duration="1000000 s")
    assert run_cli(["run", "--state", str(state)], monkeypatch) == 9, "a second simulator on the same state"
    code, err = first.finish(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert "secrets" in err
    second = start("--state", str(state))
    assert second.line["serial"] == "ABC"
    view = second.ask("inspect")
    assert view["token"]["pin"] == "set"
    assert view["truth"]["offset_s"] == pytest.approx(5.0, abs=0.01)
    assert second.finish()[0] == 0
    capsys.readouterr()
    assert run_cli(["run", "--state", str(state), "--serial", "XYZ"], monkeypatch) == 2
    assert "serial ABC, not XYZ" in capsys.readouterr().err


def test_pulling_the_cable_hangs_up_and_plugging_gives_an_address(start: Start) -> None:
    simulator = start()
    with opened(simulator.line["address"]) as exchange:
        exchange(encode_frame(Kind.HELLO, 0, 7, b"\x01"))
        simulator.ask("cable", action="unplug", after="SELECT")
        assert exchange(encode_frame(Kind.APDU, 1, 7, SELECT)).payload.endswith(b"\x90\x00")
        # Silence until the line hangs up: nothing is answered any more.
        with pytest.raises((OSError, AssertionError), match=r"hung up|Input/output"):
            exchange(encode_frame(Kind.APDU, 2, 7, SELECT))
    address = simulator.ask("cable", action="plug")["address"]
    with opened(address) as exchange:
        assert exchange(encode_frame(Kind.HELLO, 0, 8, b"\x01")).session == 8


def test_a_file_clock_is_moved_for_everybody(start: Start, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("1767225600.0\n")
    simulator = start("--clock", f"file:{clock}", "--rate-error-ppm", "10")
    assert simulator.ask("advance", seconds=1_000_000)["true_time_s"] == 1_768_225_600.0
    assert float(clock.read_text()) == 1_768_225_600.0
    assert simulator.ask("inspect")["truth"]["offset_s"] == pytest.approx(10.0, abs=1e-5)


def test_true_time_after_the_last_year_of_the_calendar(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clock").write_text("253402300799\n")  # 9999-12-31 23:59:59 UTC
    simulator = start("--clock", f"file:{tmp_path / 'clock'}")
    for seconds, told in ("0", "9999-12-31 23:59:59 UTC"), ("1", "253402300800, Unix seconds"):
        assert run_cli(["advance", seconds, "--control", simulator.line["control"]], monkeypatch) == 0
        assert capsys.readouterr().out == f"true time is {told}\n"


def test_over_tcp_a_secret_keeps_strangers_out(start: Start) -> None:
    simulator = start("--link", "tcp", "--control", "tcp")
    assert simulator.line["address"].startswith("tcp:127.0.0.1:")
    address = parse_address(simulator.line["control"])
    assert isinstance(address, TcpAddress)
    assert stat.S_IMODE(address.secret_file.stat().st_mode) == 0o600
    assert simulator.ask("screen")["screen"]
    with socket.create_connection((address.host, address.port), timeout=5) as stranger:
        stranger.sendall(b'{"op": "screen"}\n')
        assert json.loads(stranger.makefile().readline())["ok"] is False
    assert simulator.finish() == (0, "")
    assert not address.secret_file.exists()


def test_a_client_that_is_not_let_in_keeps_no_connection(start: Start, tmp_path: Path) -> None:
    """A socket that it left open would fail this test as a ResourceWarning."""
    address = parse_address(start("--link", "tcp", "--control", "tcp").line["control"])
    assert isinstance(address, TcpAddress)
    wrong = tmp_path / "secret"
    wrong.write_text("5ec4e7\n")
    for secret_file, why in ((wrong, "secret of this control channel"), (tmp_path / "none", "cannot read the secret")):
        with pytest.raises(ControlError, match=why):
            ControlClient(TcpAddress(address.host, address.port, secret_file))


@pytest.mark.parametrize("link", ["tcp", "usbip"])
def test_whoever_lets_others_reach_a_token_is_warned(start: Start, link: str) -> None:
    """127.0.0.2 is this machine all the same, but no name of it that the command line knows."""
    said = start("--link", link, "--bind", "127.0.0.2").finish()[1]
    assert "--bind 127.0.0.2: anyone who reaches that address can talk to the token" in said
    assert start("--link", link).finish() == (0, "")


def test_a_fleet_has_a_line_and_a_state_for_each(start: Start, tmp_path: Path) -> None:
    fleet = tmp_path / "fleet"
    simulator = start("--count", "3", "--serial", "F", "--state", str(fleet), count=3)
    assert [line["serial"] for line in simulator.lines] == ["F00001", "F00002", "F00003"]
    assert len({line["address"] for line in simulator.lines} | {line["control"] for line in simulator.lines}) == 6
    assert simulator.finish()[0] == 0
    assert sorted(path.name for path in fleet.glob("*.json")) == ["F00001.json", "F00002.json", "F00003.json"]


def test_the_same_seed_makes_the_same_token(start: Start) -> None:
    views = []
    for _ in range(2):
        simulator = start("--random-seed", "7")
        views.append((simulator.line["serial"], simulator.ask("inspect")["token"]["device_id"]))
        assert "random seed 7" in simulator.finish()[1]
    assert views[0] == views[1]


def test_it_runs_where_there_is_no_pty_no_fcntl_and_no_unix_socket(start: Start) -> None:
    windows = (
        "import os, signal, socket, sys, types\n"
        "for name in ('fcntl', 'termios', 'tty', 'pty', 'resource'): sys.modules[name] = None\n"
        "sys.modules['msvcrt'] = types.SimpleNamespace(LK_LOCK=1, LK_NBLCK=2, locking=lambda *_: None)\n"
        "pair, unix = socket.socketpair, socket.AF_UNIX\n"
        "socket.socketpair = lambda: pair(unix)  # Windows has one, over the loopback\n"
        "del os.openpty, socket.AF_UNIX, signal.SIGHUP"
    )
    simulator = start(prelude=windows)
    assert simulator.line["address"].startswith("tcp:")
    assert simulator.line["control"].startswith("tcp:")
    assert simulator.ask("ping") == {}
    assert simulator.finish() == (0, "")


@pytest.mark.parametrize(
    ("arguments", "exit_code", "named"),
    [
        (["run", "--count", "0"], 2, "--count"),
        (["run", "--family", "unicorn"], 2, "'unicorn'"),
        (["run", "--serial", "../x"], 2, "--serial"),
        (["run", "--rate-error-ppm", "fast"], 2, "'fast'"),
        (["run", "--rate-error-ppm", "1e9"], 2, "rate_error_ppm"),
        (["run", "--temperature-c", "1", "--profile", "car"], 2, "not both"),
        (["run", "--clock", "sundial"], 2, "'sundial'"),
        (["run", "--clock", "file:/nonexistent/clock"], 9, "/nonexistent/clock"),
        (["run", "--state", "/nonexistent/token.json"], 9, "/nonexistent/token.json"),
        (["run", "--link", "tcp", "--bind", "203.0.113.1"], 3, "203.0.113.1"),
        (["run", "--pty-link", "/nonexistent/link"], 3, "/nonexistent/link"),
        (["run", "--link", "tcp", "--pty-link", "x"], 2, "--pty-link"),
        (["screen", "--control", "unix:/nonexistent/sock"], 3, "/nonexistent/sock"),
        (["screen", "--control", "carrier-pigeon"], 2, "'carrier-pigeon'"),
        (["screen"], 2, "--control"),
        (["age", "--control", "unix:/x"], 2, "say how long"),
        (["cable", "unplug", "--before-reply", "--control", "unix:/x"], 2, "--after"),
        (["dance"], 2, "'dance'"),
    ],
)
def test_errors_are_one_line_and_an_object(
    arguments: list[str],
    exit_code: int,
    named: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_cli(arguments, monkeypatch) == exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert named in captured.err.splitlines()[-1]
    if arguments != ["dance"]:
        assert run_cli([*arguments, "--json"], monkeypatch) == exit_code
        reply = json.loads(capsys.readouterr().out)
        assert named in reply["error"]
        assert reply["exit_code"] == exit_code


def test_interrupted_at_a_prompt_it_says_so_in_both_ways(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "cli", raises_abort)
    assert run_cli(["type-pin", "--control", "unix:/x", "--json"], monkeypatch) == 130
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"error": "interrupted", "exit_code": 130}
    assert captured.err == "firmware-sim: interrupted\n"


def test_a_bad_state_file_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "token.json"
    state.write_text("{")
    assert run_cli(["run", "--state", str(state)], monkeypatch) == 9
    assert str(state) in capsys.readouterr().err
    assert state.read_text() == "{"


@pytest.mark.parametrize(
    "mistake",
    [["--family", "molto2", "--link", "pty"], ["--serial", "TYPO", "--pty-link", "/nonexistent/link"]],
    ids=["link", "place"],
)
def test_a_run_that_was_refused_leaves_no_token_behind(
    mistake: list[str], start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "token.json"
    assert run_cli(["run", "--state", str(state), *mistake], monkeypatch) == 3
    assert not state.exists()
    assert start("--state", str(state), "--serial", "SN-1").finish()[0] == 0
    before = state.read_bytes()
    assert run_cli(["run", "--state", str(state), "--pty-link", "/nonexistent/link"], monkeypatch) == 3
    assert state.read_bytes() == before, "a token that was there stays there"


def test_a_fleet_that_was_refused_leaves_none_of_its_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = tmp_path / "fleet"
    options = ["--count", "3", "--serial", "F", "--link", "tcp"]
    fleet.mkdir()
    (fleet / "F00003.json").write_text("{")
    assert run_cli(["run", "--state", str(fleet), *options], monkeypatch) == 9
    assert [path.name for path in fleet.glob("*.json")] == ["F00003.json"]


def test_the_hands_print_for_people_and_for_programs(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    control = ["--control", start().line["control"]]

    def hand(*arguments: str, stdin: str = "") -> str:
        assert run_cli([*arguments, *control], monkeypatch, stdin) == 0
        captured = capsys.readouterr()
        assert PIN not in captured.out + captured.err
        return captured.out.strip()

    assert hand("type-pin", stdin=PIN + "\n") == "again"
    assert json.loads(hand("type-pin", "--json", stdin=PIN + "\n")) == {"screen": "PIN set"}
    assert hand("screen") == "PIN set"
    assert hand("press") == "no codes"
    assert hand("age", "--months", "18") == "aged by 18 months"
    assert hand("age", "2 days") == "aged by 2 days"
    assert "rate_error_ppm: -21.25" in hand("oscillator", "--temperature-c", "0")
    assert hand("battery", "low") == "battery low"
    assert hand("cable", "unplug") == "unplugged"
    assert hand("cable", "plug").startswith("serial:")
    assert hand("power", "off") == "no power"
    assert hand("power", "on", "--hold-button") == "powered"
    assert json.loads(hand("inspect", "--json"))["token"]["pin"] == "unset"
    assert run_cli(["advance", "1 s", *control], monkeypatch) == 2
    assert "real clock" in capsys.readouterr().err


def test_a_simulator_that_died_is_named(start: Start) -> None:
    simulator = start()
    with ControlClient(parse_address(simulator.line["control"])) as client:
        client.request("ping")
        simulator.finish(signal.SIGKILL)
        with pytest.raises(ControlError, match=r"gone|closed") as caught:
            client.request("ping")
    assert caught.value.exit_code == 3
