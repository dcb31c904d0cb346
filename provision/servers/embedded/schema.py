"""What is in the file, version by version. A new file goes through every version, so that it differs from no old one.

account   whom failures are counted against: a person, with or without devices, or (user NULL) a device without one
spent     last steps of deleted devices, so that registering the same seed again does not make a used code good
audit     append-only, by trigger; no foreign keys, since it outlives what it tells of; no index, since every login
          would pay for it and hardly anybody reads
api_token what lets a program in over HTTP (api_tokens.py); rows stay when they are revoked, so that the names in the
          audit log keep their meaning
"""

from __future__ import annotations

import sqlite3

from provision.sqlite import statements

APPLICATION_ID = 0x68774F54  # "hwOT", in the file's header: what tells our databases from other people's

_FIRST = """
CREATE TABLE server (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    key_check         BLOB NOT NULL,
    created_s         REAL NOT NULL,
    back_steps        INTEGER NOT NULL,
    forward_steps     INTEGER NOT NULL,
    look_ahead        INTEGER NOT NULL,
    resync_steps      INTEGER NOT NULL,
    resync_look_ahead INTEGER NOT NULL
);
CREATE TABLE account (
    account_id     INTEGER PRIMARY KEY,
    user           TEXT UNIQUE,
    failures       INTEGER NOT NULL DEFAULT 0,
    last_failure_s REAL NOT NULL DEFAULT 0
);
CREATE TABLE device (
    device_id    TEXT PRIMARY KEY,
    account_id   INTEGER NOT NULL REFERENCES account,
    name         TEXT NOT NULL,
    folded_name  TEXT NOT NULL,
    serial       TEXT UNIQUE,
    fingerprint  BLOB NOT NULL UNIQUE,
    sealed       BLOB NOT NULL,
    oath_type    TEXT NOT NULL,
    algorithm    TEXT NOT NULL,
    digits       INTEGER NOT NULL,
    time_step_s  INTEGER NOT NULL,
    t0_s         INTEGER NOT NULL,
    counter      INTEGER NOT NULL,
    disabled     INTEGER NOT NULL DEFAULT 0,
    drift_steps  INTEGER NOT NULL DEFAULT 0,
    last_step    INTEGER,
    registered_s REAL NOT NULL,
    UNIQUE (account_id, folded_name)
);
CREATE TABLE spent (
    fingerprint BLOB NOT NULL,
    oath_type   TEXT NOT NULL,
    time_step_s INTEGER NOT NULL,
    t0_s        INTEGER NOT NULL,
    last_step   INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, oath_type, time_step_s, t0_s)
);
CREATE TABLE audit (
    audit_id  INTEGER PRIMARY KEY,
    at_s      REAL NOT NULL,
    action    TEXT NOT NULL,
    user      TEXT,
    device_id TEXT,
    outcome   TEXT NOT NULL,
    step      INTEGER
);
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER audit_is_not_erased BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""

# Over HTTP several people act: the log says who. Entries from before, and those of whoever opens the file, name nobody.
_SECOND = """
ALTER TABLE audit ADD COLUMN actor TEXT;
CREATE TABLE api_token (
    token_id  TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    role      TEXT NOT NULL,
    user      TEXT,
    digest    BLOB NOT NULL,
    created_s REAL NOT NULL,
    revoked_s REAL
);
"""

# People move over from an older way in: who is known, until when it is open, what they enrolled and have not proved.
_THIRD = """
ALTER TABLE server ADD COLUMN pending_s INTEGER NOT NULL DEFAULT 86400;
ALTER TABLE server ADD COLUMN cutover_s REAL;
ALTER TABLE account ADD COLUMN fallback_until_s REAL;
ALTER TABLE device ADD COLUMN pending_until_s REAL;
ALTER TABLE audit ADD COLUMN until_s REAL;
CREATE INDEX device_pending ON device (pending_until_s) WHERE pending_until_s IS NOT NULL;
"""

# When a device was last used: its last step told that only until another drift was written, or a backup was put back.
_FOURTH = """
ALTER TABLE device ADD COLUMN last_used_s REAL;
CREATE TEMPORARY TABLE used (device_id TEXT PRIMARY KEY, at_s REAL);
INSERT INTO used SELECT device_id, max(at_s) FROM audit WHERE outcome = 'accepted' GROUP BY device_id;
UPDATE device SET last_used_s = (SELECT at_s FROM used WHERE used.device_id = device.device_id);
DROP TABLE used;
"""

_VERSIONS = (_FIRST, _SECOND, _THIRD, _FOURTH)
VERSION = len(_VERSIONS)


def migrate(db: sqlite3.Connection, version: int) -> None:
    """From `version` (0: an empty file) to the newest, in the caller's transaction."""
    for script in _VERSIONS[version:]:
        for statement in statements(script):
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute(f"PRAGMA user_version = {VERSION}")
