"""The ledger: which token was programmed for whom, how far it came, and every step on the way.

Written ahead and durable (see ledger_file.py), so that whoever finds a half-programmed token on the desk finds out
here what it is. It holds no secret in the clear: seeds are sealed, and gone once their token is DONE.
"""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from provision.clock import Clock
from provision.closing import Closing
from provision.errors import InputError, LedgerError
from provision.model import Algorithm, OtpParameters, Secret
from provision.seeds import sealing
from provision.seeds.sealing import KeyPair
from provision.station.job import Escrow, Job, SeedOrigin
from provision.station.ledger_file import LedgerFile
from provision.station.states import TRANSITIONS, State


@dataclass(frozen=True, slots=True)
class Entry:
    """One job on record. `job.seed` is None: the seed is in `sealed`, until it is destroyed.

    `device_id`: the server's name of the device. `server_step`: the last step that a server check may have used.
    `cause`: why it is quarantined. Times in Unix seconds.
    """

    uuid: UUID
    serial: str
    family: str
    job: Job
    state: State
    sealed: bytes | None = field(repr=False)
    device_id: str | None
    server_step: int | None
    cause: str | None
    created_s: float
    changed_s: float

    @property
    def context(self) -> bytes:
        """What the sealed seed is bound to."""
        return f"{self.uuid}|{self.serial}".encode()


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's history; events are only ever added."""

    uuid: UUID
    at_s: float
    what: str
    note: str


class Ledger(Closing):
    """An open ledger; a context manager. Methods raise LedgerError, and InputError for what is not on record."""

    def __init__(self, file: LedgerFile, clock: Clock) -> None:
        self._file = file
        self._clock = clock
        row = file.read("SELECT public, wrapped FROM key_pair")[0]
        self.key_pair = KeyPair(row["public"], row["wrapped"])

    @classmethod
    def create(cls, path: Path, pair: KeyPair, clock: Clock) -> Ledger:
        return cls(LedgerFile.create(path, pair.public, pair.wrapped, clock.now()), clock)

    @classmethod
    def open(cls, path: Path, clock: Clock) -> Ledger:
        file = LedgerFile.open(path)
        try:
            return cls(file, clock)
        except BaseException:
            file.close()
            raise

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def locks(self) -> Path:
        """The directory of the tokens' locks (see lock.py)."""
        return self.path.with_name(self.path.name + ".locks")

    def plan(self, serial: str, family: str, job: Job, randbytes: Callable[[int], bytes]) -> Entry:
        """Put a new job on record, PLANNED. Raises LedgerError if the token has one that is not RETIRED."""
        uuid = UUID(bytes=randbytes(16), version=4)
        try:
            with self._file.change() as connection:
                _insert(connection, uuid, serial, family, job, self._clock.now())
        except LedgerError as error:
            if isinstance(error.__cause__, sqlite3.IntegrityError):
                raise LedgerError(f"token {serial} has a job already", hint="see `provision ledger list`") from None
            raise
        return self.get(uuid)

    def succeed(self, entry: Entry, job: Job, note: str, randbytes: Callable[[int], bytes]) -> Entry:
        """In one transaction, the job of a token is RETIRED, its sealed seed destroyed, and another one PLANNED."""
        uuid, now = UUID(bytes=randbytes(16), version=4), self._clock.now()
        with self._file.change() as connection:
            self._set_state(connection, entry, State.RETIRED, note, now, {"sealed": None})
            _insert(connection, uuid, entry.serial, entry.family, job, now)
        self._file.scrub()
        return self.get(uuid)

    def seal(self, entry: Entry, secret: Secret, randbytes: Callable[[int], bytes]) -> bytes:
        """The seed sealed to the ledger's public key and this job, for `advance(entry, SEALED, sealed=...)`."""
        return sealing.seal(secret, self.key_pair.public, entry.context, randbytes)

    def unseal(self, entry: Entry, passphrase: Secret) -> Secret:
        """The seed of a job that is not DONE. Raises SeedAuthentication, LedgerError if it was destroyed."""
        if entry.sealed is None:
            raise LedgerError(
                f"the ledger holds no seed of token {entry.serial}",
                hint="start over: `provision token retire`, then `provision token program`",
            )
        return sealing.unseal(entry.sealed, sealing.unwrap(self.key_pair, passphrase), entry.context)

    def advance(self, entry: Entry, state: State, note: str = "", **columns: bytes | str | int | None) -> Entry:
        """Write that `state` is reached, with other columns in the same transaction. Raises LedgerError when the
        table does not allow it, or when the job is no longer where `entry` left it."""
        with self._file.change() as connection:
            self._set_state(connection, entry, state, note, self._clock.now(), columns)
        return self.get(entry.uuid)

    def _set_state(
        self,
        connection: sqlite3.Connection,
        entry: Entry,
        state: State,
        note: str,
        now: float,
        columns: Mapping[str, bytes | str | int | None],
    ) -> None:
        if state not in TRANSITIONS[entry.state]:
            raise LedgerError(f"a job that is {entry.state.value} does not become {state.value}")
        assignments = "".join(f", {name} = ?" for name in columns)
        changed = connection.execute(
            f"UPDATE job SET state = ?, changed_s = ?{assignments} WHERE uuid = ? AND state = ?",  # noqa: S608  # column names are our own keywords
            (state.value, now, *columns.values(), str(entry.uuid), entry.state.value),
        ).rowcount
        if changed != 1:
            raise LedgerError(
                f"the job of token {entry.serial} was changed by another process",
                hint="see how far it is with `provision ledger show`, then run the same command again",
            )
        _note(connection, entry.uuid, now, state.value, note)

    def log_server_step(self, entry: Entry, step: int) -> Entry:
        """Write, before it is used, which step the server's check is about to use."""
        with self._file.change() as connection:
            connection.execute("UPDATE job SET server_step = ? WHERE uuid = ?", (step, str(entry.uuid)))
            _note(connection, entry.uuid, self._clock.now(), "server-step", str(step))
        return dataclasses.replace(entry, server_step=step)

    def remark(self, entry: Entry, what: str, note: str) -> None:
        """Add a line to the job's history that changes nothing else."""
        with self._file.change() as connection:
            _note(connection, entry.uuid, self._clock.now(), what, note)

    def finish(self, entry: Entry, state: State, note: str) -> Entry:
        """DONE or RETIRED: the last state, and with it the sealed seed destroyed, unless a DONE job's escrow keeps it.

        Destroyed physically: overwritten in the file (secure_delete) and cut out of its log.
        """
        if state is State.DONE and entry.job.escrow is Escrow.DIAGNOSE:
            return self.advance(entry, state, note)
        entry = self.advance(entry, state, note, sealed=None)
        self._file.scrub()
        return entry

    def get(self, uuid: UUID) -> Entry:
        rows = self._file.read("SELECT * FROM job WHERE uuid = ?", (str(uuid),))
        if not rows:
            raise InputError(f"the ledger {self.path} has no job {uuid}")
        return _entry(rows[0])

    def of_token(self, serial: str) -> Entry | None:
        """The job of this token that is not RETIRED."""
        rows = self._file.read("SELECT * FROM job WHERE serial = ? AND state != 'RETIRED'", (serial,))
        return _entry(rows[0]) if rows else None

    def last_of_token(self, serial: str) -> Entry | None:
        """The job of this token that was put on record last, RETIRED or not."""
        rows = self._file.read("SELECT * FROM job WHERE serial = ? ORDER BY rowid DESC LIMIT 1", (serial,))
        return _entry(rows[0]) if rows else None

    def entries(self) -> Sequence[Entry]:
        """All jobs, oldest first."""
        return [_entry(row) for row in self._file.read("SELECT * FROM job ORDER BY rowid")]

    def events(self, uuid: UUID) -> Sequence[Event]:
        """The history of a job, oldest first."""
        rows = self._file.read("SELECT * FROM event WHERE uuid = ? ORDER BY id", (str(uuid),))
        return [Event(UUID(row["uuid"]), row["at_s"], row["what"], row["note"]) for row in rows]

    def history(self, serial: str) -> Sequence[Event]:
        """The histories of all jobs that a token had, oldest first."""
        rows = self._file.read(
            "SELECT event.* FROM event JOIN job USING (uuid) WHERE job.serial = ? ORDER BY event.id", (serial,)
        )
        return [Event(UUID(row["uuid"]), row["at_s"], row["what"], row["note"]) for row in rows]

    def close(self) -> None:
        self._file.close()


