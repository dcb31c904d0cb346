"""`provision` knows every family behind a card reader, and does its work there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.families.family import NAMES
from tests.pcsc.room import Room

pytestmark = pytest.mark.pcsc


def result(room: Room, *arguments: str) -> Any:
    """The last object that a `provision` command prints. It must end well."""
    done = room.provision(*arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def organisation(room: Room, tmp_path: Path) -> list[str]:
    """Options of `token program` for a new ledger, server and key."""
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    secrets = ["--passphrase-file", str(tmp_path / "passphrase")]
    ledger = ["--ledger", str(tmp_path / "ledger.db")]
    server = f"embedded:{tmp_path / 'server.db'}"
    key = tmp_path / "admin-key"
    result(room, "ledger", "init", *ledger, *secrets, "--new-admin-key-file", str(key))
    result(room, "server", "init", "--server", server)
    return [*ledger, *secrets, "--server", server, "--admin-key-file", str(key)]


@pytest.mark.parametrize("family", NAMES)
def test_a_token_says_who_it_is(room: Room, family: str) -> None:
    with room.token("--family", family) as token:
        info = result(room, "info", "--token", token.address)
        assert (info["family"], info["serial"]) == (family, token.serial)
        listed = result(room, "list", "--all")["tokens"]
        assert token.address in [row["address"] for row in listed]


def test_a_clock_is_set(room: Room) -> None:
    with room.token("--family", "molto2", "--offset-s", "77") as token:
        done = result(room, "token", "set-time", "--undisciplined-clock-ok", "--token", token.address)
        low, high = done["residual_ms"]
        assert low - 1 <= token.control.request("inspect")["truth"]["offset_s"] * 1000 <= high + 1


def test_a_yubikey_is_programmed(room: Room, organisation: list[str]) -> None:
    with room.token("--family", "yubikey") as token:
        who = ["--user", "anna", "--name", "desk token"]
        done = result(room, "token", "program", "--no-pin", "--token", token.address, *who, *organisation)
        assert (done["state"], done["serial"]) == ("DONE", token.serial)
