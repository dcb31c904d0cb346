"""One of the processes that race for a code; a module of its own, so that a spawned process can import it."""

from __future__ import annotations

import os
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from provision.clock import ManualClock
from provision.errors import CodeReplayed
from provision.servers.embedded.backend import EmbeddedServer


def race(path: Path, start_s: float, codes: list[str], gate: Barrier, results: Connection) -> None:
    """Submit each code, a step later than the one before, when the others do too; send what came of it."""
    clock = ManualClock(start_s)
    outcomes = []
    with EmbeddedServer(path, clock, os.urandom) as server:
        for code in codes:
            gate.wait(timeout=60)
            try:
                outcomes.append(server.check("alice", code).step)
            except CodeReplayed:
                outcomes.append(None)
            gate.wait(timeout=60)  # nobody's next step overtakes somebody's last
            clock.advance(30)
    results.send(outcomes)
    results.close()
