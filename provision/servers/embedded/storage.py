"""The file: its transactions, and what can go wrong with it.

Standard-library sqlite3 in WAL mode with synchronous=FULL: a commit that returned survives a power cut. Writers take
turns (BEGIN IMMEDIATE); who cannot get a turn in five seconds is told so. Every sqlite3 error leaves here as
Unreachable, with the file's name and what to do.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path

from provision.errors import Unreachable, UsageError
from provision.servers.embedded import schema
from provision.servers.embedded.policy import Policy
from provision.sqlite import transaction

BUSY_TIMEOUT_S = 5.0
_DAMAGED = ("is damaged", "restore it from a backup, with its key file")
_TROUBLE = {
    sqlite3.SQLITE_BUSY: ("is held by another process", "try again; if it lasts, find the process that holds it"),
    sqlite3.SQLITE_LOCKED: ("is held by another process", "try again; if it lasts, find the process that holds it"),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", "nothing was changed; make room and try again"),
    sqlite3.SQLITE_IOERR: ("cannot be read or written", "nothing was changed; look at the disk"),
    sqlite3.SQLITE_READONLY: ("is read-only", "its user must be able to write the file and its directory"),
    sqlite3.SQLITE_PERM: ("is not ours to open", "its user must be able to write the file and its directory"),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened", "its user must be able to write the file and its directory"),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: ("is no database of this server", "name the file that `provision server init` created"),
}


class Storage:
    """One connection to an existing database. Not shared between threads."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        """Open `path`. Raises Unreachable if it is missing, of a newer version, or no database of this server."""
        if not path.is_file():
            raise Unreachable(f"there is no server database {path}", hint="`provision server init` creates one")
        self.path = path
        self.actor: str | None = None  # who acts, for the audit log; None: whoever may open the file
        with self._named():
            self._connection = _connect(path, busy_timeout_s)
            self._connection.create_function("actor", 0, lambda: self.actor)
        try:
            self._require_ours()
            self._bring_up_to_date()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        with self._named():
            self._connection.close()

    def set_busy_timeout(self, seconds: float) -> None:
        with self._named():
            self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, and alone: no other writer from the first statement to the durable commit."""
        with self._named(), transaction(self._connection):
            yield self._connection

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read, everything as of one instant, without holding up writers."""
        with self._named():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("ROLLBACK")

    def forget_erased(self) -> None:
        """Empty the write-ahead log, which still holds pages as they were before something was erased from them.

        Beyond this only the file system and the disk can tell what they keep of freed blocks.
        """
        with self._named():
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise Unreachable(
                f"{self.path} has erased it, but a reader keeps its write-ahead log from being emptied",
                hint="the log is emptied when the last process closes the database",
            )

    def identity(self) -> tuple[bytes, Policy]:
        """What `create` was given: the key's check value and the policy."""
        with self.snapshot() as db:
            row = db.execute(
                "SELECT key_check, back_steps, forward_steps, look_ahead, resync_steps, resync_look_ahead, pending_s"
                " FROM server"
            ).fetchone()
        return row[0], Policy(*row[1:])

    def key_check(self) -> bytes:
        """The key's check value as it is now, in the caller's transaction if there is one."""
        with self._named():
            (check_value,) = self._connection.execute("SELECT key_check FROM server").fetchone()
        return bytes(check_value)

    def _require_ours(self) -> None:
        with self._named():
            (application_id,) = self._connection.execute("PRAGMA application_id").fetchone()
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application_id != schema.APPLICATION_ID or version < 1:
            fault, hint = _TROUBLE[sqlite3.SQLITE_NOTADB]
            raise Unreachable(f"{self.path} {fault}", hint=hint)
        if version > schema.VERSION:
            raise Unreachable(
                f"{self.path} has schema version {version}; this program knows up to {schema.VERSION}",
                hint="use the newer program that wrote it",
            )

    def _bring_up_to_date(self) -> None:
        with self._named():
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version < schema.VERSION:
            with self.transaction() as db:
                (version,) = db.execute("PRAGMA user_version").fetchone()  # another process may have been faster
                schema.migrate(db, version)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            # Python's own complaints (a closed connection, a wrong parameter) carry no code: those are our mistakes.
            code = getattr(error, "sqlite_errorcode", None)
            if code is None or code & 0xFF not in _TROUBLE:
                raise
            fault, hint = _TROUBLE[code & 0xFF]
            raise Unreachable(f"the server database {self.path} {fault}", hint=hint) from error


def is_held(error: Unreachable) -> bool:
    """Whether another process holds the file: nothing was done then, and a little later it can be."""
    return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def create(path: Path, *, key_check: bytes, created_s: float, policy: Policy) -> None:
    """Make a new database at `path`, mode 0600, durably and whole or not at all.

    Raises UsageError if something is there already, Unreachable if it cannot be written.
    """
    try:
        # Before SQLite opens it: the log and its index beside it inherit this mode.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise UsageError(f"{path} exists already", hint="a server database is never overwritten") from None
    except OSError as error:
        raise Unreachable(f"{path} cannot be created: {error.strerror}") from error
    try:
        with contextlib.closing(_connect(path, BUSY_TIMEOUT_S)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            with transaction(connection):
                schema.migrate(connection, 0)
                connection.execute(
                    "INSERT INTO server (id, key_check, created_s, back_steps, forward_steps, look_ahead, resync_steps,"
                    " resync_look_ahead, pending_s) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (key_check, created_s, *astuple(policy)),
                )
    except BaseException as error:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            raise Unreachable(
                f"the server database {path} cannot be written: {error}", hint="look at the disk"
            ) from error
        raise


def _connect(path: Path, busy_timeout_s: float) -> sqlite3.Connection:
    # mode=rw: a mistyped path must not become an empty database.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=busy_timeout_s, isolation_level=None
    )
    try:
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection
