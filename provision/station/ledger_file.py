"""The ledger as a file: made once, opened with care, every change one durable transaction.

SQLite in WAL mode with synchronous=FULL: a committed transaction survives a crash and a power cut, an uncommitted one
leaves nothing. secure_delete overwrites what is deleted. What SQLite raises becomes one sentence that names the file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from provision.errors import InputError, LedgerError, ProvisionError
from provision.sqlite import statements, transaction

APPLICATION_ID = 0x48574C47  # "HWLG": SQLite's header field that tells whose file it is
SCHEMA_VERSION = 1
_BUSY_TIMEOUT_S = 5.0

_SCHEMA = """
CREATE TABLE key_pair (
    id INTEGER PRIMARY KEY CHECK (id = 1), public BLOB NOT NULL, wrapped BLOB NOT NULL, created_s REAL NOT NULL
) STRICT;
CREATE TABLE job (
    uuid TEXT PRIMARY KEY, serial TEXT NOT NULL, family TEXT NOT NULL,
    user TEXT NOT NULL, name TEXT NOT NULL, server TEXT NOT NULL, credential TEXT NOT NULL,
    algorithm TEXT NOT NULL, digits INTEGER NOT NULL, time_step_s INTEGER NOT NULL, t0_s INTEGER NOT NULL,
    origin TEXT NOT NULL, pin INTEGER NOT NULL, touch INTEGER NOT NULL, escrow TEXT NOT NULL,
    state TEXT NOT NULL, sealed BLOB, device_id TEXT, server_step INTEGER, cause TEXT,
    created_s REAL NOT NULL, changed_s REAL NOT NULL
) STRICT;
-- A token has one job at a time; what is retired stays on record.
CREATE UNIQUE INDEX one_job_per_token ON job (serial) WHERE state != 'RETIRED';
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL REFERENCES job (uuid), at_s REAL NOT NULL,
    what TEXT NOT NULL, note TEXT NOT NULL
) STRICT;
CREATE TRIGGER events_stay_as_written BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER events_are_kept BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""


def default_path() -> Path:
    """Where the ledger lives when nobody says."""
    import platformdirs

    return Path(platformdirs.user_data_dir("hwtoken", appauthor=False)) / "ledger.sqlite"


class LedgerFile:
    """An open ledger file. Whoever has opened or made it closes it."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection

    @classmethod
    def create(cls, path: Path, public: bytes, wrapped: bytes, created_s: float) -> LedgerFile:
        """A new ledger at `path` (0600, its directory 0700 if it has to be made). Raises InputError if it exists."""
        with _named(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            except FileExistsError:
                raise InputError(f"{path} exists already", hint="a ledger is never overwritten: name another") from None
            try:
                return cls(path, _filled(path, public, wrapped, created_s))
            except BaseException:
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
                raise

    @classmethod
    def open(cls, path: Path) -> LedgerFile:
        """The ledger at `path`. Raises InputError if it is missing, foreign, damaged or of a newer version."""
        if not path.is_file():
            raise InputError(f"there is no ledger at {path}", hint="make one with `provision ledger init`")
        if path.stat().st_size == 0:
            raise InputError(
                f"{path} is empty: making it was interrupted", hint="delete it and run `provision ledger init` again"
            )
        with _named(path):
            connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
            try:
                if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                    raise InputError(f"{path} is not a ledger of provision", hint="name the right file with --ledger")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version != SCHEMA_VERSION:
                    raise InputError(
                        f"the ledger {path} has version {version}; this provision reads {SCHEMA_VERSION}",
                        hint="use the release of provision that wrote it",
                    )
                return cls(path, _prepared(connection))
            except BaseException:
                connection.close()
                raise

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block ends, undone when it raises. Raises LedgerError."""
        with _named(self.path), transaction(self._connection):
            yield self._connection

    def read(self, sql: str, parameters: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        with _named(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def scrub(self) -> None:
        """Carry what was committed into the main file and empty the log, which may still hold what was deleted.

        While another process reads the ledger SQLite leaves the log as it is; the next scrub or close does it.
        """
        with _named(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        self._connection.close()


def _filled(path: Path, public: bytes, wrapped: bytes, created_s: float) -> sqlite3.Connection:
    """The connection to an empty file that is a ledger from now on."""
    connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        with LedgerFile(path, _prepared(connection)).change():
            for statement in statements(_SCHEMA):
                connection.execute(statement)
            connection.execute("INSERT INTO key_pair VALUES (1, ?, ?, ?)", (public, wrapped, created_s))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    except BaseException:
        connection.close()  # here, because Windows deletes nothing that is open
        raise
    return connection


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Set what holds for one connection. journal_mode is written into the file, so whose it is must be known."""
    connection.row_factory = sqlite3.Row
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into an error that names the ledger."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise LedgerError(
            f"the ledger {path} cannot be opened or made: {error.strerror}",
            hint="check the path and who may write there",
        ) from error


def _explained(path: Path, error: sqlite3.Error) -> ProvisionError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return InputError(
            f"{path} is not a ledger, or is damaged", hint="name the right file with --ledger, or restore a copy"
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return LedgerError(
            f"the disk under the ledger {path} is full or failing; nothing was changed",
            hint="make room and run the same command again: it goes on where it stopped",
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerError(f"another process holds the ledger {path}", hint="wait until it ends, then try again")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LedgerError(f"the ledger {path} cannot be written", hint="check who owns it and its directory")
    return LedgerError(f"the ledger {path}: {error}")
