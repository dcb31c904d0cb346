-- A server's database of schema version 3, as the first server of people who move over made it of one of version 2.
PRAGMA application_id = 1752649556;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE account (
    account_id     INTEGER PRIMARY KEY,
    user           TEXT UNIQUE,
    failures       INTEGER NOT NULL DEFAULT 0,
    last_failure_s REAL NOT NULL DEFAULT 0
, fallback_until_s REAL);
INSERT INTO "account" VALUES(1,'alice',0,0.0,NULL);
CREATE TABLE api_token (
    token_id  TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    role      TEXT NOT NULL,
    user      TEXT,
    digest    BLOB NOT NULL,
    created_s REAL NOT NULL,
    revoked_s REAL
);
INSERT INTO "api_token" VALUES('ff2218cf8f7373ab','login page','relying-party',NULL,X'ACC165E6EB7728C7CF4ABCB2C8FA34519D055BA4567FEB9D4D5142D48BBBF811',1767225600.0,NULL);
CREATE TABLE audit (
    audit_id  INTEGER PRIMARY KEY,
    at_s      REAL NOT NULL,
    action    TEXT NOT NULL,
    user      TEXT,
    device_id TEXT,
    outcome   TEXT NOT NULL,
    step      INTEGER
, actor TEXT, until_s REAL);
INSERT INTO "audit" VALUES(1,1767225600.0,'register','alice','00000000-0000-0000-0000-000000000001','done',NULL,NULL,NULL);
INSERT INTO "audit" VALUES(2,1767225600.0,'check','alice','00000000-0000-0000-0000-000000000001','accepted',58907520,'login page',NULL);
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
    registered_s REAL NOT NULL, pending_until_s REAL,
    UNIQUE (account_id, folded_name)
);
INSERT INTO "device" VALUES('00000000-0000-0000-0000-000000000001',1,'desk','desk','SN1',X'53A22A2E9DB54FE16794AE6988969744F76868B626A46B88A370C66BE55D3A21',X'2441E3D54410492B788768BC6E4EF1971C2A31E7F5B488897F2B1D28E0C7865D3D8BA76DF569FC643BA10A78D832665E','totp','SHA1',6,30,0,0,0,0,58907520,1767225600.0,NULL);
CREATE TABLE server (
    id                INTEGER PRIMARY KEY CHECK (id = 1),
    key_check         BLOB NOT NULL,
    created_s         REAL NOT NULL,
    back_steps        INTEGER NOT NULL,
    forward_steps     INTEGER NOT NULL,
    look_ahead        INTEGER NOT NULL,
    resync_steps      INTEGER NOT NULL,
    resync_look_ahead INTEGER NOT NULL
, pending_s INTEGER NOT NULL DEFAULT 86400, cutover_s REAL);
INSERT INTO "server" VALUES(1,X'AB4A8D54EA28BD194552C67366087EFB46F97922B304BFF3A4190AF99C40ED85',1767225600.0,1,1,10,2880,1000,86400,NULL);
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
CREATE INDEX device_pending ON device (pending_until_s) WHERE pending_until_s IS NOT NULL;
COMMIT;
-- API token: hwt_ff2218cf8f7373ab_e8e394daf807e24e58c367402e281f9bddf85336d15b579b74e4250950c9c994
-- key: 73a9bef499bbf4dc7bd2a4f2c8af5bd99f267a0ed3197217dd2bba1537436e5c
