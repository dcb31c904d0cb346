"""A room with its own pcscd: a network with nothing but its own loopback, and a /run/pcscd of its own.

vsmartcard's reader listens on every interface and pcscd's socket has one fixed place, so each room is a network and a
mount namespace, and any number of rooms live side by side. One `reader.conf` entry a room: the driver keeps its two
slots in global variables, so a second entry would take over the first one's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient

ROOT = Path(__file__).resolve().parents[2]
PCSCD = Path("/usr/sbin/pcscd")
DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")

_PORT = 35963
_FURNISH = "ip link set lo up && mkdir -p /run/pcscd && mount -t tmpfs tmpfs /run/pcscd && echo furnished && exec cat"
_READER = f"""\
FRIENDLYNAME "{{name}}"
DEVICENAME   /dev/null:{_PORT}
LIBPATH      {DRIVER}
CHANNELID    {_PORT}
"""


@dataclass(frozen=True)
class Token:
    """A simulated token in a slot of the room's reader. `clock`: the file with its true time."""

    serial: str
    address: str
    reader: str
    control: ControlClient
    clock: Path | None


class Room:
    """`name`: what pcscd calls the reader; its slots are `name 00 00` and `name 00 01`."""

    def __init__(self, folder: Path, name: str) -> None:
        for needed in (PCSCD, DRIVER):
            assert needed.exists(), f"{needed} is missing: use `make test-pcsc`, which installs it"
        self.name = name
        self._reader_conf = folder / "reader.conf"
        self._reader_conf.write_text(_READER.format(name=name))
        self._service: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self.log: list[str] = []
        # Ends when its standard input does: with this process, however that ends.
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "--", "sh", "-euc", _FURNISH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == "furnished\n", "the lane needs root"
        self.socket = f"/proc/{self._keeper.pid}/root/run/pcscd/pcscd.comm"
        self.start_service()

    def start_service(self) -> None:
        service = self.start(str(PCSCD), "--foreground", "--info", "--config", str(self._reader_conf))
        self._service = service
        assert service.stdout is not None
        for line in service.stdout:
            self.log.append(line)
            if "daemon ready" in line:
                break
        else:
            raise AssertionError(f"pcscd did not start:\n{''.join(self.log)}")
        self._listener = threading.Thread(target=self.log.extend, args=(service.stdout,))
        self._listener.start()

    def stop_service(self) -> None:
        assert self._service is not None
        with self._service as service:
            service.terminate()
            assert self._listener is not None
            self._listener.join()  # it reads to the end
        self._service = None

    def close(self) -> None:
        if self._service is not None:
            self.stop_service()
        self._keeper.communicate()

    def start(self, *command: str) -> subprocess.Popen[str]:
        """A process in the room; what it prints comes by its `stdout`."""
        return subprocess.Popen(
            [*self.inside, *command],
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command in the room, to its end, whatever that is."""
        return subprocess.run(
            [*self.inside, *command], env=_environment(), input=stdin, capture_output=True, text=True, timeout=120
        )

    def provision(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "provision", *arguments, stdin=stdin)

    @contextmanager
    def token(self, *options: str, slot: int = 0, clock: Path | None = None) -> Iterator[Token]:
        """A token that `firmware-sim run` makes of `options`; it speaks once the reader has noticed it."""
        reader = f"{self.name} 00 {slot:02d}"
        wire = ("--link", "vpcd", "--dial", str(_PORT + slot), "--reader-name", reader)
        time = () if clock is None else ("--clock", f"file:{clock}")
        process = self.start(sys.executable, "-m", "firmware_sim", "run", *wire, *time, *options, "--json")
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("{"), line + process.stdout.read()
            born = json.loads(line)
            with ControlClient(parse_address(born["control"])) as control:
                yield Token(born["serial"], born["address"], reader, control, clock)
        finally:
            process.terminate()
            process.communicate()
        assert process.returncode == 0

    def wait_for_card(self, reader: str, state: str = "present") -> None:
        done = self.run(sys.executable, "-m", "tests.pcsc.wait_for_card", reader, state)
        assert done.returncode == 0, done.stderr + "".join(self.log[-50:])

    @property
    def inside(self) -> list[str]:
        """What goes before a command that is to run in the room."""
        return ["nsenter", "--target", str(self._keeper.pid), "--net", "--mount", "--root", f"--wd={ROOT}", "--"]


def _environment() -> dict[str, str]:
    """This process's, but for where its own pcscd is: whoever is in the room finds the room's."""
    inherited = {name: value for name, value in os.environ.items() if name != "PCSCLITE_CSOCK_NAME"}
    return inherited | {"PYTHONPATH": str(ROOT)}
