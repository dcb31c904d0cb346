"""Two processes on one file submit the same code at the same instant, a thousand times."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from uuid import UUID

from provision.clock import ManualClock
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from tests.servers.race_worker import race

ROUNDS = 1000
RACERS = 2
START_S = 1_767_225_600.0


def test_a_code_submitted_by_two_processes_is_accepted_once(tmp_path: Path) -> None:
    path, parameters, secret = tmp_path / "server.db", OtpParameters(), Secret(b"12345678901234567890")
    first = parameters.step_at(START_S)
    with EmbeddedServer.init(path, ManualClock(START_S), os.urandom) as server:
        server.register(Registration(UUID(int=1), "alice", "desk", None, secret, parameters))
    codes = [code_at(secret, parameters, first + n) for n in range(ROUNDS)]

    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(RACERS)
    pipes = [context.Pipe(duplex=False) for _ in range(RACERS)]
    racers = [context.Process(target=race, args=(path, START_S, codes, gate, end), daemon=True) for _, end in pipes]
    for racer in racers:
        racer.start()
    for _, end in pipes:
        end.close()  # so that a racer that dies ends our wait
    outcomes = [receiving.recv() for receiving, _ in pipes]
    for racer, (receiving, _) in zip(racers, pipes, strict=True):
        racer.join(timeout=60)
        assert racer.exitcode == 0
        receiving.close()
        racer.close()

    for number, round_ in enumerate(zip(*outcomes, strict=True)):
        assert sorted(round_, key=str) == [first + number, None]
    print("won by each:", [sum(step is not None for step in mine) for mine in outcomes])
    with EmbeddedServer(path, ManualClock(START_S), os.urandom) as server:
        told = [entry.outcome for entry in server.audit() if entry.action is Action.CHECK]
    assert told == [Outcome.ACCEPTED, Outcome.REPLAYED] * ROUNDS
