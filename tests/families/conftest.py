"""The tokens that the conformance suites run against. One suite, many targets: a target is one more class here."""

from __future__ import annotations

import io
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import pytest

from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.links.framed import FramedLink as DeviceFramedLink
from firmware_sim.seams import Battery
from provision.cli.main import main
from provision.clock import Clock, FileClock, ManualClock
from provision.families.driver import Session
from provision.families.reference import DRIVER
from provision.links.inprocess import open_device
from provision.links.link import LINKS, Link, LinkOptions, open_link
from tests.pcsc.room import Room

SERIAL = "HT-0001"
START = 1_767_225_600.25  # 2026-01-01 00:00:00.25 UTC: between two edges


class Target(Protocol):
    """A blank token with factory keys, and the world around it. `clock`: the station's, true time here."""

    clock: Clock

    def open(self) -> Link: ...

    def session(self) -> Session: ...

    def press_button_when_asked(self) -> None: ...

    def shift_clock(self, seconds: int) -> None:
        """Make the token's clock wrong by that much."""

    def stop_clock(self) -> None: ...

    def restart(self) -> None:
        """Power off and on, the wire staying plugged in."""


class SteppedOscillator:
    """Device time = true time + a constant, until it stops."""

    def __init__(self) -> None:
        self.offset_us = 0
        self.stopped = False

    def device_time_us(self, now: float) -> int | None:
        return None if self.stopped else round(now * 1_000_000) + self.offset_us

    def battery_status(self, now: float) -> Battery:
        return Battery.STOPPED if self.stopped else Battery.GOOD

    def set_device_time(self, now: float, device_s: int) -> None:
        self.offset_us = device_s * 1_000_000 - round(now * 1_000_000)


