"""Databases of every version before: what is in them stays, and nothing tells them from new ones afterwards."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from pathlib import Path

import pytest

from provision.clock import ManualClock
from provision.servers.backend import Person
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.schema import VERSION
from provision.servers.embedded.storage import Storage
from provision.servers.roles import Role

START_S = 1_767_225_600.0


@pytest.fixture
def old(tmp_path: Path, version: int) -> Path:
    """A database of that version, with its key."""
    path = tmp_path / "server.db"
    dump = dumped(version)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(dump)
        db.execute("PRAGMA journal_mode = WAL")
    key = path.with_name("server.db.key")
    key.write_bytes(bytes.fromhex(dump.rpartition("-- key: ")[2]))
    key.chmod(0o600)
    return path


def dumped(version: int) -> str:
    return (Path(__file__).parent / f"schema_{version}.sql").read_text("utf-8")


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_database_of_an_older_version_is_brought_up_to_date(old: Path, version: int) -> None:
    path = old
    for _ in range(2):
        with EmbeddedServer(path, ManualClock(START_S + 60), random.Random(2).randbytes) as server:
            (device,) = server.list()
            assert (device.user, device.name, device.last_step) == ("alice", "desk", 58_907_520)
            assert device.last_used_s == START_S
            assert [entry.action.value for entry in server.audit()][:2] == ["register", "check"]
            assert {entry.until_s for entry in server.audit()} == {None}
            assert not device.pending
            assert (server.people(), server.cutover_s) == ([Person("alice", None)], None)
            with server.acting_as("desk of the third floor"):
                server.rename(device.device_id, "desk")
            assert server.audit()[-1].actor == "desk of the third floor"
            if version > 1:
                assert [one.name for one in server.api_tokens()] == ["login page"]
                assert server.holder(dumped(2).partition("-- API token: ")[2].split()[0]).role is Role.RELYING_PARTY
                assert server.audit()[1].actor == "login page"
            server.delete(server.enrol("alice", "phone").device.device_id)
    with EmbeddedServer.init(path.with_name("new.db"), ManualClock(0), random.Random(3).randbytes):
        assert schema(path) == schema(path.with_name("new.db"))


@pytest.mark.parametrize("version", range(1, VERSION))
def test_two_processes_bring_it_up_to_date(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one has seen that it is old, and gets its turn when it is not any more."""
    alone = Storage.transaction

    def after_another(self: Storage) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        monkeypatch.setattr(Storage, "transaction", alone)
        Storage(old).close()
        return alone(self)

    monkeypatch.setattr(Storage, "transaction", after_another)
    with EmbeddedServer(old, ManualClock(START_S + 60), random.Random(2).randbytes) as server:
        assert [device.user for device in server.list()] == ["alice"]


def schema(path: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return [
            ("version", version),
            *db.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL ORDER BY name"),
        ]
