"""The file under bad conditions: missing, foreign, newer, damaged, locked, full, without its key; and what is in it."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from provision.clock import ManualClock
from provision.errors import Unreachable, UsageError
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.backend import EmbeddedServer, open_address
from provision.servers.embedded.schema import VERSION
from provision.servers.embedded.storage import Storage

START_S = 1_767_225_600.0
TOTP = OtpParameters()
NOW = TOTP.step_at(START_S)
SEED = Secret(b"planted secret: 20 b")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A server's database with one device, closed."""
    path = tmp_path / "server.db"
    with EmbeddedServer.init(path, ManualClock(START_S), random.Random(1).randbytes) as server:
        register(server)
    return path


def register(server: EmbeddedServer, number: int = 1) -> None:
    secret = Secret(SEED.reveal()[:-1] + bytes([number]))
    server.register(Registration(UUID(int=number), "alice", f"desk {number}", None, secret, TOTP))


def code(step: int) -> str:
    return code_at(Secret(SEED.reveal()[:-1] + b"\x01"), TOTP, step)


def nothing_lets_in() -> Secret:
    raise AssertionError("a file asks for no API token")


def open_again(path: Path) -> EmbeddedServer:
    return open_address(str(path), ManualClock(START_S), nothing_lets_in)


def files(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_init_makes_two_private_files(path: Path) -> None:
    assert files(path) == {"server.db", "server.db.key"}
    with open_again(path) as server:
        server.check("alice", code(NOW))
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
        assert files(path) > {"server.db-wal"}


def test_init_overwrites_nothing(path: Path) -> None:
    before = {name: (path.parent / name).read_bytes() for name in files(path)}
    for missing in (None, "server.db.key", "server.db"):
        if missing is not None:
            (path.parent / missing).rename(path.parent / "aside")
        with pytest.raises(UsageError, match="exists already"):
            EmbeddedServer.init(path, ManualClock(START_S), random.Random(2).randbytes)
        if missing is not None:
            (path.parent / "aside").rename(path.parent / missing)
    assert before == {name: (path.parent / name).read_bytes() for name in files(path)}


def test_init_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be created"):
        EmbeddedServer.init(tmp_path / "nowhere" / "server.db", ManualClock(START_S), random.Random(1).randbytes)


def test_a_missing_file_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"no server database .*server init"):
        open_again(tmp_path / "server.db")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"no database at all, but long enough to be mistaken for one" * 40])
def test_a_file_that_is_no_database(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(Unreachable, match=r"server\.db is no database of this server"):
        open_again(path)
    assert path.read_bytes() == content


def test_what_cannot_be_opened_is_not_left_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the error is kept: Windows deletes and replaces nothing that is open."""
    opened: list[sqlite3.Connection] = []
    connect = sqlite3.connect

    def noted(*arguments: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    path.write_bytes(b"text" * 1000)
    monkeypatch.setattr(sqlite3, "connect", noted)
    with pytest.raises(Unreachable):
        Storage(path)
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    assert len(opened) == 1


def test_somebody_elses_database(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE bookmarks (url TEXT)")
        other.execute("PRAGMA user_version = 1")
    with pytest.raises(Unreachable, match="is no database of this server"):
        open_again(path)


def test_a_newer_database(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(Unreachable, match=f"schema version 99; this program knows up to {VERSION}"):
        open_again(path)


def test_a_damaged_database(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))
    with pytest.raises(Unreachable, match="is damaged"), open_again(path) as server:
        server.list()


def test_a_missing_key(path: Path) -> None:
    path.with_name("server.db.key").unlink()
    with pytest.raises(Unreachable, match=r"key file .*server\.db\.key is missing"):
        open_again(path)


def test_the_key_of_another_database(path: Path) -> None:
    path.with_name("server.db.key").write_bytes(bytes(32))
    with pytest.raises(Unreachable, match="is not the key of"):
        open_again(path)


def test_a_row_that_was_altered(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("UPDATE device SET digits = 8")
    with open_again(path) as server, pytest.raises(Unreachable, match="was altered"):
        server.check("alice", code(NOW))


def test_a_stuck_lock_is_told_and_leaves_nothing_behind(path: Path) -> None:
    storage = Storage(path, busy_timeout_s=0.01)
    with contextlib.closing(storage), contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable, match=r"held by another process"), storage.transaction():
            pass
        other.execute("ROLLBACK")
        with storage.transaction():
            pass


@contextlib.contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """The nearest thing to a full disk that needs no disk."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing_and_accepts_nothing(path: Path) -> None:
    with open_again(path) as server:
        full = (path.parent / "server.db-wal").stat().st_size
        with no_file_grows_beyond(full):
            with pytest.raises(Unreachable, match=r"server\.db cannot"):
                server.check("alice", code(NOW))
            with pytest.raises(Unreachable):
                register(server, 2)
        (device,) = server.list()
        assert device.last_step is None
        server.check("alice", code(NOW))  # room again: the code was not spent
        register(server, 2)


def test_init_on_a_full_disk_leaves_no_file(tmp_path: Path) -> None:
    with no_file_grows_beyond(8192), pytest.raises(Unreachable):
        EmbeddedServer.init(tmp_path / "server.db", ManualClock(START_S), random.Random(1).randbytes)
    assert not list(tmp_path.iterdir())


def interrupted(storage: Storage) -> None:
    with storage.transaction() as db:
        db.execute("UPDATE device SET last_step = 1")
        raise KeyboardInterrupt


def test_an_interruption_takes_everything_back(path: Path) -> None:
    with contextlib.closing(Storage(path)) as storage:
        with pytest.raises(KeyboardInterrupt):
            interrupted(storage)
        with storage.snapshot() as db:
            assert db.execute("SELECT last_step FROM device").fetchone() == (None,)


def test_every_commit_is_durable(path: Path) -> None:
    with contextlib.closing(Storage(path)) as storage, storage.snapshot() as db:
        for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("secure_delete", 1)):
            assert db.execute(f"PRAGMA {pragma}").fetchone() == (value,)


