"""How many logins a second the server accepts over HTTP, authenticated, each with its own durable commit.

Server and clients share the machine. The peer is a bare FastAPI route with a body of the same shape and one SQLite
commit at the same settings, behind the same uvicorn, asked by the same clients in the same run.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from provision.clock import SystemClock
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role

LOGINS = 3_000
CLIENTS = 8
ROUNDS = 3


def measure(logins: int = LOGINS) -> float:
    """Accepted checks per second: as many people, one login each, all within the server's window."""
    parameters, secrets = OtpParameters(), [Secret(number.to_bytes(20, "big")) for number in range(logins)]
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "server.db"
        with EmbeddedServer.init(file, SystemClock(), os.urandom) as server:
            _, api_token = server.create_api_token("login page", Role.RELYING_PARTY)
            for number, secret in enumerate(secrets):
                server.register(Registration(UUID(int=number), f"user {number}", "phone", None, secret, parameters))
        step = parameters.step_at(SystemClock().now())
        bodies = [{"user": f"user {n}", "code": code_at(secret, parameters, step)} for n, secret in enumerate(secrets)]
        with _running("provision", "server", "serve", "--server", f"embedded:{file}") as port:
            return _rate(port, "/v1/check", bodies, api_token.reveal().decode("ascii"))


def measure_peer(logins: int = LOGINS) -> float:
    """Commits per second of the bare route."""
    bodies = [{"user": f"user {number}", "code": "123456"} for number in range(logins)]
    with tempfile.TemporaryDirectory() as name, _running("bench.http_peer", str(Path(name) / "peer.db")) as port:
        return _rate(port, "/", bodies, "none")


def _rate(port: int, path: str, bodies: list[dict[str, Any]], api_token: str) -> float:
    """Requests per second, all answered with 200."""
    requests = []
    for given in bodies:
        body = json.dumps(given).encode("ascii")
        head = (
            f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {api_token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        requests.append(head.encode("ascii") + body)
    with ThreadPoolExecutor(CLIENTS) as clients:
        start = time.perf_counter()
        list(clients.map(lambda n: _client(port, requests[n::CLIENTS]), range(CLIENTS)))
        return len(requests) / (time.perf_counter() - start)


def _client(port: int, requests: list[bytes]) -> None:
    """One connection, one request after the other. An answer of ours fits into one segment, hence one `recv`."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            connection.sendall(request)
            answer = connection.recv(65536)
            while b"}" not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer


@contextmanager
def _running(*command: str) -> Iterator[int]:
    """A module as a process that prints its URL; the port."""
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline().rpartition(":")[2])
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def measure_both() -> tuple[float, float]:
    """Medians of ours and of the peer's, which take turns."""
    ours, peers = zip(*((measure(), measure_peer()) for _ in range(ROUNDS)), strict=True)
    return median(ours), median(peers)


def main() -> None:
    checks, peer = measure_both()
    print(f"checks over HTTP    {checks:8,.0f}/s, authenticated, one durable commit each")
    print(f"bare FastAPI route  {peer:8,.0f}/s, one SQLite commit each  ({checks / peer:.0%} of it)")


if __name__ == "__main__":
    main()
