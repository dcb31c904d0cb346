"""The audit log: who, what, when, outcome. Append-only (the schema's triggers see to it); never a code or a seed."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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


@enum.unique
class Outcome(enum.Enum):
    DONE = "done"
    ACCEPTED = "accepted"
    MISMATCH = "mismatch"
    REPLAYED = "replayed"
    THROTTLED = "throttled"  # not evaluated: too soon
    LOCKED = "locked"  # not evaluated: too many failures
    DISABLED = "disabled"
    UNKNOWN = "unknown"  # no such user, or no such device of theirs


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`at_s`: Unix seconds. `user`: whom it concerns. `step`: of an accepted code; with `at_s`, it shows the drift."""

    at_s: float
    action: Action
    user: str | None
    device_id: str | None
    outcome: Outcome
    step: int | None


def append(db: sqlite3.Connection, entry: AuditEntry) -> None:
    """Part of the caller's transaction: nothing happens without its entry, nor an entry without what it tells of."""
    db.execute(
        "INSERT INTO audit (at_s, action, user, device_id, outcome, step) VALUES (?, ?, ?, ?, ?, ?)",
        (entry.at_s, entry.action.value, entry.user, entry.device_id, entry.outcome.value, entry.step),
    )


def entries(db: sqlite3.Connection, device_id: str | None) -> list[AuditEntry]:
    """Oldest first; all, or those of one device, which may be deleted by now."""
    rows = db.execute(
        "SELECT at_s, action, user, device_id, outcome, step FROM audit"
        " WHERE ?1 IS NULL OR device_id = ?1 ORDER BY audit_id",
        (device_id,),
    )
    return [
        AuditEntry(at_s, Action(action), user, device, Outcome(outcome), step)
        for at_s, action, user, device, outcome, step in rows
    ]


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


def attempts(db: sqlite3.Connection, since_s: float) -> Sequence[Attempt]:
    """Of people who are known, oldest first."""
    return [
        Attempt(entry.at_s, entry.user, entry.device_id, AttemptOutcome(entry.outcome.value))
        for entry in reversed(list(since(db, since_s)))
        if entry.action is Action.CHECK and entry.outcome is not Outcome.UNKNOWN
    ]
