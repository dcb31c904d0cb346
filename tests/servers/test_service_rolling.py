"""A new server takes over while the old one stops: nobody is turned away, no code is forgotten, none is used twice."""

from __future__ import annotations

import os
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from provision.clock import ManualClock
from provision.errors import CodeReplayed, Unreachable
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration, open_server
from provision.servers.embedded.audit import Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from tests.servers.live import Serving, serving

pytestmark = pytest.mark.service

START_S = 1_767_225_600.0
TOTP = OtpParameters()
NOW = TOTP.step_at(START_S)
PEOPLE, CLIENTS, RESTARTS = 240, 6, 3


def seed(number: int) -> Secret:
    return Secret(number.to_bytes(20, "big"))


@pytest.mark.skipif(os.name != "posix", reason="sockets are handed on by their numbers")
def test_servers_take_turns_on_one_socket_and_one_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "server.db", tmp_path / "clock"
    clock.write_text(f"{START_S}\n")
    with EmbeddedServer.init(path, ManualClock(START_S), os.urandom) as file:
        api_token = file.create_api_token("login page", Role.RELYING_PARTY)[1]
        for number in range(1, PEOPLE + 1):
            file.register(Registration(UUID(int=number), f"user {number}", "phone", None, seed(number), TOTP))
    answered = threading.Semaphore(0)

    def log_in(url: str, number: int) -> str:
        """What a login page does: if the answer is lost, it asks once more."""
        server = open_server(url, ManualClock(), lambda: api_token)
        code = code_at(seed(number), TOTP, NOW)
        try:
            return f"accepted {server.check(f'user {number}', code).step}"
        except Unreachable:
            try:
                return f"late {server.check(f'user {number}', code).step}"
            except CodeReplayed:
                return f"late {NOW}"
        finally:
            answered.release()

    def next_server() -> Serving:
        arguments = ("--clock", f"file:{clock}", "--listen", f"fd:{listener.fileno()}")
        return stack.enter_context(serving(path, *arguments, pass_fds=(listener.fileno(),)))

    with socket.create_server(("127.0.0.1", 0)) as listener, ExitStack() as stack, ThreadPoolExecutor(CLIENTS) as pool:
        running = next_server()
        outcomes = [pool.submit(log_in, running.url, number) for number in range(1, PEOPLE + 1)]
        for _ in range(RESTARTS):
            for _ in range(PEOPLE // (RESTARTS + 1)):
                answered.acquire()
            new = next_server()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(timeout=30) in (0, -signal.SIGTERM)
            running = new
        told = [outcome.result(timeout=60) for outcome in outcomes]
    assert set(told) <= {f"accepted {NOW}", f"late {NOW}"}
    with EmbeddedServer(path, ManualClock(START_S), os.urandom) as file:
        accepted = [entry.user for entry in file.audit() if entry.outcome is Outcome.ACCEPTED]
    assert sorted(accepted, key=str) == sorted((f"user {number}" for number in range(1, PEOPLE + 1)), key=str)
    late = sum(one.startswith("late") for one in told)
    print(f"{RESTARTS} restarts under {CLIENTS} clients: {late} of {PEOPLE} asked twice")
    assert late <= RESTARTS * CLIENTS
