"""The scene of a murder: real processes on files of one folder, and somebody who looks after the token meanwhile.

`provision`, `firmware-sim` with a state file, a server file, a ledger, a file clock. `provision` may run under a knife
(mortal_tool.py), which kills it, or the simulator, at one instant.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient
from firmware_sim.control.errors import ControlError

ROOT = Path(__file__).resolve().parents[2]


class Kill(NamedTuple):
    """`step` and `phase`: the names of a state of the ledger and a Phase, or of a RetireStep and "after".
    `victim`: tool or simulator."""

    step: str
    phase: str
    victim: str


@dataclass(frozen=True, slots=True)
class Cast:
    """The token that plays the victim. `options`: of `firmware-sim run`. `pin`: its owner types one. `shows`: its codes
    are on its screen only."""

    options: tuple[str, ...]
    pin: bool
    shows: bool


REFERENCE = Cast(("--family", "reference", "--link", "pty", "--serial", "KILL-1"), pin=True, shows=False)
DIES_WITH_ITS_TIME = Cast(("--family", "token2", "--model", "miniOTP-2-i", "--link", "usbip"), pin=False, shows=True)


@dataclass
class Scene:
    """Files of one run, and the commands on them."""

    folder: Path
    cast: Cast = REFERENCE
    sim: subprocess.Popen[str] | None = None
    born: dict[str, str] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A simulator that is killed leaves its control socket behind: somewhere that goes away with the scene. Its
        # path must be short, so it is not below pytest's own.
        self.temporary = tempfile.TemporaryDirectory(prefix="hwtoken-")
        self.environment = {**os.environ, "TMPDIR": self.temporary.name}
        self.server = ("--server", f"embedded:{self.folder / 'server.db'}")
        self.clock = ("--clock", f"file:{self.folder / 'clock'}")
        (self.folder / "clock").write_text("1767250800\n")
        for name, text in {"pin": "271828", "passphrase": "correct horse"}.items():
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text + "\n")

    def close(self) -> None:
        self._stop_simulator(signal.SIGTERM)
        self.temporary.cleanup()

    # The simulator.

    def require_simulator(self) -> None:
        """Start it, again if somebody killed it."""
        if self.sim is None or self.sim.poll() is not None:
            self._stop_simulator(signal.SIGKILL)
            self._start_simulator()

    def _start_simulator(self) -> None:
        self.sim = subprocess.Popen(
            [
                *(sys.executable, "-m", "firmware_sim", "run", *self.cast.options, "--rate-error-ppm", "-4", "--json"),
                *("--state", str(self.folder / "token.json"), *self.clock),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=self.environment,
        )
        assert self.sim.stdout is not None
        self.born = json.loads(self.sim.stdout.readline())

    def _stop_simulator(self, how: signal.Signals) -> None:
        if self.sim is not None:
            self.sim.send_signal(how)
            self.sim.wait(timeout=10)
            assert self.sim.stdout is not None
            self.sim.stdout.close()
            self.sim = None

    def world(self, op: str, **fields: object) -> dict[str, Any]:
        """Do to the token what only the world can do. Raises ControlError if it is dead."""
        with ControlClient(parse_address(self.born["control"])) as control:
            return control.request(op, **fields)

    # The tool.

    def provision(self, *arguments: str, kill: Kill | None = None, stdin: str = "") -> tuple[int, dict[str, Any]]:
        """Exit code, and the last object of the output."""
        tool: tuple[str, ...] = ("-m", "provision")
        if kill is not None:
            assert self.sim is not None
            pid = self.sim.pid if kill.victim == "simulator" else 0
            tool = (str(ROOT / "tests/crash/mortal_tool.py"), kill.step, kill.phase, str(pid))
        said: list[dict[str, Any]] = []
        command = [sys.executable, *tool, *arguments, *self.clock, "--json"]
        with (
            tempfile.TemporaryFile("w+") as stderr,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT
            ) as running,
        ):
            assert running.stdin is not None and running.stdout is not None
            if "--codes-file" not in arguments:
                running.stdin.write(stdin)
                running.stdin.close()
            for line in running.stdout:
                said.append(json.loads(line))
                if "wanted" in said[-1]:
                    self._attend(running)
            code = running.wait(timeout=60)
            stderr.seek(0)
            self.log.append(f"{arguments[:2]} {kill} -> {code}: {said[-3:]} {stderr.read()[-500:]}")
        return code, said[-1] if said else {}

    def _attend(self, running: subprocess.Popen[str]) -> None:
        """Tell the code on the token's screen; who finds the screen dark goes away."""
        assert running.stdin is not None
        try:
            print(self.world("press")["screen"], file=running.stdin, flush=True)
        except ControlError:
            running.stdin.close()

    def must(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        code, result = self.provision(*arguments, stdin=stdin)
        assert code == 0, self.log
        return result

    @property
    def token(self) -> tuple[str, ...]:
        return "--token", self.born["address"]

    @property
    def ledger(self) -> tuple[str, ...]:
        return "--ledger", str(self.folder / "ledger.db")

    @property
    def program(self) -> tuple[str, ...]:
        pin = () if self.cast.pin else ("--no-pin",)
        return "token", "program", "--user", "anna", "--name", "desk token", *self.server, *pin, *self._secrets

    @property
    def rotate(self) -> tuple[str, ...]:
        return "token", "rotate", "--serial", self.born["serial"], *self._secrets

    @property
    def _secrets(self) -> tuple[str, ...]:
        files = {"--admin-key-file": "admin-key", "--pin-file": "pin", "--passphrase-file": "passphrase"}
        person = ("--codes-file", "-") if self.cast.shows else ()
        named = (part for option, name in files.items() for part in (option, str(self.folder / name)))
        return *named, *person, *self.token, *self.ledger

    # What is given before, and what has to be true after.

    def prepare(self) -> None:
        where = self.folder
        self.must(
            *("ledger", "init", *self.ledger, "--passphrase-file", str(where / "passphrase")),
            *("--new-admin-key-file", str(where / "admin-key")),
        )
        self.must("server", "init", *self.server)
        self.require_simulator()
        if self.cast.pin:
            self.must("token", "set-pin", *self.token, "--new-pin-file", str(where / "pin"))

    def states(self) -> list[str]:
        """Of the jobs on record, oldest first."""
        return [job["state"] for job in self.must("ledger", "list", *self.ledger)["jobs"]]

    def require_working(self) -> None:
        """One credential, one registration, every attempt, and its codes are the server's."""
        devices = self.must("server", "list", *self.server)["devices"]
        assert [device["serial"] for device in devices] == [self.born["serial"]], self.log
        view = self.world("inspect")["token"]
        assert len(view["credentials"]) == 1, self.log
        if self.cast.pin:
            assert view["attempts_remaining"] == 8, self.log
        self.world("advance", seconds=60)
        self.must("server", "check", "--user", "anna", *self.server, "--code-file", "-", stdin=self._code() + "\n")

    def _code(self) -> str:
        if self.cast.shows:
            code: str = self.world("press")["screen"]
            return code
        return str(
            self.must("token", "code", "hwtoken:anna", *self.token, "--pin-file", str(self.folder / "pin"))["code"]
        )
