"""How long the machine needs to program and prove one token: in-process, every write of all three sides on a disk.

The token's state file, the server's database and the ledger are real files, each change synced. Waiting (for a
second's edge, for a person) is not machine time. The peer is what the disk alone takes: as many bare syncs, in the same
directory, right after each token, since a disk that others use is now fast and now slow.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from firmware_sim.core.token import Token
from firmware_sim.families.reference import REFERENCE
from firmware_sim.links.inprocess import serial_line
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.statefile import StateFile
from firmware_sim.tokenimage import TokenImage
from provision.clock import ManualClock
from provision.families.reference import DRIVER
from provision.links.inprocess import open_device
from provision.links.link import LinkOptions
from provision.model import Secret
from provision.seeds.sealing import ScryptCost, create_key_pair
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.access import Access
from provision.station.job import Job
from provision.station.ledger import Ledger
from provision.station.program import program

TOKENS = 20
SYNCS = 28  # of all three sides, for one token: what fsync and fdatasync count in libc
_PAGE = bytes(4096)
_START_S = 1_767_225_600.0
_PIN, _MASTER = Secret(b"123456"), Secret(bytes(32))


class _WorkClock(ManualClock):
    """Waiting jumps, but work takes the time that it takes."""

    def monotonic(self) -> float:
        return time.perf_counter()


def measure(tokens: int = TOKENS) -> tuple[list[float], list[float]]:
    """Seconds for each token: machine time, and SYNCS bare syncs."""
    pair = create_key_pair(Secret(b"bench"), os.urandom, cost=ScryptCost(2, 1, 1))
    machine, peer = [], []
    with tempfile.TemporaryDirectory() as name:
        directory, clock = Path(name), _WorkClock(_START_S)
        EmbeddedServer.init(directory / "server.db", clock, os.urandom).close()
        Ledger.create(directory / "ledger.db", pair, clock).close()
        for number in range(tokens):
            machine.append(_one(directory, clock, number))
            peer.append(_bare_syncs(directory / "peer"))
            clock.advance(30)
    return machine, peer


def _bare_syncs(path: Path) -> float:
    with path.open("ab", buffering=0) as file:
        start = time.perf_counter()
        for _ in range(SYNCS):
            file.write(_PAGE)
            os.fsync(file.fileno())
        return time.perf_counter() - start


def _one(directory: Path, clock: ManualClock, number: int) -> float:
    serial = f"BENCH{number}"
    image = TokenImage(REFERENCE.name, serial, OscillatorState.start(clock.now(), offset_s=-20))
    with (
        StateFile.create(directory / serial, image) as state,
        EmbeddedServer(directory / "server.db", clock, os.urandom) as server,
        Ledger.open(directory / "ledger.db", clock) as ledger,
    ):
        token = Token(
            family=REFERENCE,
            serial=serial,
            flash=state.flash,
            oscillator=state.oscillator,
            clock=clock,
            random=random.SystemRandom(),
        )
        device = serial_line(token, clock)
        token.power_on()
        with open_device(device, LinkOptions(clock, os.urandom)) as link:
            session = DRIVER.open(link, clock, os.urandom)
            session.set_pin(_PIN)
            outcome = program(
                Job(user=f"user{number}", name="token", server="embedded:bench", credential="bench"),
                session=session,
                ledger=ledger,
                server=server,
                clock=clock,
                access=Access(_MASTER, lambda: _PIN, lambda: _PIN),
                randbytes=os.urandom,
                observer=lambda step, phase, note: None,
            )
    return outcome.machine_s


def main() -> None:
    machine, peer = (statistics.median(times) * 1e3 for times in measure())
    print(f"program + verify  {machine:6.1f} ms of machine time, median of {TOKENS} tokens, every write synced")
    print(f"bare syncs        {peer:6.1f} ms for the {SYNCS} syncs in it")


if __name__ == "__main__":
    main()
