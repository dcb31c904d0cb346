"""What the demo stands on: a folder, a file clock, a token as a real process, commands run as a person runs them."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from provision.errors import ProvisionError

PATIENCE_S = 10.0  # with a simulator that was told to end


class BrokenPromise(ProvisionError):
    """A step of the demo did not do what it says."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended: exit code, and the JSON objects that it printed, one a line."""

    exit_code: int
    lines: tuple[dict[str, Any], ...]
    stderr: str

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1] if self.lines else {}


@dataclass(frozen=True, slots=True)
class Cast:
    """The token that plays the part. `pin`: its owner types one. `own_keys`: it takes the organisation's. `shows`: its
    codes are on its screen only. `rotates`: to set its clock erases its seed. `pulled_after`: the instruction after
    which the cable is pulled, so that the seed is on the token and nothing more is done.
    """

    family: str
    model: str | None
    pin: bool
    own_keys: bool
    shows: bool
    rotates: bool
    pulled_after: str


@contextlib.contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """What interrupts the start of a process would lose it, running, before anybody could end it."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda sent, _frame: came.append(sent))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for sent in came:
        signal.raise_signal(sent)


class Stage:
    """A temporary folder with everything that an organisation needs to hand out one token.

    `start`: Unix seconds at which the story begins; the clock is a file, so a story of years takes seconds.
    `link`: the wire that the token hangs on, as `firmware-sim run --link` names it; None for its own choice.
    """

    def __init__(self, folder: Path, start: int, cast: Cast, link: str | None = None) -> None:
        self.folder = folder
        self.cast = cast
        self._wire = () if link is None else ("--link", link)
        self.clock = folder / "clock"
        self.clock.write_text(f"{start}\n", encoding="ascii")
        self.server = f"embedded:{folder / 'server.db'}"
        self.ledger = folder / "ledger.db"
        self.address = ""
        self.last_code = ""
        self.last_codes = ""  # two in a row, one a line
        self.set_s = 0.0  # the true time at which the token's clock was set
        self._control = ""
        self._token: subprocess.Popen[str] | None = None
        self.pin = self._secret("pin", "".join(secrets.choice("0123456789") for _ in range(6)))
        self.wrong_pin = self._secret("wrong-pin", "".join(str(9 - int(digit)) for digit in self.read(self.pin)))
        self.passphrase = self._secret("passphrase", secrets.token_urlsafe(18))
        self.admin_key = folder / "admin-key"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            with self._token:
                self._token.terminate()
                try:
                    self._token.communicate(timeout=PATIENCE_S)
                finally:
                    self._token.kill()  # nothing, if it has ended

    def _secret(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n", encoding="ascii")
        return path

    def read(self, path: Path) -> str:
        return path.read_text(encoding="ascii").strip()

    def now(self) -> float:
        """The story's true time, Unix seconds."""
        return float(self.read(self.clock))

    def unbox(self, *options: str) -> dict[str, Any]:
        """Start `firmware-sim run` and wait for the line that says where it serves."""
        with _interrupted_afterwards():
            self._token = subprocess.Popen(
                [
                    *(sys.executable, "-m", "firmware_sim", "run", "--family", self.cast.family, *self._wire, *options),
                    *(() if self.cast.model is None else ("--model", self.cast.model)),
                    *("--state", str(self.folder / "token.json"), "--clock", f"file:{self.clock}", "--json"),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert self._token.stdout is not None and self._token.stderr is not None
        line = self._token.stdout.readline()
        if not line:
            raise BrokenPromise(f"the simulator did not start: {self._token.stderr.read().strip()}")
        born: dict[str, Any] = json.loads(line)
        if "error" in born:
            raise BrokenPromise(f"the simulator did not start: {born['error']}")
        self.address, self._control = born["address"], born["control"]
        return born

    def provision(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a `provision` command on the stage's clock."""
        return self._run("provision", *arguments, "--clock", f"file:{self.clock}", stdin=stdin)

    def provision_attended(self, *arguments: str) -> Ran:
        """The same, with somebody at the token: who reads codes off its screen and presses its button when asked."""
        if not self.cast.shows:
            return self.provision(*arguments)
        command = [sys.executable, "-m", "provision", *arguments, "--clock", f"file:{self.clock}", "--json"]
        lines = []
        with (
            tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,
            subprocess.Popen(
                [*command, "--codes-file", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            ) as running,
        ):
            assert running.stdin is not None and running.stdout is not None
            for line in running.stdout:
                said = json.loads(line)
                if "wanted" not in said:
                    lines.append(said)
                    continue
                screen = self.sim("press")["screen"]
                print(screen.split()[-1] if said["wanted"] == "code" else "", file=running.stdin, flush=True)
            exit_code = running.wait(timeout=60)
            stderr.seek(0)
            return Ran(exit_code, tuple(lines), stderr.read().strip())

    def sim(self, verb: str, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """Do to the token what only the world can do: press, type, pull, wait. Raises BrokenPromise."""
        ran = self._run("firmware_sim", verb, *arguments, "--control", self._control, stdin=stdin)
        if ran.exit_code:
            raise BrokenPromise(f"firmware-sim {verb} ended with {ran.exit_code}: {ran.last or ran.stderr}")
        return ran.last

    def _run(self, module: str, *arguments: str, stdin: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments, "--json"],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        lines = tuple(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
        return Ran(done.returncode, lines, done.stderr.strip())
