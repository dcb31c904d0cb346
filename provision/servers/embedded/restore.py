"""A backup becomes a server again, on this machine or another: looked through first, whole or not at all.

What happened after the backup was made is not in it. No code that may have been accepted since is accepted again: every
step up to now, and as far ahead as codes are accepted, counts as used. (Of HOTP nobody knows how far it came.)
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from provision.clock import Clock
from provision.errors import Unreachable, UsageError
from provision.model import OathType
from provision.newfile import sync_directory
from provision.servers.embedded import audit, devices, keys
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.backup import BESIDE, back_up
from provision.servers.embedded.core import ServerFile


@dataclass(frozen=True, slots=True)
class Restored:
    """`last_s`: when the last thing was done that the backup knows of. `accepts_from_s`: when the last device's codes
    are new again. Unix seconds."""

    devices: int
    people: int
    last_s: float | None
    accepts_from_s: float


def restore(backup: Path, path: Path, clock: Clock, random: keys.Random) -> Restored:
    """Make `path` and its key a server that goes on where `backup` and its key end; those stay as they are.

    Raises UsageError if anything is at `path` already, Unreachable for a backup that is damaged, or not whole.
    """
    for there in (*(path.with_name(path.name + suffix) for suffix in BESIDE), keys.key_path(path)):
        if there.exists():
            raise UsageError(f"{there} exists already", hint="restoring overwrites nothing: move it away first")
    with _staged(path) as staged:
        back_up(backup, staged)
        _require_whole(staged)
        with _Reopened(staged, clock, random) as server:
            found = server.go_on()
        os.replace(keys.key_path(staged), keys.key_path(path))
        try:
            os.replace(staged, path)
        except BaseException:
            keys.key_path(path).unlink()
            raise
        sync_directory(path.parent)
    return found


class _Reopened(ServerFile):
    def go_on(self) -> Restored:
        """Every seed opens, and what may be used is used."""
        now_s, accepts_from_s = self._clock.now(), self._clock.now()
        with self._storage.transaction() as db:
            stored, last_s = devices.every(db), audit.latest_s(db)
            for device in stored:
                self._secret(device)
                if device.parameters.oath_type is OathType.TOTP:
                    step = device.parameters.step_at(now_s) + device.drift_steps + self._policy.forward_steps
                    if device.last_step is None or device.last_step < step:
                        devices.set_spent(db, device, step)
                    shown_s = device.parameters.step_start(step + 1 - device.drift_steps)
                    accepts_from_s = max(accepts_from_s, shown_s)
            (people,) = db.execute("SELECT count(*) FROM account WHERE user IS NOT NULL").fetchone()
            audit.append(db, AuditEntry(now_s, Action.RESTORE, None, None, Outcome.DONE, None))
        return Restored(len(stored), people, last_s, accepts_from_s)


@contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """A place beside `path` where it may grow; whatever is there at the end goes."""
    folder = path.with_name(f"{path.name}.restoring")
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise UsageError(
            f"{folder} exists already",
            hint="another restore is under way, or was cut short: remove that folder then, it holds seeds",
        ) from None
    except OSError as error:
        raise Unreachable(f"{folder} cannot be made: {error.strerror}") from error
    try:
        yield folder / path.name
    except OSError as error:
        raise Unreachable(f"{error.filename} cannot be put in place: {error.strerror}") from error
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def _require_whole(path: Path) -> None:
    """Raises Unreachable for a database that SQLite finds damaged."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        try:
            (verdict,) = db.execute("PRAGMA integrity_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            verdict = str(error)
    if verdict != "ok":
        raise Unreachable(f"the backup is damaged: {verdict}", hint="use an earlier one")