class InProcess:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.random = random.Random(20260101)
        self.oscillator = SteppedOscillator()
        kind = family("reference")
        self.token = Token(
            family=kind,
            serial=SERIAL,
            flash=MemoryFlash(kind.flash.page_size, kind.flash.page_count),
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.token.power_on()
        self.channel = self.token.open_channel()
        self.device = DeviceFramedLink(self.channel, lambda: self.token.boot_id, kind.limits.max_apdu, self.clock)
        self._press = False

    def open(self) -> Link:
        def pending(seconds_left: int) -> None:
            if self._press:
                self._press = False
                self.token.press_button()

        return open_device(self.device, LinkOptions(self.clock, self.random.randbytes, on_pending=pending))

    def session(self) -> Session:
        return DRIVER.open(self.open(), self.clock, self.random.randbytes)

    def press_button_when_asked(self) -> None:
        self._press = True

    def shift_clock(self, seconds: int) -> None:
        self.oscillator.offset_us += seconds * 1_000_000

    def stop_clock(self) -> None:
        self.oscillator.stopped = True

    def restart(self) -> None:
        self.token.power_off()
        self.device.disconnect()
        self.token.power_on()


class Process:
    """A token in a process of its own, steered through its control channel; blank again by `begin`.

    `link`: the wire it hangs on, as `firmware-sim run --link` names it. `within`: a command that carries out another.
    """

    def __init__(self, folder: Path, link: str, within: Sequence[str] = ()) -> None:
        path = folder / "clock"
        path.write_text(f"{START}\n")
        self.clock = FileClock(path)
        run = [*within, sys.executable, "-m", "firmware_sim", "run", "--link", link, "--serial", SERIAL, "--json"]
        self._process = subprocess.Popen([*run, "--clock", f"file:{path}"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        born = json.loads(self._process.stdout.readline())
        self._address = born["address"]
        self._control = ControlClient(parse_address(born["control"]))
        self._random = random.Random(20260101)
        self._links: list[Link] = []
        self._press = False

    def begin(self) -> None:
        self._press = False
        self._control.request("battery", event="replace")
        self._power("off")
        self._power("on", hold_button=True)
        # A new battery leaves the clock waiting to be set.
        session = self.session()
        session.authenticate(None)
        session.write_clock(int(self.clock.now()))
        self.end()
        self._control.request("oscillator", offset_s=0)

    def end(self) -> None:
        while self._links:
            self._links.pop().close()

    def close(self) -> None:
        self._control.close()
        self._process.terminate()
        assert self._process.wait(10) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()

    def open(self) -> Link:
        self.end()  # a port has one owner
        link = open_link(self._address, LinkOptions(self.clock, self._random.randbytes, on_pending=self._pending))
        self._links.append(link)
        return link

    def session(self) -> Session:
        return DRIVER.open(self.open(), self.clock, self._random.randbytes)

    def press_button_when_asked(self) -> None:
        self._press = True

    def shift_clock(self, seconds: int) -> None:
        self._control.request("oscillator", offset_s=seconds)

    def stop_clock(self) -> None:
        self._control.request("battery", event="dead")

    def restart(self) -> None:
        self._power("off")
        self._power("on")

    def _power(self, state: str, **more: bool) -> None:
        self._control.request("power", state=state, **more)

    def _pending(self, seconds_left: int) -> None:
        if self._press:
            self._press = False
            self._control.request("press")
        else:
            self._control.request("advance", seconds=seconds_left + 1)


class Card(Process):
    """As a card in a reader, which takes its time to notice that a card went or came."""

    def _power(self, state: str, **more: bool) -> None:
        from tests.pcsc import wait_for_card  # needs pyscard, which only the lane with a reader has

        super()._power(state, **more)
        wait_for_card.main(self._address.removeprefix("pcsc:"), "present" if state == "on" else "absent")


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """pcscd with a reader for the token; this process sees no other. libpcsclite looks only once where pcscd is."""
    room = Room(tmp_path_factory.mktemp("reader"), "Virtual PCD")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCSCLITE_CSOCK_NAME", room.socket)
        yield room
    room.close()


@pytest.fixture(scope="module")
def processes(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Process]]:
    """The process on a wire, started when it is first asked for."""
    started: dict[str, Process] = {}

    def on(link: str) -> Process:
        if link not in started:
            folder = tmp_path_factory.mktemp(link)
            if link == "vpcd":
                started[link] = Card(folder, link, request.getfixturevalue("reader").inside)
            else:
                started[link] = Process(folder, link)
        return started[link]

    yield on
    for one in started.values():
        one.close()


@pytest.fixture(params=["inprocess", "pty", "usbip", pytest.param("vpcd", marks=pytest.mark.pcsc)])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    if request.param == "inprocess":
        yield InProcess(ManualClock(START))
        return
    process: Process = request.getfixturevalue("processes")(request.param)
    process.begin()
    yield process
    process.end()


@dataclass(frozen=True)
class Ended:
    """How a command ended. `json`: the one object on its standard output, with --json."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """`provision`, run in this process, where the address test: is an in-process token on a file clock."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.clock = folder / "clock"
        self.clock.write_text(f"{START}\n")
        self.target = InProcess(FileClock(self.clock))
        self._monkeypatch = monkeypatch
        self._capsys = capsys

        def open_address(rest: str, options: LinkOptions) -> Link:
            return open_device(self.target.device, options, f"test:{rest}")

        monkeypatch.setitem(sys.modules, "wire_of_the_test", SimpleNamespace(open_address=open_address))
        monkeypatch.setitem(LINKS, "test", "wire_of_the_test:open_address")
        monkeypatch.delenv("HWTOKEN_TOKEN", raising=False)
        # A developer's terminal must not be asked.
        for module in ("context", "secrets_input"):
            monkeypatch.setattr(f"provision.cli.{module}.has_terminal", lambda: False)

    def file(self, name: str, content: str, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_text(content)
        path.chmod(mode)
        return str(path)

    def __call__(self, *arguments: str, stdin: str = "", token: bool = True) -> Ended:
        where = ("--token", "test:x", "--clock", f"file:{self.clock}") if token else ()
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capsys.readouterr()
        code = main([*arguments, *where])
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)