def record(entry: Entry) -> dict[str, Any]:
    """An entry as plain values, for JSON and CSV; never a secret, sealed or not."""
    return {
        "uuid": str(entry.uuid),
        "serial": entry.serial,
        "family": entry.family,
        **_columns(entry.job),
        "state": entry.state.value,
        "seed": _seed_word(entry),
        "device_id": entry.device_id,
        "server_step": entry.server_step,
        "cause": entry.cause,
        "created_s": entry.created_s,
        "changed_s": entry.changed_s,
    }


def _columns(job: Job) -> dict[str, Any]:
    """A job as plain values, all but its seed. Read back by _entry."""
    return {
        "user": job.user,
        "name": job.name,
        "server": job.server,
        "credential": job.credential,
        "algorithm": job.parameters.algorithm.value,
        "digits": job.parameters.digits,
        "time_step_s": job.parameters.time_step_s,
        "t0_s": job.parameters.t0_s,
        "origin": job.origin.value,
        "pin": job.pin,
        "touch": job.touch,
        "escrow": job.escrow.value,
    }


def _insert(connection: sqlite3.Connection, uuid: UUID, serial: str, family: str, job: Job, now: float) -> None:
    row = {
        "uuid": str(uuid),
        "serial": serial,
        "family": family,
        **_columns(job),
        "state": State.PLANNED.value,
        "created_s": now,
        "changed_s": now,
    }
    columns, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO job ({columns}) VALUES ({marks})", tuple(row.values()))  # noqa: S608  # the names are literals above
    _note(connection, uuid, now, State.PLANNED.value, f"{job.credential} for {job.user} at {job.server}")


def _seed_word(entry: Entry) -> str:
    if entry.sealed is not None:
        return "sealed"
    return "none" if entry.state is State.PLANNED else "destroyed"


def _note(connection: sqlite3.Connection, uuid: UUID, at_s: float, what: str, note: str) -> None:
    connection.execute("INSERT INTO event (uuid, at_s, what, note) VALUES (?, ?, ?, ?)", (str(uuid), at_s, what, note))


def _entry(row: sqlite3.Row) -> Entry:
    parameters = OtpParameters(
        algorithm=Algorithm(row["algorithm"]),
        digits=row["digits"],
        time_step_s=row["time_step_s"],
        t0_s=row["t0_s"],
    )
    job = Job(
        user=row["user"],
        name=row["name"],
        server=row["server"],
        credential=row["credential"],
        parameters=parameters,
        origin=SeedOrigin(row["origin"]),
        pin=bool(row["pin"]),
        touch=bool(row["touch"]),
        escrow=Escrow(row["escrow"]),
    )
    return Entry(
        uuid=UUID(row["uuid"]),
        serial=row["serial"],
        family=row["family"],
        job=job,
        state=State(row["state"]),
        sealed=row["sealed"],
        device_id=row["device_id"],
        server_step=row["server_step"],
        cause=row["cause"],
        created_s=row["created_s"],
        changed_s=row["changed_s"],
    )
