"""How many logins a second the embedded server accepts, each with its own durable commit, on a file.

The peer is what the file system and SQLite allow in the same directory and the same run: one row updated a commit, at
the same settings.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from uuid import UUID

from provision.clock import ManualClock
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.backend import EmbeddedServer

CHECKS = 2_000
_START_S = 1_767_225_600.0
_SECRET = Secret(b"12345678901234567890")


def measure(checks: int = CHECKS) -> float:
    """Accepted checks per second: TOTP, one device, a fresh step each."""
    parameters = OtpParameters()
    clock = ManualClock(_START_S)
    first = parameters.step_at(_START_S)
    codes = [code_at(_SECRET, parameters, first + n) for n in range(checks)]  # the token's work, not the server's
    with (
        tempfile.TemporaryDirectory() as directory,
        EmbeddedServer.init(Path(directory) / "server.db", clock, os.urandom) as server,
    ):
        server.register(Registration(UUID(int=1), "alice", "desk token", None, _SECRET, parameters))
        start = time.perf_counter()
        for code in codes:
            server.check("alice", code)
            clock.advance(parameters.time_step_s)
        return checks / (time.perf_counter() - start)


def measure_peer(commits: int = CHECKS) -> float:
    """One-row commits per second of bare sqlite3: WAL, synchronous=FULL."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "peer.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("CREATE TABLE peer (id INTEGER PRIMARY KEY, value INTEGER)")
            connection.execute("INSERT INTO peer VALUES (1, 0)")
            start = time.perf_counter()
            for value in range(commits):
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("UPDATE peer SET value = ? WHERE id = 1", (value,))
                connection.execute("COMMIT")
            return commits / (time.perf_counter() - start)


def main() -> None:
    checks, peer = measure(), measure_peer()
    print(f"server core   {checks:8,.0f} accepted checks/s, one durable commit each")
    print(f"bare sqlite3  {peer:8,.0f} one-row commits/s at synchronous=FULL  ({checks / peer:.0%} of it)")


if __name__ == "__main__":
    main()
