"""Rows <-> devices and accounts. Every function is part of the caller's transaction."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from provision.model import Algorithm, OathType, OtpParameters
from provision.servers.backend import Device
from provision.servers.embedded import audit
from provision.servers.embedded.throttle import Failures


@dataclass(frozen=True, slots=True)
class Account:
    """Whom failures are counted against: a person, or (`user` None) a device without one.

    `fallback_until_s`: until when the support desk sent the person to the old way; it may be over.
    """

    account_id: int
    user: str | None
    failures: Failures
    fallback_until_s: float | None = None


@dataclass(frozen=True, slots=True)
class StoredDevice:
    """A device as its row holds it. `parameters`: as registered, so `counter` is where HOTP started."""

    device_id: str
    account: Account
    name: str
    serial: str | None
    fingerprint: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    parameters: OtpParameters
    disabled: bool
    drift_steps: int
    last_step: int | None
    registered_s: float
    pending_until_s: float | None = None
    last_used_s: float | None = None

    @property
    def pending(self) -> bool:
        return self.pending_until_s is not None

    def expired(self, now_s: float) -> bool:
        """Whether nobody proved it in time: then it is as if it were not there."""
        return self.pending_until_s is not None and self.pending_until_s <= now_s

    def listed(self) -> Device:
        """The device as the outside sees it: no seed, and `counter` is the one expected next."""
        parameters = self.parameters
        if parameters.oath_type is OathType.HOTP and self.last_step is not None:
            parameters = dataclasses.replace(parameters, counter=max(parameters.counter, self.last_step + 1))
        return Device(
            device_id=self.device_id,
            user=self.account.user,
            name=self.name,
            serial=self.serial,
            parameters=parameters,
            disabled=self.disabled,
            drift_steps=self.drift_steps,
            last_step=self.last_step,
            consecutive_failures=self.account.failures.count,
            locked=self.account.failures.locked,
            open_from_s=self.account.failures.open_from_s,
            registered_s=self.registered_s,
            pending_until_s=self.pending_until_s,
            last_used_s=self.last_used_s,
        )


_SELECT = """
SELECT device_id, name, serial, fingerprint, sealed, oath_type, algorithm, digits, time_step_s, t0_s, counter, disabled,
       drift_steps, last_step, registered_s, pending_until_s, last_used_s, account_id, user, failures, last_failure_s,
       fallback_until_s
FROM device JOIN account USING (account_id)
"""


def _device(row: Sequence[Any]) -> StoredDevice:
    device_id, name, serial, fingerprint, sealed, oath_type, algorithm, digits, time_step_s, t0_s, counter = row[:11]
    disabled, drift_steps, last_step, registered_s, pending_until_s, last_used_s, *account = row[11:]
    account_id, user, failures, last_failure_s, fallback_until_s = account
    return StoredDevice(
        device_id=device_id,
        account=Account(account_id, user, Failures(failures, last_failure_s), fallback_until_s),
        name=name,
        serial=serial,
        fingerprint=fingerprint,
        sealed=sealed,
        parameters=OtpParameters(OathType(oath_type), Algorithm(algorithm), digits, time_step_s, t0_s, counter),
        disabled=bool(disabled),
        drift_steps=drift_steps,
        last_step=last_step,
        registered_s=registered_s,
        pending_until_s=pending_until_s,
        last_used_s=last_used_s,
    )


def every(db: sqlite3.Connection) -> list[StoredDevice]:
    """All devices, by user (those without one last) and name."""
    return [_device(row) for row in db.execute(_SELECT + "ORDER BY user IS NULL, user, folded_name, device_id")]


def of_user(db: sqlite3.Connection, user: str) -> list[StoredDevice]:
    """A person's devices, by name."""
    return [_device(row) for row in db.execute(_SELECT + "WHERE user = ? ORDER BY folded_name", (user,))]


def by_id(db: sqlite3.Connection, device_id: str) -> StoredDevice | None:
    row = db.execute(_SELECT + "WHERE device_id = ?", (device_id,)).fetchone()
    return None if row is None else _device(row)


def registered_with(db: sqlite3.Connection, device: StoredDevice, most: int) -> list[StoredDevice]:
    """The other devices that were registered nearest in time to this one: what came out of the same box."""
    rows = db.execute(
        _SELECT + "WHERE device_id <> ? ORDER BY abs(registered_s - ?), device_id LIMIT ?",
        (device.device_id, device.registered_s, most),
    )
    return [_device(row) for row in rows]


def by_fingerprint(db: sqlite3.Connection, fingerprint: bytes) -> StoredDevice | None:
    row = db.execute(_SELECT + "WHERE fingerprint = ?", (fingerprint,)).fetchone()
    return None if row is None else _device(row)


def by_serial(db: sqlite3.Connection, serial: str) -> StoredDevice | None:
    row = db.execute(_SELECT + "WHERE serial = ?", (serial,)).fetchone()
    return None if row is None else _device(row)


def insert(db: sqlite3.Connection, device: StoredDevice, folded_name: str) -> None:
    parameters = device.parameters
    db.execute(
        "INSERT INTO device (device_id, account_id, name, folded_name, serial, fingerprint, sealed, oath_type,"
        " algorithm, digits, time_step_s, t0_s, counter, last_step, registered_s, pending_until_s)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            device.device_id,
            device.account.account_id,
            device.name,
            folded_name,
            device.serial,
            device.fingerprint,
            device.sealed,
            parameters.oath_type.value,
            parameters.algorithm.value,
            parameters.digits,
            parameters.time_step_s,
            parameters.t0_s,
            parameters.counter,
            device.last_step,
            device.registered_s,
            device.pending_until_s,
        ),
    )


