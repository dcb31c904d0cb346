"""SIGKILL of the tool and of the simulator at every state of the ledger: run again, everything converges.

Real processes: `provision`, `firmware-sim` on a pty with a state file, a server file, a file clock.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provision.station.program import Phase
from provision.station.states import State

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260102
RUNS = 200
STATES = (
    State.PLANNED,
    State.SEALED,
    State.KEYS_CHANGED,
    State.WRITTEN,
    State.TIME_SET,
    State.VERIFIED,
    State.REGISTERED,
    State.SERVER_VERIFIED,
    State.DONE,
)
SERIAL = "KILL-1"
CREDENTIAL = "hwtoken:anna"


@dataclass
class Scene:
    """Files of one run, and the two commands on them."""

    folder: Path
    sim: subprocess.Popen[str] | None = None
    control: str = ""
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A simulator that is killed leaves its control socket behind: somewhere that goes away with the scene. Its
        # path must be short, so it is not below pytest's own.
        self.temporary = tempfile.TemporaryDirectory(prefix="hwtoken-")
        self.environment = {**os.environ, "TMPDIR": self.temporary.name}
        (self.folder / "clock").write_text("1767250800\n")
        for name, text in {"pin": "271828", "passphrase": "correct horse"}.items():
            path = self.folder / name
            path.touch(mode=0o600)
            path.write_text(text + "\n")

    def start_simulator(self) -> None:
        self.sim = subprocess.Popen(
            [
                *(sys.executable, "-m", "firmware_sim", "run", "--family", "reference", "--link", "pty", "--json"),
                *("--state", str(self.folder / "token.json"), "--serial", SERIAL, "--rate-error-ppm", "-4"),
                *("--clock", f"file:{self.folder / 'clock'}", "--pty-link", str(self.folder / "token")),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=self.environment,
        )
        assert self.sim.stdout is not None
        self.control = json.loads(self.sim.stdout.readline())["control"]

    def stop_simulator(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.sim is not None:
            self.sim.send_signal(how)
            self.sim.wait(timeout=10)
            assert self.sim.stdout is not None
            self.sim.stdout.close()
            self.sim = None

    def require_simulator(self) -> None:
        """Start it again if somebody killed it."""
        if self.sim is None or self.sim.poll() is not None:
            self.stop_simulator(signal.SIGKILL)
            self.start_simulator()

    def run(self, *command: str, stdin: str = "") -> tuple[int, list[dict[str, Any]]]:
        done = subprocess.run(
            [sys.executable, *command, "--json"], input=stdin, capture_output=True, text=True, cwd=ROOT, timeout=60
        )
        self.log.append(f"{command[:5]} -> {done.returncode}: {done.stdout[-500:]} {done.stderr[-500:]}")
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def provision(self, *arguments: str, knife: Sequence[str] = (), stdin: str = "") -> tuple[int, dict[str, Any]]:
        tool = (str(ROOT / "tests/crash/mortal_tool.py"), *knife) if knife else ("-m", "provision")
        code, lines = self.run(*tool, *arguments, "--clock", f"file:{self.folder / 'clock'}", stdin=stdin)
        return code, lines[-1] if lines else {}

    def must(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        code, result = self.provision(*arguments, stdin=stdin)
        assert code == 0, self.log
        return result

    def control_token(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        code, lines = self.run("-m", "firmware_sim", *arguments, "--control", self.control, stdin=stdin)
        assert code == 0, self.log
        return lines[-1]

    @property
    def program(self) -> tuple[str, ...]:
        where = self.folder
        return (
            *("token", "program", "--token", f"serial:{where / 'token'}", "--user", "anna", "--name", "desk token"),
            *("--server", f"embedded:{where / 'server.db'}", "--ledger", str(where / "ledger.db")),
            *("--admin-key-file", str(where / "admin-key"), "--pin-file", str(where / "pin")),
            *("--passphrase-file", str(where / "passphrase")),
        )

    def prepare(self) -> None:
        where = self.folder
        self.must(
            *("ledger", "init", "--ledger", str(where / "ledger.db"), "--passphrase-file", str(where / "passphrase")),
            *("--new-admin-key-file", str(where / "admin-key")),
        )
        self.must("server", "init", "--server", f"embedded:{where / 'server.db'}")
        self.start_simulator()
        self.must("token", "set-pin", "--token", f"serial:{where / 'token'}", "--new-pin-file", str(where / "pin"))

    def require_convergence(self) -> None:
        where = self.folder
        self.require_simulator()
        assert self.must(*self.program)["state"] == "DONE", self.log
        devices = self.must("server", "list", "--server", f"embedded:{where / 'server.db'}")["devices"]
        assert [device["serial"] for device in devices] == [SERIAL], self.log
        view = self.control_token("inspect")["token"]
        assert [credential["name"] for credential in view["credentials"]] == [CREDENTIAL], self.log
        assert view["attempts_remaining"] == 8, self.log
        self.control_token("advance", "60 s")
        code = self.must(
            "token", "code", CREDENTIAL, "--token", f"serial:{where / 'token'}", "--pin-file", str(where / "pin")
        )["code"]
        self.must(
            *("server", "check", "--user", "anna", "--server", f"embedded:{where / 'server.db'}", "--code-file", "-"),
            stdin=code + "\n",
        )


def kills_of(run: int) -> list[tuple[State, Phase, str]]:
    """One to three murders: the first of the 54 kinds in turn, the others drawn from the run's seed."""
    kinds = [(state, phase, victim) for victim in ("tool", "simulator") for state in STATES for phase in Phase]
    rng = random.Random(SEED + run)
    return [kinds[run % len(kinds)], *rng.choices(kinds, k=rng.randrange(3))]


def converges(folder: Path, run: int) -> None:
    scene = Scene(folder)
    try:
        scene.prepare()
        for state, phase, victim in kills_of(run):
            scene.require_simulator()
            assert scene.sim is not None
            pid = scene.sim.pid if victim == "simulator" else 0
            code, result = scene.provision(*scene.program, knife=(state.value, phase.value, str(pid)))
            # -9: the tool died; 3: it lost the token; 0: the instant had passed already, or the token was not needed.
            assert code in (-9, 3, 0), (state, phase, victim, result, scene.log)
        scene.require_convergence()
    finally:
        scene.stop_simulator()
        scene.temporary.cleanup()


@pytest.mark.crash
@pytest.mark.parametrize("run", range(RUNS))
def test_killed_anywhere_it_converges(run: int, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    print(f"\nrun {run}, seed {SEED + run}: {[(s.value, p.value, v) for s, p, v in kills_of(run)]}")
    record_property("kill_seed", SEED + run)
    converges(tmp_path, run)


@pytest.mark.parametrize("run", [10, 37])
def test_a_sample_of_the_kills(run: int, tmp_path: Path) -> None:
    """One death of the tool and one of the simulator, both in the middle of writing the seed."""
    assert kills_of(run)[0][0] is State.WRITTEN
    converges(tmp_path, run)
