"""Token2's own tool drives the simulated Molto2, command by command: `python -m tests.foreign.molto2_tool molto2.py`.

By hand, because the tool is on GitHub (token2/molto2-tools) and on no package registry; it wants PyPI's `sm4`. Its
pyscard is replaced by a reader with the simulator in it, nothing else of it is touched. Exits with 1 at the first
thing that is not as it should be.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import random
import sys
import types
from pathlib import Path
from typing import Any

from firmware_sim.clocks import ManualClock
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.testing.bench import SteadyOscillator
from provision.model import Algorithm, OtpParameters, Secret
from provision.otp import code_at

START_S = 1_767_225_600.0
SEED = "DEADBEEF" * 5


class Reader:
    """What the tool uses of pyscard: a reader, and at once its connection."""

    name = "TOKEN2 Molto2 [CCID Interface] 00 00"

    def __init__(self, token: Token) -> None:
        self._channel = token.open_channel()

    def createConnection(self) -> Reader:
        return self

    def connect(self) -> None:
        self._channel.reset()

    def disconnect(self) -> None:
        self._channel.reset()

    def transmit(self, apdu: list[int]) -> tuple[list[int], int, int]:
        answer = self._channel.transmit(bytes(apdu))
        assert answer is not None
        return list(answer[:-2]), answer[-2], answer[-1]


class Tool:
    def __init__(self, path: Path, token: Token) -> None:
        system = types.ModuleType("smartcard.System")
        reader = Reader(token)
        system.readers = lambda: [reader]  # type: ignore[attr-defined]
        sys.modules |= {"smartcard": types.ModuleType("smartcard"), "smartcard.System": system}
        spec = importlib.util.spec_from_file_location("molto2_tool_of_token2", path)
        assert spec is not None and spec.loader is not None
        self._module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._module)

    def __call__(self, *arguments: str, says: str, exit_code: int = 0) -> None:
        """Run it; it must say that and exit so."""
        out, ended = io.StringIO(), 0
        with contextlib.redirect_stdout(out):
            try:
                self._module.main(list(arguments))
            except SystemExit as error:
                ended = error.code if isinstance(error.code, int) else 1
        line = next((line for line in out.getvalue().splitlines() if says in line), None)
        if line is None or ended != exit_code:
            sys.exit(f"{' '.join(arguments)}: exit {ended}, without {says!r}:\n{out.getvalue()}")
        print(f"{' '.join(arguments) or '(nothing)':<60.60} {line.strip()}")


def main(path: Path) -> None:
    kind = family("molto2")
    clock = ManualClock(START_S)
    token = Token(
        family=kind,
        serial="826658719844499",
        flash=MemoryFlash(kind.flash.page_size, kind.flash.page_count),
        oscillator=SteadyOscillator(),
        clock=clock,
        random=random.Random(1),
    )
    token.power_on()
    tool = Tool(path, token)
    config = ("--config", "--profile", "2", "--timestep", "2", "--algorithm", "2", "--display_timeout", "3")
    tool(says="serial number: 826658719844499")
    tool(*config, "--seed", SEED, "--title", "Google", "--otpdigits", "8", says="Config was set successfully")
    tool("--profile", "2", "--seed", SEED, says="already has a seed", exit_code=3)
    tool("--synctime", "--profile", "2", "--timevalue", "1800000000", says="Time was set successfully")
    token.press_button()
    parameters = OtpParameters(algorithm=Algorithm.SHA256, digits=8, time_step_s=60)
    expected = f"2.Google {code_at(Secret(bytes.fromhex(SEED)), parameters, 30_000_000)}"
    if token.screen() != expected:
        sys.exit(f"the screen shows {token.screen()!r}, not {expected!r}")
    tool("--synctimeall", says="Time was set successfully for profile [#99]")
    tool("--lock", says="screen locked")
    tool("--unlock", says="screen unlocked")
    tool("--keyascii", "a wrong key", says="number of attempts left: 199", exit_code=1)  # 63C7, read as 63NN
    tool("--setkeyascii", "a key of our own", says="up arrow")
    token.press_button()
    tool(says="attempts left", exit_code=1)
    tool("--keyascii", "a key of our own", "--deleteseed", "--profile", "2", says="Seed deleted successfully")
    tool("--factoryreset", says="PLEASE CONFIRM")
    token.press_button()
    tool(says="Authentication successful")
    print("Token2's tool did everything that it can do")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
