-- A server's database as release 0.2.0 made it (schema version 1): alice's device, one login.
PRAGMA application_id = 1752649556;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE account (
    account_id     INTEGER PRIMARY KEY,
    user           TEXT UNIQUE,
    failures       INTEGER NOT NULL DEFAULT 0,
    last_failure_s REAL NOT NULL DEFAULT 0
);
INSERT INTO "account" VALUES(1,'alice',0,0.0);
CREATE TABLE audit (
    audit_id  INTEGER PRIMARY KEY,
    at_s      REAL NOT NULL,
    action    TEXT NOT NULL,
    user      TEXT,
    device_id TEXT,
    outcome   TEXT NOT NULL,
    step      INTEGER
);
INSERT INTO "audit" VALUES(1,1767225600.0,'register','alice','00000000-0000-0000-0000-000000000001','done',NULL);
INSERT INTO "audit" VALUES(2,1767225600.0,'check','alice','00000000-0000-0000-0000-000000000001','accepted',58907520);
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
INSERT INTO "device" VALUES('00000000-0000-0000-0000-000000000001',1,'desk','desk','SN1',X'0A950F4BBB9E42A1E625D0638AAE80EF5C6A62435CDC06156513845F9944788C',X'7BD5D47E446FCEC2A3D8117359D1E1003A40089B5357A291B1AEE33EB76BD5E1272389C4E733AB9273D1E3A5EDE180C8','totp','SHA1',6,30,0,0,0,0,58907520,1767225600.0);
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
INSERT INTO "server" VALUES(1,X'A766D50AA2AFE87C9BD1F6A5E40D0ED01DD9C54527A5B7359806B617B6DAFBFF',1767225600.0,1,1,10,2880,1000);
CREATE TABLE spent (
    fingerprint BLOB NOT NULL,
    oath_type   TEXT NOT NULL,
    time_step_s INTEGER NOT NULL,
    t0_s        INTEGER NOT NULL,
    last_step   INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, oath_type, time_step_s, t0_s)
);
CREATE TRIGGER audit_is_not_rewritten BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER audit_is_not_erased BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'append-only'); END;
COMMIT;
-- key: f5b165224a58b791df6af1d8303e61cdc4bb86c3d1c427103c344c4189eb2f1e
