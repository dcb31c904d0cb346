"""A copy of a server on another file, taken while it serves: SQLite's own backup, and the key beside it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

from provision.errors import Unreachable, UsageError
from provision.newfile import write_new
from provision.servers.embedded import keys

BESIDE = ("", "-wal", "-shm", "-journal")  # what SQLite makes of a database's name


def back_up(path: Path, copy: Path) -> None:
    """Make `copy` and its key file what `path` and its key are at one instant; both durable, mode 0600.

    Writers go on meanwhile. Raises UsageError if either is there already, Unreachable if one cannot be read or written;
    nothing new is left behind then.
    """
    if not path.is_file():
        raise Unreachable(f"there is no server database {path}")
    before = keys.load_key(keys.key_path(path))
    if keys.key_path(copy).exists():
        raise UsageError(f"{keys.key_path(copy)} exists already", hint="a backup overwrites nothing")
    made = []
    try:
        write_new(copy, b"")
        made.append(copy)
        check_value = _copied(path, copy)
        # The key may be rotated meanwhile: the copy's is then the one from before, or the new one.
        same = keys.SeedKeys(before, os.urandom).check_value == check_value
        write_new(keys.key_path(copy), before if same else keys.key_of(path, check_value))
        made.append(keys.key_path(copy))
    except BaseException as error:
        for file in made:
            for suffix in BESIDE:
                file.with_name(file.name + suffix).unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise UsageError(f"{error.filename} exists already", hint="a backup overwrites nothing") from None
        if isinstance(error, OSError):
            raise Unreachable(f"{error.filename} cannot be written: {error.strerror}") from error
        if isinstance(error, sqlite3.Error):
            raise Unreachable(f"{path} cannot be copied to {copy}: {error}", hint="look at the disk") from error
        raise


def _copied(path: Path, copy: Path) -> bytes:
    """The check value of the key by which the copy's seeds are sealed."""
    with (
        contextlib.closing(_source(path)) as source,
        contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=rw", uri=True)) as target,
    ):
        target.execute("PRAGMA synchronous = FULL")
        source.backup(target)
        target.execute("PRAGMA journal_mode = WAL")
        row = target.execute("SELECT key_check FROM server").fetchone()
    if row is None:
        raise Unreachable(f"{path} is no database of this server")
    return bytes(row[0])


def _source(path: Path) -> sqlite3.Connection:
    name = f"{path.absolute().as_uri()}?mode=ro"
    source = sqlite3.connect(name, uri=True)
    try:
        source.execute("PRAGMA schema_version")
    except sqlite3.Error:
        source.close()
        if any(path.with_name(path.name + suffix).exists() for suffix in BESIDE[1:]):
            raise
        # SQLite keeps its locks in a file beside, and this one is where nothing can be written. Nobody is at it, then.
        source = sqlite3.connect(f"{name}&immutable=1", uri=True)
    return source
