"""An authentication server for the length of a test: ours, in a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provision.servers.embedded.backend import EmbeddedServer
from pytest_hwtoken.clocks import TokenClock


@dataclass(frozen=True, slots=True)
class BenchServer:
    """`address`: what `provision --server` takes. `backend`: the same server, for this process."""

    address: str
    backend: EmbeddedServer


@contextlib.contextmanager
def bench_server(path: Path, clock: TokenClock) -> Iterator[BenchServer]:
    with EmbeddedServer.init(path, clock, os.urandom) as backend:
        yield BenchServer(f"embedded:{path}", backend)
