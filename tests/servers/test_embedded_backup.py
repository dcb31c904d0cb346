"""A copy of a server that is in use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
from pathlib import Path
from uuid import UUID

import pytest

from provision.cli.main import main
from provision.clock import ManualClock
from provision.errors import CodeReplayed, Unreachable, UsageError
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.backup import back_up
from provision.servers.embedded.keys import key_path

START_S = 1_767_225_600.0
TOTP = OtpParameters()
NOW = TOTP.step_at(START_S)
SEED = Secret(b"12345678901234567890")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "server.db"
    with EmbeddedServer.init(path, ManualClock(START_S), os.urandom) as server:
        server.register(Registration(UUID(int=1), "alice", "desk", None, SEED, TOTP))
    return path


def opened(path: Path) -> EmbeddedServer:
    return EmbeddedServer(path, ManualClock(START_S), os.urandom)


def test_the_copy_is_a_server_and_knows_what_is_spent(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy.db"
    copy.parent.mkdir()
    with opened(path) as server:
        server.check("alice", code_at(SEED, TOTP, NOW))  # still in the write-ahead log
        back_up(path, copy)
        expected = (server.list(), server.audit())
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in copy.parent.iterdir()} == {
        "copy.db": 0o600,
        "copy.db.key": 0o600,
    }
    with opened(copy) as again:
        assert (again.list(), again.audit()) == expected
        with pytest.raises(CodeReplayed):
            again.check("alice", code_at(SEED, TOTP, NOW))


def test_the_copy_of_a_copy_that_other_means_made_is_read_while_it_is_written(path: Path, tmp_path: Path) -> None:
    """VACUUM INTO, for one, makes it without a write-ahead log: a reader would keep logins waiting."""
    by_hand, copy = tmp_path / "by hand.db", tmp_path / "copy.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("VACUUM INTO ?", (str(by_hand),))
    key_path(path).rename(key_path(by_hand))
    back_up(by_hand, copy)
    with contextlib.closing(sqlite3.connect(copy)) as reader, opened(copy) as server:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM device").fetchall()
        assert server.check("alice", code_at(SEED, TOTP, NOW)).step == NOW


def test_it_is_of_one_instant_while_others_write(path: Path, tmp_path: Path) -> None:
    """Each change puts the same number into the drift and, in the same transaction, an entry into the log."""
    enough, started = threading.Event(), threading.Event()

    def write() -> None:
        with opened(path) as server:
            drift = 0
            while not enough.is_set():
                drift += 1
                server.set_drift(str(UUID(int=1)), drift)
                started.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        started.wait(timeout=60)
        for number in range(5):
            back_up(path, tmp_path / f"copy {number}.db")
    finally:
        enough.set()
        writer.join(timeout=60)
    for number in range(5):
        with opened(tmp_path / f"copy {number}.db") as copy:
            assert copy.list()[0].drift_steps == len(copy.audit()) - 1


def test_nothing_is_overwritten(path: Path, tmp_path: Path) -> None:
    for name in ("copy.db", "copy.db.key"):
        there = tmp_path / name
        there.write_text("precious")
        with pytest.raises(UsageError, match="exists already"):
            back_up(path, tmp_path / "copy.db")
        assert there.read_text() == "precious"
        there.unlink()
        assert not list(tmp_path.glob("copy*"))


def test_where_nothing_can_be_read_or_written(path: Path, tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be written"):
        back_up(path, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(Unreachable):
        back_up(tmp_path / "nothing.db", tmp_path / "copy.db")
    path.write_bytes(b"no database at all" * 400)
    with pytest.raises(Unreachable, match="cannot be copied"):
        back_up(path, tmp_path / "copy.db")
    assert not list(tmp_path.glob("copy*"))


def test_the_command(path: Path, tmp_path: Path) -> None:
    arguments = ["server", "backup", "--server", f"embedded:{path}", "--json"]
    assert main([*arguments, str(tmp_path / "copy.db")]) == 0
    assert main([*arguments, str(tmp_path / "copy.db")]) == 2
    with opened(tmp_path / "copy.db") as copy:
        assert copy.list()[0].user == "alice"
