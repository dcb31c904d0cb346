"""Listeners of the simulator, and strangers who call too often."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim.clocks import SystemClock, monotonic
from firmware_sim.control.listener import open_tcp
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK
from firmware_sim.links.sockets import accept, listen


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(SystemClock(), ticking=True, monotonic=monotonic)
    yield loop
    loop.close()


def test_a_caller_who_has_gone_or_never_came() -> None:
    with listen(LOOPBACK, 0) as listener:
        assert accept(listener) is None


def test_a_caller_for_whom_there_is_no_file_left_waits() -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listen(LOOPBACK, 0) as listener, socket.create_connection(listener.getsockname()) as caller:
        lowest_free = os.dup(caller.fileno())
        os.close(lowest_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            assert accept(listener) is None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        accepted = accept(listener)
        assert accepted is not None
        with accepted:
            assert not accepted.getblocking()


def test_strangers_who_never_tell_the_secret_make_room(loop: Loop, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    control = open_tcp(loop, secret, os.urandom, lambda request: {"asked": request["op"]})
    where = (control.address.host, control.address.port)  # type: ignore[union-attr]
    with socket.create_connection(where) as trusted:
        trusted.sendall(b'{"secret": "' + secret.read_bytes().strip() + b'"}\n')
        _turn(loop)
        assert trusted.recv(99) == b'{"ok": true}\n'
        strangers = []
        for _ in range(20):
            strangers.append(socket.create_connection(where))
            _turn(loop)
        gone = [stranger for stranger in strangers if _hung_up(stranger)]
        assert gone == strangers[: len(gone)]
        assert len(gone) == 20 - 8
        trusted.sendall(b'{"op": "ping"}\n')
        _turn(loop)
        assert trusted.recv(99) == b'{"ok": true, "asked": "ping"}\n'
        for stranger in strangers:
            stranger.close()
    control.close()


def test_with_its_lifeline_the_simulation_ends_and_with_no_other_connection(loop: Loop, tmp_path: Path) -> None:
    done: list[object] = []
    control = open_tcp(loop, tmp_path / "secret", os.urandom, lambda request: {"n": done.append(request["op"])})
    for hello, expected in ((b"", []), (b'{"op": "stop", "when": "hang-up"}\n', ["stop"])):
        with socket.create_connection((control.address.host, control.address.port)) as connection:  # type: ignore[union-attr]
            connection.sendall(b'{"secret": "' + (tmp_path / "secret").read_bytes().strip() + b'"}\n' + hello)
            _turn(loop)
            assert done == []
        _turn(loop)
        assert done == expected
    control.close()


def _turn(loop: Loop) -> None:
    """Long enough for what is under way on the loopback interface."""
    turns = iter(range(20))
    loop.when(lambda: next(turns, None) is None, loop.stop)
    loop.run()


def _hung_up(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
