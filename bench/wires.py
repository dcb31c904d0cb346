"""A round trip of 64 bytes on every wire that needs no kernel module, through the host's whole Link.

The command is one that the token refuses at once. The peers are the least that could be there: as many bytes to an
echo and back, with no frames, no session and no token around them. `python -m bench.wires`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from bench import peers
from bench.links import PTY_ECHO, Row, new_token
from provision.clock import SystemClock
from provision.links.inprocess import open_device
from provision.links.link import LinkOptions, open_link
from provision.wire.apdu import CLA_PLAIN, Command, encode_command

RUNS = 5
ROUNDS = 1_000
COMMAND = encode_command(Command(CLA_PLAIN, 0xFF, 0, 0, bytes(59)))  # 64 bytes; no applet knows the instruction
OPTIONS = LinkOptions(SystemClock(), os.urandom)

TCP_ECHO = """
import socket
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := client.recv(4096):
        client.sendall(data)
"""


def rows() -> list[Row]:
    with ExitStack() as stack:
        acts = {
            "in process": stack.enter_context(_in_process()),
            **{kind: stack.enter_context(_simulated(kind)) for kind in ("pty", "tcp", "usbip")},
            "pty echo": stack.enter_context(_pty_echo()),
            "tcp echo": stack.enter_context(_tcp_echo()),
        }
        # In turns, so that what else the machine does falls on all of them.
        turns = [{name: _rate(act) for name, act in acts.items()} for _ in range(RUNS)]
    rate = {name: median(turn[name] for turn in turns) for name in acts}
    loop = peers.loop_round_trips(COMMAND)
    return [
        Row("64 bytes in process", f"{rate['in process']:,.0f}/s", f"pyserial loop:// {loop:,.0f}/s", ">= 5,000"),
        Row("64 bytes over a pty", f"{rate['pty']:,.0f}/s", f"raw echo {rate['pty echo']:,.0f}/s", ">= 5,000"),
        Row("64 bytes over tcp", f"{rate['tcp']:,.0f}/s", f"raw echo {rate['tcp echo']:,.0f}/s", ">= 5,000"),
        Row(
            "64 bytes over usbip, no kernel",
            f"{rate['usbip']:,.0f}/s",
            f"raw echo over tcp {rate['tcp echo']:,.0f}/s",
            ">= 5,000",
        ),
    ]


def _rate(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(ROUNDS):
        act()
    return ROUNDS / (time.perf_counter() - start)


@contextmanager
def _in_process() -> Iterator[Callable[[], object]]:
    _, line = new_token()
    with open_device(line, OPTIONS) as link:
        yield lambda: link.exchange(COMMAND)


@contextmanager
def _simulated(kind: str) -> Iterator[Callable[[], object]]:
    """A token in a process of its own, at the end of such a wire."""
    with (
        _process("-m", "firmware_sim", "run", "--link", kind) as said,
        open_link(json.loads(said)["address"], OPTIONS) as link,
    ):
        yield lambda: link.exchange(COMMAND)


@contextmanager
def _pty_echo() -> Iterator[Callable[[], object]]:
    with _process("-c", PTY_ECHO) as path:
        fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            yield lambda: _echoed(lambda: os.write(fd, COMMAND), lambda: os.read(fd, 4096))
        finally:
            os.close(fd)


@contextmanager
def _tcp_echo() -> Iterator[Callable[[], object]]:
    with (
        _process("-c", TCP_ECHO) as port,
        socket.create_connection(("127.0.0.1", int(port))) as connection,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield lambda: _echoed(lambda: connection.sendall(COMMAND), lambda: connection.recv(4096))


def _echoed(send: Callable[[], object], receive: Callable[[], bytes]) -> None:
    send()
    came = 0
    while came < len(COMMAND):
        came += len(receive())


@contextmanager
def _process(*arguments: str) -> Iterator[str]:
    """A Python process, for as long as the context lasts; its first line."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def main() -> None:
    for row in rows():
        print(f"{row.what:<34}{row.measured:<20}{row.beside:<38}{row.goal}")


if __name__ == "__main__":
    main()
