"""A token in a process of its own, on a real wire: what `firmware-sim run` gives a person, for the length of a test."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any

from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient
from firmware_sim.control.errors import ControlError
from firmware_sim.core.family import CDC_ACM
from firmware_sim.families.family import family
from firmware_sim.links.port import usual_kind
from provision.links.link import Link, LinkOptions, open_link
from pytest_hwtoken.clocks import TokenClock
from pytest_hwtoken.declared import Declared
from pytest_hwtoken.token import Bench, BenchError, BenchToken, Pending

_PATIENCE_S = 20.0  # with a process on a busy machine
_SERIAL_LINES = ("pty", "tcp")


class ProcessBench(Bench):
    """The process's control channel, and the wire that it announced."""

    def __init__(self, address: str, client: ControlClient) -> None:
        self._address = address
        self._client = client

    @property
    def address(self) -> str:
        return self._address

    def open(self, clock: TokenClock, randbytes: Callable[[int], bytes], on_pending: Pending | None) -> Link:
        return open_link(self._address, LinkOptions(clock, randbytes, _PATIENCE_S, on_pending))

    def control(self, op: str, **fields: object) -> dict[str, Any]:
        reply = self._client.request(op, **fields)
        self._address = reply.get("address", self._address)  # a port that is plugged in again may have another name
        return reply


def fitting_links(declared: Declared, wanted: tuple[str, ...]) -> list[str]:
    """Those of the wanted links that such a token can hang on; the platform's best if there is none. Raises
    UnknownFamily."""
    kind = family(declared.family, model=declared.model, firmware=declared.firmware)
    fitting = [link for link in wanted if CDC_ACM in kind.functions or link not in _SERIAL_LINES]
    return fitting or [usual_kind(kind)]


class TokenProcess:
    """The process, and the token in it. A context manager: it ends when the context does.

    Raises BenchError if it does not start, ControlError, and BenchError if it ends otherwise than told to.
    """

    def __init__(self, declared: Declared, clock: TokenClock, serial: str, seed: int, link: str, log: Path) -> None:
        self._log = log
        command = [sys.executable, "-m", "firmware_sim", "run", "--json", "--link", link, *_options(declared)]
        command += ["--serial", serial, "--clock", clock.option, "--random-seed", str(seed)]
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8"
            )
        try:
            address, told, self._client = self._born()
            bench = ProcessBench(address, self._client)
            self.token = BenchToken(bench, declared.family, told, clock, Random(seed))  # noqa: S311  # repeats itself
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> BenchToken:
        return self.token

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Whether it was stopped already, has died, or hangs: its exit code tells.
        try:
            self.token.close()
            with self._client, contextlib.suppress(ControlError):
                self._client.request("stop")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE_S)
        finally:
            code = self._end()
        if code:
            raise BenchError(f"the simulator of {self.token} ended with {code}: {self._told()}")

    def _born(self) -> tuple[str, str, ControlClient]:
        """Its address, the serial that it tells, and its hands."""
        assert self._process.stdout is not None
        line = json.loads(self._process.stdout.readline() or "{}")
        if "address" not in line:
            raise BenchError(line.get("error") or self._told())
        client = ControlClient(parse_address(line["control"]))
        try:
            client.request("stop", when="hang-up")  # also when pytest is killed, and nobody is left to end it
        except BaseException:
            client.close()
            raise
        return line["address"], line["serial"], client

    def _end(self) -> int:
        """Its exit code; negative if it had to be killed."""
        self._process.kill()  # nothing, if it has ended
        with self._process:
            return self._process.wait()

    def _told(self) -> str:
        return self._log.read_text("utf-8", "replace").strip()


def _options(declared: Declared) -> list[str]:
    """Of `firmware-sim run`, for what is declared."""
    given = {
        "--family": declared.family,
        "--model": declared.model,
        "--firmware": declared.firmware,
        "--offset-s": declared.offset_s,
        "--rate-error-ppm": declared.rate_error_ppm,
        "--ageing-ppm-per-year": declared.ageing_ppm_per_year,
        "--temperature-c": declared.temperature_c,
        "--profile": declared.profile,
        "--jitter-us": declared.jitter_us,
    }
    return [f"{option}={value}" for option, value in given.items() if value is not None]
