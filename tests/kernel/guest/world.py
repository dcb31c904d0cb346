"""What the tests in the guest stand on: tokens in processes of their own, commands, users, the kernel's log.

A Python takes seconds to start here, so commands run in forks of the tests' process, which has everything imported.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import io
import json
import os
import pkgutil
import select
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import provision as provision_package
from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient
from provision.cli import context, listing
from provision.cli import main as provision_main
from provision.links import pcsc

PATIENCE_S = 60
REFERENCE = "1209:0001"


def _preload() -> None:
    """What is imported here is imported in every fork."""
    ours = [name for _, name, _ in pkgutil.walk_packages(provision_package.__path__, "provision.")]
    for module in (
        *(name for name in ours if "__main__" not in name and ".drift" not in name),  # no token is needed for drift
        *("serial.tools.list_ports", "usb.backend.libusb0", "usb.backend.libusb1", "usb.backend.openusb"),
        *("smartcard.scard", "firmware_sim.cli", "firmware_sim.clocks", "firmware_sim.control.durations"),
    ):
        importlib.import_module(module)
    # An emulated machine beside another job may stand still for seconds; a token's patience is not what is tried here.
    context.TIMEOUT_S = listing.PROBE_TIMEOUT_S = pcsc.CARD_S = PATIENCE_S / 3


# Not where `make test` collects these tests: pyscard need not be there.
if "HWTOKEN_GUEST" in os.environ:
    _preload()


class User(NamedTuple):
    """Somebody who may be logged in. `groups`: beside one of his own."""

    uid: int
    groups: tuple[int, ...] = ()

    def become(self) -> None:
        os.setgroups(self.groups)
        os.setgid(self.uid)
        os.setuid(self.uid)


class Ran(NamedTuple):
    """How a command ended. `lines`: the JSON objects that it printed; `text`: all of it."""

    exit_code: int
    lines: tuple[dict[str, Any], ...]
    text: str

    @property
    def last(self) -> dict[str, Any]:
        return self.lines[-1]

    def error(self, exit_code: int) -> str:
        """The message and the hint of a command that had to fail."""
        assert self.exit_code == exit_code, self.text
        return f"{self.last['error']['message']}; {self.last['error']['hint']}"


def forked(call: Callable[[], object], *, stdin: str = "", user: User | None = None) -> Ran:
    """Call in a fork, perhaps as another user; what it returns, 0 for None, is its exit code. After a minute it is
    ended and shows where it stood."""
    # A thread does not come along, and what it had locked stays locked: libusb, whose thread follows every coming and
    # going, would wait for ever. So everything that wakes a thread (libusb, PC/SC) is called in forks only.
    threads = os.listdir("/proc/self/task")
    assert len(threads) == 1, f"the tests' own process has {len(threads)} threads"
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
        given.write(stdin.encode())
        given.seek(0)
        child = os.fork()
        if not child:
            os.dup2(given.fileno(), 0)
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
            _be_the_child(call, user)
        _, status = os.waitpid(child, 0)
        told.seek(0)
        text = told.read().decode()
    lines = tuple(json.loads(line) for line in text.splitlines() if line.startswith("{"))
    return Ran(os.waitstatus_to_exitcode(status), lines, text)


def _be_the_child(call: Callable[[], object], user: User | None) -> NoReturn:
    code: object = 70
    faulthandler.dump_traceback_later(PATIENCE_S, exit=True, file=2)
    try:
        sys.stdin, sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(fd, mode)) for fd, mode in enumerate("rww"))
        if user is not None:
            user.become()
        try:
            code = call()
        except SystemExit as end:
            code = end.code
        except Exception:  # noqa: BLE001 whatever it is, the test that waits for this fork shows it
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code if isinstance(code, int) else 0)


def provision(*arguments: str, stdin: str = "", user: User | None = None) -> Ran:
    return forked(lambda: provision_main.main([*arguments, "--json"]), stdin=stdin, user=user)


def opens(path: str | Path, user: User) -> bool:
    """Whether that user may read and write the device."""

    def attempt() -> int:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        except PermissionError:
            return 1
        return 0

    ran = forked(attempt, user=user)
    assert ran.exit_code in (0, 1), ran.text
    return ran.exit_code == 0


class Token:
    """A simulator that runs. `hand` does to the token what a person at the desk does."""

    def __init__(self, process: subprocess.Popen[str], born: dict[str, str]) -> None:
        self.process = process
        self.serial = born["serial"]
        self.address = born["address"]
        self._control = parse_address(born["control"])

    @property
    def usb_address(self) -> str:
        return f"usb:{REFERENCE}/{self.serial}"

    @property
    def tty(self) -> Path:
        return Path(self.address.removeprefix("serial:"))

    def hand(self, op: str, **fields: object) -> dict[str, Any]:
        with ControlClient(self._control) as client:
            reply = client.request(op, **fields)
        self.address = reply.get("address") or self.address
        return reply

    def replug(self) -> None:
        self.hand("cable", action="unplug")
        self.hand("cable", action="plug")
        run("udevadm", "settle")


@contextlib.contextmanager
def running_token(*options: str, link: str = "vhci") -> Iterator[Token]:
    command = [sys.executable, "-m", "firmware_sim", "run", "--link", link, "--json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert select.select([process.stdout], [], [], PATIENCE_S)[0], "the simulator says nothing"
            yield Token(process, json.loads(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


class KernelLog:
    """The kernel's messages from now on."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)

    def lines(self) -> list[str]:
        found = []
        with contextlib.suppress(BlockingIOError):
            while record := os.read(self._fd, 8192):
                found.append(record.decode().partition(";")[2].partition("\n")[0])
        return found

    def close(self) -> None:
        os.close(self._fd)


def run(*command: str) -> str:
    """What a program of the system says; it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
