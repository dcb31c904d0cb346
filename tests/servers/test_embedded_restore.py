"""A backup becomes a server again: looked through, whole or not at all, and no code that was used is new to it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import stat
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest

from provision.cli.main import main
from provision.clock import ManualClock
from provision.errors import CodeReplayed, Unreachable, UsageError
from provision.model import OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded import keys
from provision.servers.embedded.audit import Action
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.backup import back_up
from provision.servers.embedded.restore import Restored, restore

NOBODY = 65_534
START_S = 1_767_225_600.0
TOTP, HOTP = OtpParameters(), OtpParameters(OathType.HOTP)
NOW = TOTP.step_at(START_S)
SEED, COUNTING = Secret(b"12345678901234567890"), Secret(b"abcdefghijklmnopqrst")


def code(step: int) -> str:
    return code_at(SEED, TOTP, step)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


def opened(path: Path, clock: ManualClock) -> EmbeddedServer:
    return EmbeddedServer(path, clock, os.urandom)


@pytest.fixture
def backup(tmp_path: Path, clock: ManualClock) -> Path:
    """Taken while the server is open, just after somebody logged in; another login came later."""
    path, copy = tmp_path / "server.db", tmp_path / "backup.db"
    with EmbeddedServer.init(path, clock, os.urandom) as server:
        server.register(Registration(UUID(int=1), "alice", "desk", None, SEED, TOTP))
        server.register(Registration(UUID(int=2), "bob", "card", None, COUNTING, HOTP))
        server.check("alice", code(NOW))
        back_up(path, copy)
        clock.advance(30)
        server.check("alice", code(NOW + 1))
    return copy


def test_no_code_that_was_used_before_or_after_the_backup_is_accepted(
    backup: Path, tmp_path: Path, clock: ManualClock
) -> None:
    target = tmp_path / "elsewhere" / "server.db"
    target.parent.mkdir()
    before = {file.name: file.read_bytes() for file in (backup, keys.key_path(backup))}
    found = restore(backup, target, clock, os.urandom)
    assert found == Restored(devices=2, people=2, last_s=START_S, accepts_from_s=START_S + 90)
    assert {file.name: stat.S_IMODE(file.stat().st_mode) for file in target.parent.iterdir()} == {
        "server.db": 0o600,
        "server.db.key": 0o600,
    }
    assert {file.name: file.read_bytes() for file in (backup, keys.key_path(backup))} == before
    with opened(target, clock) as server:
        assert server.audit()[-1].action is Action.RESTORE
        assert [device.last_used_s for device in server.list()] == [START_S, None]  # spent is not used
        for step in (NOW, NOW + 1, NOW + 2):
            with pytest.raises(CodeReplayed):
                server.check("alice", code(step))
            clock.advance(15)
        clock.advance(found.accepts_from_s - clock.now())
        assert server.check("alice", code(NOW + 3)).step == NOW + 3
        assert server.check("bob", code_at(COUNTING, HOTP, 0)).step == 0


def test_from_where_nothing_can_be_written(backup: Path, clock: ManualClock) -> None:
    with TemporaryDirectory() as place, ExitStack() as later:  # pytest's own folders are closed to another user
        folder, target = Path(place, "mounted"), Path(place, "new.db")
        folder.mkdir()
        for file in (backup, keys.key_path(backup)):
            shutil.copy(file, folder)
        if os.geteuid() == 0:  # whom nothing is forbidden
            for path in (Path(place), folder, *folder.iterdir()):
                os.chown(path, NOBODY, -1)
            os.seteuid(NOBODY)
            later.callback(os.seteuid, 0)
        folder.chmod(0o500)
        later.callback(folder.chmod, 0o700)
        assert restore(folder / backup.name, target, clock, os.urandom).devices == 2
        with opened(target, clock) as server:
            assert len(server.list()) == 2
        (folder / backup.name).chmod(0)
        with pytest.raises(Unreachable, match="unable to open database file"):
            restore(folder / backup.name, Path(place, "another.db"), clock, os.urandom)


def test_a_backup_that_is_not_there(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(Unreachable, match=r"no server database .*nowhere\.db"):
        restore(tmp_path / "nowhere.db", tmp_path / "new.db", clock, os.urandom)


def test_a_drift_that_the_server_had_learnt_counts(backup: Path, tmp_path: Path, clock: ManualClock) -> None:
    with opened(backup, clock) as server:
        server.set_drift(str(UUID(int=1)), -10)
    restore(backup, tmp_path / "again.db", clock, os.urandom)
    with opened(tmp_path / "again.db", clock) as server:
        assert server.list("alice")[0].last_step == NOW  # what was used last is later than what the drift would say
    with opened(backup, clock) as server:
        server.set_drift(str(UUID(int=1)), 10)
    found = restore(backup, tmp_path / "fast.db", clock, os.urandom)
    with opened(tmp_path / "fast.db", clock) as server:
        assert server.list("alice")[0].last_step == NOW + 1 + 10 + server.window_steps[1]
        clock.advance(found.accepts_from_s - clock.now())
        assert server.check("alice", code(TOTP.step_at(clock.now()) + 10)).drift_steps == 10


def test_it_tells_when_the_last_device_is_good_again(backup: Path, tmp_path: Path, clock: ManualClock) -> None:
    slow = OtpParameters(time_step_s=60)
    with opened(backup, clock) as server:
        server.register(Registration(UUID(int=3), "aaron", "slow", None, Secret(b"shows a minute's codes"), slow))
    found = restore(backup, tmp_path / "again.db", clock, os.urandom)
    assert found.accepts_from_s == START_S + 120  # alice's, who comes after aaron, at START_S + 90


@pytest.mark.parametrize("name", ["new.db", "new.db.key", "new.db-wal", "new.db-shm", "new.db-journal"])
def test_nothing_is_overwritten(backup: Path, tmp_path: Path, clock: ManualClock, name: str) -> None:
    there = tmp_path / name
    there.write_text("precious")
    with pytest.raises(UsageError, match="exists already"):
        restore(backup, tmp_path / "new.db", clock, os.urandom)
    assert there.read_text() == "precious"
    assert {file.name for file in tmp_path.glob("new*")} == {name}


def test_what_is_no_whole_backup_leaves_nothing_behind(backup: Path, tmp_path: Path, clock: ManualClock) -> None:
    target = tmp_path / "new.db"
    for spoil, told in (
        (lambda: keys.key_path(backup).unlink(), "is missing"),
        (lambda: _private(keys.key_path(backup), bytes(32)), "is not the key of"),
    ):
        good = keys.key_path(backup).read_bytes()
        spoil()
        with pytest.raises(Unreachable, match=told):
            restore(backup, target, clock, os.urandom)
        assert not list(tmp_path.glob("new*"))
        _private(keys.key_path(backup), good)
    whole = backup.read_bytes()
    for spoiled in (whole[: len(whole) // 2], whole[:8192] + bytes(4096) + whole[12288:], b"no database" * 999):
        backup.write_bytes(spoiled)
        with pytest.raises(Unreachable):
            restore(backup, target, clock, os.urandom)
        assert not list(tmp_path.glob("new*"))


def test_damage_is_found_where_nothing_is_read_yet(backup: Path, tmp_path: Path, clock: ManualClock) -> None:
    with closing(sqlite3.connect(backup)) as db:
        (page,) = db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE tbl_name = 'spent' AND type = 'index'"
        ).fetchone()
        (size,) = db.execute("PRAGMA page_size").fetchone()
    with backup.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))
    with pytest.raises(Unreachable, match="the backup is damaged"):
        restore(backup, tmp_path / "new.db", clock, os.urandom)
    assert not list(tmp_path.glob("new*"))


def test_a_seed_that_does_not_open_is_found_before_its_person_logs_in(
    backup: Path, tmp_path: Path, clock: ManualClock
) -> None:
    with closing(sqlite3.connect(backup)) as db:
        db.execute("UPDATE device SET digits = 8 WHERE name = 'card'")
        db.commit()
    with pytest.raises(Unreachable, match="altered"):
        restore(backup, tmp_path / "new.db", clock, os.urandom)
    assert not list(tmp_path.glob("new*"))


def _private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def test_a_disk_that_fails_at_the_last_step_keeps_no_key_without_its_database(
    backup: Path, tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be in the way of the next attempt."""
    target, replace = tmp_path / "new.db", os.replace

    def failing(source: Path, place: Path) -> None:
        if place == target:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(place))
        replace(source, place)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(Unreachable, match="cannot be put in place"):
        restore(backup, target, clock, os.urandom)
    monkeypatch.undo()
    assert not list(tmp_path.glob("new*"))
    assert restore(backup, target, clock, os.urandom).devices == 2


def test_a_restore_that_was_cut_short_says_what_it_left(backup: Path, tmp_path: Path, clock: ManualClock) -> None:
    (tmp_path / "new.db.restoring").mkdir()
    with pytest.raises(UsageError) as refused:
        restore(backup, tmp_path / "new.db", clock, os.urandom)
    assert "holds seeds" in str(refused.value.hint)
    with pytest.raises(Unreachable, match="cannot be made"):
        restore(backup, tmp_path / "nowhere" / "new.db", clock, os.urandom)


def test_the_command(backup: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clock").write_text(f"{START_S + 30}\n")
    command = ["server", "restore", str(backup), "--clock", f"file:{tmp_path / 'clock'}", "--server"]
    assert main([*command, f"embedded:{tmp_path / 'new.db'}"]) == 0
    assert capsys.readouterr().out == (
        "devices: 2, of people: 2; it knows what was done until 2026-01-01 00:00:00\n"
        "codes are accepted again from 2026-01-01 00:01:30 on\n"
    )
    assert main([*command, f"embedded:{tmp_path / 'other.db'}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepts_from_s"] == START_S + 90
    assert main([*command, f"embedded:{tmp_path / 'new.db'}"]) == 2