def test_the_audit_log_is_append_only(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in ("DELETE FROM audit", "UPDATE audit SET outcome = 'accepted'"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)


def everything(path: Path) -> bytes:
    """The bytes of the database and of what SQLite keeps beside it."""
    return b"".join((path.parent / name).read_bytes() for name in sorted(files(path)) if not name.endswith(".key"))


def spellings(secret: bytes) -> list[bytes]:
    texts = (secret.hex(), secret.hex().upper(), repr(secret), repr(list(secret)), str(list(secret))[1:-1])
    return [
        secret,
        base64.b32encode(secret).rstrip(b"="),
        base64.b64encode(secret).rstrip(b"="),
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        *(text.encode() for text in texts),
    ]


def test_neither_seed_nor_key_nor_code_is_in_the_file(path: Path) -> None:
    with open_again(path) as server:
        accepted = code(NOW)
        server.check("alice", accepted)
        with pytest.raises(Exception, match="used") as refusal:
            server.check("alice", accepted)
        server.rename(str(UUID(int=1)), "drawer")
        held = [everything(path)]
        told = " ".join(map(repr, (*server.audit(), *server.list(), server, refusal.value))).encode()
        held.append(told)
    held.append(everything(path))
    key = path.with_name("server.db.key").read_bytes()
    for bytes_ in held:
        for secret in (SEED.reveal()[:-1] + b"\x01", key):
            assert not [spelling for spelling in spellings(secret) if spelling in bytes_]
        assert accepted.encode() not in bytes_


@pytest.mark.parametrize("unasked", [True, False])
def test_a_deleted_seed_is_gone_from_the_file_and_its_log(
    path: Path, monkeypatch: pytest.MonkeyPatch, unasked: bool
) -> None:
    """`unasked`: as Debian's SQLite does; others leave what was deleted in the free places of the file."""
    connect = sqlite3.connect

    def connected(*args: Any, **more: Any) -> sqlite3.Connection:
        connection = connect(*args, **more)
        connection.execute(f"PRAGMA secure_delete = {unasked}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", connected)
    with open_again(path) as server:
        with contextlib.closing(sqlite3.connect(path)) as other:
            ((sealed,),) = other.execute("SELECT sealed FROM device").fetchall()
        server.rename(str(UUID(int=1)), "drawer")  # writes its page to the log
        assert sealed in everything(path)
        server.delete(str(UUID(int=1)))
        assert sealed not in everything(path)
        assert sealed[:16] not in everything(path)
        assert [entry.action.value for entry in server.audit(str(UUID(int=1)))] == ["register", "rename", "delete"]
    assert sealed not in everything(path)


def test_an_account_without_a_person_goes_with_its_device(path: Path) -> None:
    with open_again(path) as server:
        register(server, 2)
        for number in (1, 2):
            server.unassign(str(UUID(int=number)))
        server.assign(str(UUID(int=1)), "bob")
        server.delete(str(UUID(int=2)))
    with contextlib.closing(Storage(path)) as storage, storage.snapshot() as db:
        assert db.execute("SELECT user FROM account ORDER BY user").fetchall() == [("alice",), ("bob",)]


def test_a_reader_that_keeps_the_log_is_told_of(path: Path) -> None:
    with contextlib.closing(Storage(path, busy_timeout_s=0.01)) as storage, contextlib.closing(Storage(path)) as reader:
        with reader.snapshot() as db:
            db.execute("SELECT * FROM device").fetchall()
            with storage.transaction() as other:
                other.execute("DELETE FROM device")
            with pytest.raises(Unreachable, match="write-ahead log"):
                storage.forget_erased()
        storage.forget_erased()


@contextlib.contextmanager
def without_privileges() -> Iterator[None]:
    """As somebody to whom permissions apply: root writes everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_read_only_directory(path: Path) -> None:
    with tempfile.TemporaryDirectory() as name:  # not below tmp_path, into which only its owner may look
        folder = Path(name)
        for file in path.parent.iterdir():
            copy = folder / file.name
            copy.write_bytes(file.read_bytes())
            copy.chmod(0o444)
            os.chown(copy, 65534 if os.geteuid() == 0 else -1, -1)
        (folder / "server.db.key").chmod(0o400)
        folder.chmod(0o555)
        with without_privileges(), pytest.raises(Unreachable), open_again(folder / path.name) as server:
            server.check("alice", code(NOW))
        folder.chmod(0o755)
