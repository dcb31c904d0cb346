"""Yubico's own command line on a token in a room, and oathtool beside it."""

from __future__ import annotations

import base64
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.pcsc.room import ROOT, Room, Token

PYPI = ROOT / ".lanes" / "pcsc" / "bin" / "ykman"
DEBIAN = Path("/usr/bin/ykman")

TOUCH_PROMPT = "Touch your YubiKey..."


@dataclass(frozen=True)
class Account:
    """What `ykman oath accounts add` is told. `period` 0: counter-based, from `counter`."""

    name: str
    secret: bytes
    algorithm: str = "SHA1"
    digits: int = 6
    period: int = 30
    counter: int = 0

    @property
    def id(self) -> str:
        """As ykman lists it."""
        return self.name if self.period in (0, 30) else f"{self.period}/{self.name}"

    @property
    def arguments(self) -> list[str]:
        kind = (
            ["--period", str(self.period)] if self.period else ["--oath-type", "HOTP", "--counter", str(self.counter)]
        )
        shape = ["--algorithm", self.algorithm, "--digits", str(self.digits)]
        return [*kind, *shape, self.name, base64.b32encode(self.secret).decode().rstrip("=")]

    def codes(self, since: float, until: float) -> set[str]:
        """By oathtool: the code of each step between two Unix times."""
        steps = range(int(since) // self.period, int(until) // self.period + 1)
        kind = [f"--totp={self.algorithm}", f"--time-step-size={self.period}s"]
        return {self._oathtool(*kind, f"--now=@{step * self.period}") for step in steps}

    def code_number(self, count: int) -> str:
        """By oathtool: the code after `count` others."""
        return self._oathtool("--hotp", f"--counter={self.counter + count}")

    def _oathtool(self, *kind: str) -> str:
        command = ["oathtool", *kind, f"--digits={self.digits}", "-"]
        done = subprocess.run(command, input=self.secret.hex(), capture_output=True, text=True, check=True)
        return done.stdout.strip()


class Ykman:
    """`program` with `options` before each command (`--scp-sd`), on a token of its own."""

    def __init__(self, room: Room, token: Token, program: Path, options: tuple[str, ...]) -> None:
        assert program.exists(), f"{program} is missing: use `make test-pcsc`, which installs it"
        self.room = room
        self.token = token
        # ykman takes a part of a reader's name, and refuses a part that fits two.
        self.command = (str(program), "--reader", token.reader, *options, "oath")

    def __call__(self, *arguments: str, stdin: str = "") -> str:
        """What the command prints. It must end well, and must not be surprised."""
        done = self.attempt(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def attempt(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.room.run(*self.command, *arguments, stdin=stdin)

    def add(self, account: Account, *more: str) -> None:
        self("accounts", "add", "--force", *more, *account.arguments)

    def names(self) -> set[str]:
        return set(self("accounts", "list").splitlines())

    def code(self, name: str) -> str:
        return self("accounts", "code", "--single", name)

    def codes(self) -> tuple[dict[str, str], float, float]:
        """All of them, and when they were asked for, at the earliest and latest. Of one that is alone on its token,
        ykman would ask for whatever touch or count it takes."""
        since = time.time()
        lines = self("accounts", "code").splitlines()
        return {name.rstrip(): code for name, code in (line.rsplit("  ", 1) for line in lines)}, since, time.time()

    def code_with_touch(self, name: str) -> str:
        """Press the button once the token wants it."""
        process = self._touch_awaited(name)
        self.token.control.request("press")
        code, _ = process.communicate()
        assert process.returncode == 0, code
        return code.strip()

    def code_without_touch(self, name: str) -> str:
        """What ykman says when nobody presses."""
        process = self._touch_awaited(name)
        self.token.control.request("advance", duration="1 minute")
        told, _ = process.communicate()
        assert process.returncode == 1, told
        return told

    def _touch_awaited(self, name: str) -> subprocess.Popen[str]:
        """ykman, asking for a code, once the token waits: ykman asks its user before it asks the token."""
        process = self.room.start(*self.command, "accounts", "code", "--single", name)
        assert process.stdout is not None
        asked = process.stdout.readline()
        assert asked.strip() == TOUCH_PROMPT, asked + process.stdout.read()
        while not self.token.control.request("screen")["screen"].startswith("touch?"):
            assert process.poll() is None, process.stdout.read()
        return process