def erase(db: sqlite3.Connection, device: StoredDevice) -> None:
    """Forget a device and its seed, but not which of the seed's steps are spent."""
    if device.last_step is not None:
        db.execute(
            "INSERT OR REPLACE INTO spent (fingerprint, oath_type, time_step_s, t0_s, last_step)"
            " VALUES (?, ?, ?, ?, ?)",
            (*_spent_key(device.fingerprint, device.parameters), device.last_step),
        )
    db.execute("DELETE FROM device WHERE device_id = ?", (device.device_id,))
    _drop_if_anonymous(db, device.account)


def erase_expired(db: sqlite3.Connection, now_s: float) -> None:
    """Forget what nobody proved in time, seeds and names; on the record."""
    audit.expired(db, now_s)
    db.execute("DELETE FROM device WHERE pending_until_s <= ?", (now_s,))


def set_proved(db: sqlite3.Connection, device: StoredDevice) -> None:
    db.execute("UPDATE device SET pending_until_s = NULL WHERE device_id = ?", (device.device_id,))


def spent_step(db: sqlite3.Connection, fingerprint: bytes, parameters: OtpParameters) -> int | None:
    """The last step that a deleted device with this seed and these parameters had used."""
    row = db.execute(
        "SELECT last_step FROM spent WHERE (fingerprint, oath_type, time_step_s, t0_s) = (?, ?, ?, ?)",
        _spent_key(fingerprint, parameters),
    ).fetchone()
    return None if row is None else int(row[0])


def set_sealed(db: sqlite3.Connection, device: StoredDevice, sealed: bytes) -> None:
    db.execute("UPDATE device SET sealed = ? WHERE device_id = ?", (sealed, device.device_id))


def set_accepted(db: sqlite3.Connection, device: StoredDevice, step: int, drift_steps: int, now_s: float) -> None:
    db.execute(
        "UPDATE device SET last_step = ?, drift_steps = ?, last_used_s = ? WHERE device_id = ?",
        (step, drift_steps, now_s, device.device_id),
    )


def set_spent(db: sqlite3.Connection, device: StoredDevice, step: int) -> None:
    """No code up to that step is accepted any more, though nobody is known to have used them."""
    db.execute("UPDATE device SET last_step = ? WHERE device_id = ?", (step, device.device_id))


def set_drift(db: sqlite3.Connection, device: StoredDevice, drift_steps: int) -> None:
    db.execute("UPDATE device SET drift_steps = ? WHERE device_id = ?", (drift_steps, device.device_id))


def set_name(db: sqlite3.Connection, device: StoredDevice, name: str, folded_name: str) -> None:
    db.execute("UPDATE device SET name = ?, folded_name = ? WHERE device_id = ?", (name, folded_name, device.device_id))


def set_disabled(db: sqlite3.Connection, device: StoredDevice, disabled: bool) -> None:
    db.execute("UPDATE device SET disabled = ? WHERE device_id = ?", (disabled, device.device_id))


def move(db: sqlite3.Connection, device: StoredDevice, account: Account) -> None:
    """Give a device to another account; one that only it had is dropped."""
    db.execute("UPDATE device SET account_id = ? WHERE device_id = ?", (account.account_id, device.device_id))
    _drop_if_anonymous(db, device.account)


def name_is_taken(db: sqlite3.Connection, account: Account, folded_name: str, *, by_other_than: str) -> bool:
    """Whether a device of the account other than `by_other_than` (a device id) has that name."""
    row = db.execute(
        "SELECT 1 FROM device WHERE account_id = ? AND folded_name = ? AND device_id <> ?",
        (account.account_id, folded_name, by_other_than),
    ).fetchone()
    return row is not None


def account_of(db: sqlite3.Connection, user: str | None) -> Account:
    """The person's account, created if new; for None a fresh one without a person."""
    if user is not None:
        known = person(db, user)
        if known is not None:
            return known
    cursor = db.execute("INSERT INTO account (user) VALUES (?)", (user,))
    return Account(int(cursor.lastrowid or 0), user, Failures())


def person(db: sqlite3.Connection, user: str) -> Account | None:
    """The account of a person who is known."""
    row = db.execute(
        "SELECT account_id, failures, last_failure_s, fallback_until_s FROM account WHERE user = ?", (user,)
    ).fetchone()
    return None if row is None else Account(row[0], user, Failures(row[1], row[2]), row[3])


def set_failures(db: sqlite3.Connection, account: Account, failures: Failures) -> None:
    db.execute(
        "UPDATE account SET failures = ?, last_failure_s = ? WHERE account_id = ?",
        (failures.count, failures.last_s, account.account_id),
    )


def _drop_if_anonymous(db: sqlite3.Connection, account: Account) -> None:
    if account.user is None:
        db.execute("DELETE FROM account WHERE account_id = ?", (account.account_id,))


def _spent_key(fingerprint: bytes, parameters: OtpParameters) -> tuple[bytes, str, int, int]:
    return fingerprint, parameters.oath_type.value, parameters.time_step_s, parameters.t0_s
