"""The audit log: who, what, when, outcome. Append-only (the schema's triggers see to it); never a code or a seed."""

from __future__ import annotations

import enum
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field

from provision.servers.backend import Attempt, AttemptOutcome, HistoryEntry


@enum.unique
class Action(enum.Enum):
    REGISTER = "register"
    CHECK = "check"
    RESYNC = "resync"
    SET_DRIFT = "set-drift"
    RENAME = "rename"
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    DISABLE = "disable"
    ENABLE = "enable"
    DELETE = "delete"
    MATCH = "match"  # somebody asked where codes would fit
    ENROL = "enrol"
    PROVE = "prove"
    EXPIRE = "expire"  # a device that nobody proved in time; nobody's act
    ADD_PERSON = "add-person"
    REMOVE_PERSON = "remove-person"
    SET_FALLBACK = "set-fallback"
    SET_CUTOVER = "set-cutover"
    RESTORE = "restore"  # the file is a backup that was put back
    ROTATE_KEY = "rotate-key"


@enum.unique
class Outcome(enum.Enum):
    DONE = "done"
    ACCEPTED = "accepted"
    MISMATCH = "mismatch"
    REPLAYED = "replayed"
    THROTTLED = "throttled"  # not evaluated: too soon
    LOCKED = "locked"  # not evaluated: too many failures
    DISABLED = "disabled"
    PENDING = "pending"  # not evaluated: the device was not proved by its person
    FALLBACK = "fallback"  # not evaluated: sent to the old way
    UNKNOWN = "unknown"  # no such user, or no such device of theirs


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`at_s`: Unix seconds. `user`: whom it concerns. `step`: of an accepted code; with `at_s`, it shows the drift.
    `until_s`: the time that was set by `set-fallback` or `set-cutover`, Unix seconds; None: ended."""

    at_s: float
    action: Action
    user: str | None
    device_id: str | None
    outcome: Outcome
    step: int | None
    until_s: float | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Recorded(AuditEntry):
    """An entry as the log has it. `audit_id`: grows. `actor`: the name of the API token by which somebody came; None
    for whoever could open the file."""

    audit_id: int
    actor: str | None


_ATTEMPTED = json.dumps([outcome.value for outcome in AttemptOutcome])


def append(db: sqlite3.Connection, entry: AuditEntry) -> None:
    """Part of the caller's transaction: nothing happens without its entry, nor an entry without what it tells of.

    Who acts is not the entry's business: the connection knows (Storage.actor).
    """
    db.execute(
        "INSERT INTO audit (at_s, action, user, device_id, outcome, step, until_s, actor)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, actor())",
        (entry.at_s, entry.action.value, entry.user, entry.device_id, entry.outcome.value, entry.step, entry.until_s),
    )


def entries(
    db: sqlite3.Connection, device_id: str | None, *, after: int, limit: int, of_clocks: bool
) -> list[Recorded]:
    """Oldest first; all, or those of one device, which may be deleted by now.

    `after`: only entries with a larger audit_id. `limit`: how many at most; negative for all. `of_clocks`: only what
    shows a clock, as `history` does.
    """
    rows = db.execute(
        "SELECT at_s, action, user, device_id, outcome, step, audit_id, actor, until_s FROM audit WHERE audit_id > ?1"
        " AND (?2 IS NULL OR device_id = ?2) AND (NOT ?3 OR outcome = ?4 OR action = ?5) ORDER BY audit_id LIMIT ?6",
        (after, device_id, of_clocks, Outcome.ACCEPTED.value, Action.SET_DRIFT.value, limit),
    )
    return [
        Recorded(at_s, Action(action), user, device, Outcome(outcome), step, audit_id, actor, until_s=until_s)
        for at_s, action, user, device, outcome, step, audit_id, actor, until_s in rows
    ]


def latest_s(db: sqlite3.Connection) -> float | None:
    """Unix seconds of the last entry, None if there is none."""
    row = db.execute("SELECT at_s FROM audit ORDER BY audit_id DESC LIMIT 1").fetchone()
    return None if row is None else float(row[0])


def expired(db: sqlite3.Connection, now_s: float) -> None:
    """Write down which devices are pending no more, before they are erased. Whoever came next did not do it."""
    db.execute(
        "INSERT INTO audit (at_s, action, user, device_id, outcome)"
        " SELECT ?1, ?2, user, device_id, ?3 FROM device JOIN account USING (account_id) WHERE pending_until_s <= ?1",
        (now_s, Action.EXPIRE.value, Outcome.DONE.value),
    )


def history(db: sqlite3.Connection, device_id: str | None) -> Iterator[HistoryEntry]:
    """What shows a clock: accepted codes, and where the remembered drift was written. By device, then oldest first."""
    rows = db.execute(
        "SELECT device_id, at_s, step FROM audit"
        " WHERE (outcome = ?1 OR action = ?2) AND (?3 IS NULL OR device_id = ?3) ORDER BY device_id, audit_id",
        (Outcome.ACCEPTED.value, Action.SET_DRIFT.value, device_id),
    )
    return (HistoryEntry(device, at_s, step) for device, at_s, step in rows)


def since(db: sqlite3.Connection, since_s: float) -> Iterator[AuditEntry]:
    """Newest first, read from the end: what happened lately costs nothing of the years before."""
    rows = db.execute("SELECT at_s, action, user, device_id, outcome, step FROM audit ORDER BY audit_id DESC")
    for at_s, action, user, device, outcome, step in rows:
        if at_s < since_s:
            return
        yield AuditEntry(at_s, Action(action), user, device, Outcome(outcome), step)


def attempts(db: sqlite3.Connection, since_s: float, *, after: int = 0, limit: int = -1) -> list[tuple[int, Attempt]]:
    """Of people who are known, oldest first, each with its audit_id. The rest as in `entries`."""
    before = db.execute(
        "SELECT audit_id FROM audit WHERE at_s < ? ORDER BY audit_id DESC LIMIT 1", (since_s,)
    ).fetchone()
    rows = db.execute(
        "SELECT audit_id, at_s, user, device_id, outcome FROM audit WHERE audit_id > ? AND action = ?"
        " AND outcome IN (SELECT value FROM json_each(?)) ORDER BY audit_id LIMIT ?",
        (max(after, before[0] if before else 0), Action.CHECK.value, _ATTEMPTED, limit),
    )
    return [
        (audit_id, Attempt(at_s, user, device, AttemptOutcome(outcome)))
        for audit_id, at_s, user, device, outcome in rows
    ]
