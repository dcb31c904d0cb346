"""Killed while people prove their devices, the server has each proved or pending, and no proof is forgotten."""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from provision.clock import ManualClock
from provision.errors import ProvisionError, Rejected, Unreachable
from provision.otp import code_at
from provision.seeds.otpauth import parse_otpauth
from provision.servers.backend import USUAL, ServerBackend, open_server
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from tests.servers.live import Serving, serving

pytestmark = pytest.mark.service

START_S = 1_767_225_600.0
NOW = USUAL.step_at(START_S)
PEOPLE = 60


def test_killed_while_people_prove_their_devices(tmp_path: Path) -> None:
    path, clock = tmp_path / "server.db", tmp_path / "clock"
    clock.write_text(f"{START_S}\n")
    first_codes = {}
    with EmbeddedServer.init(path, ManualClock(START_S), os.urandom) as file:
        _, api_token = file.create_api_token("administrator", Role.ADMINISTRATOR)
        for number in range(PEOPLE):
            made = file.enrol(f"user {number}", "phone")
            uri = parse_otpauth(made.otpauth.reveal().decode("ascii"))
            first_codes[made.device.device_id] = code_at(uri.secret, uri.parameters, NOW)
    answered, gate = itertools.count(1), threading.Barrier(PEOPLE)

    def at(running: Serving) -> ServerBackend:
        return open_server(running.url, ManualClock(), lambda: api_token)

    def prove(server: ServerBackend, device_id: str) -> object:
        try:
            return server.prove(device_id, first_codes[device_id]).step
        except Rejected as refusal:
            return refusal.code
        except ProvisionError as error:
            return type(error)

    def among_others(running: Serving, device_id: str) -> object:
        gate.wait(timeout=60)
        outcome = prove(at(running), device_id)
        if next(answered) == PEOPLE // 4:
            running.process.kill()
        return outcome

    with ThreadPoolExecutor(PEOPLE) as people, serving(path, "--clock", f"file:{clock}") as running:
        asked = [people.submit(among_others, running, device_id) for device_id in first_codes]
        before = {device_id: future.result() for device_id, future in zip(first_codes, asked, strict=True)}
    assert set(before.values()) == {NOW, Unreachable}  # it died in the middle
    with serving(path, "--clock", f"file:{clock}") as running:
        left = {device.device_id: device for device in at(running).list()}
        after = {device_id: prove(at(running), device_id) for device_id in first_codes}
    for device_id, device in left.items():
        assert device.pending == (device.last_step is None)
        assert not (device.pending and before[device_id] == NOW)
        assert after[device_id] == (NOW if device.pending else "proved")
    with EmbeddedServer(path, ManualClock(START_S), os.urandom) as file:
        proofs = [entry.device_id for entry in file.audit() if entry.action is Action.PROVE]
        assert {entry.outcome for entry in file.audit() if entry.action is Action.PROVE} == {Outcome.ACCEPTED}
    assert sorted(map(str, proofs)) == sorted(first_codes)
