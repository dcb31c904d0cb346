"""What becomes of an attempt to prove a code, on record: turned away, accepted, or charged.

Every function is part of the caller's transaction. Refusals are returned, since raising them there would take the
charge back.
"""

from __future__ import annotations

import math
import sqlite3

from provision.errors import CodeMismatch, CodeReplayed, Throttled, VerificationError
from provision.model import OathType
from provision.servers.backend import Acceptance
from provision.servers.embedded import audit, devices
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.devices import Account, StoredDevice
from provision.servers.embedded.throttle import Failures


def throttled(
    db: sqlite3.Connection, action: Action, account: Account, device_id: str | None, now_s: float
) -> Throttled | None:
    """Why an attempt is not evaluated now, or None if it is."""
    holder = whose(account)
    if account.failures.locked:
        audit.append(db, AuditEntry(now_s, action, account.user, device_id, Outcome.LOCKED, None))
        return Throttled(
            f"{holder} is locked after {account.failures.count} wrong codes in a row",
            retry_after_s=None,
            hint="find out who tried; then an administrator can enable the device again",
        )
    failures = account.failures.seen_at(now_s)
    if failures != account.failures:
        devices.set_failures(db, account, failures)
    wait_s = failures.retry_after_s(now_s)
    if wait_s == 0:
        return None
    audit.append(db, AuditEntry(now_s, action, account.user, device_id, Outcome.THROTTLED, None))
    codes = "code" if failures.count == 1 else "codes"
    return Throttled(
        f"{holder} must wait {math.ceil(wait_s)} s after {failures.count} wrong {codes} in a row",
        retry_after_s=wait_s,
        hint="the code was not looked at; wait, then use a new one",
    )


def accepted(db: sqlite3.Connection, action: Action, device: StoredDevice, step: int, now_s: float) -> Acceptance:
    """Spend the step, remember the drift it showed, forgive earlier failures."""
    drift_steps = step - device.parameters.step_at(now_s) if device.parameters.oath_type is OathType.TOTP else 0
    devices.set_accepted(db, device, step, drift_steps, now_s)
    if device.account.failures.count:
        devices.set_failures(db, device.account, Failures())
    audit.append(db, AuditEntry(now_s, action, device.account.user, device.device_id, Outcome.ACCEPTED, step))
    return Acceptance(device.device_id, step, drift_steps)


def charged(
    db: sqlite3.Connection, action: Action, account: Account, device_id: str | None, now_s: float, *, replayed: bool
) -> VerificationError:
    """Count a refused code, and tell which kind of refusal it was."""
    devices.set_failures(db, account, account.failures.one_more(now_s))
    outcome = Outcome.REPLAYED if replayed else Outcome.MISMATCH
    audit.append(db, AuditEntry(now_s, action, account.user, device_id, outcome, None))
    holder = whose(account)
    if replayed:
        return CodeReplayed(
            f"the code for {holder} is used, or older than one that is", hint="wait for the token's next code"
        )
    if action is Action.RESYNC:
        return CodeMismatch(
            f"the two codes for {holder} are not consecutive codes of this device",
            hint="read two codes, one directly after the other",
        )
    if action is Action.PROVE:
        return CodeMismatch(
            f"the code for {holder} is not one of the new device",
            hint="see that it took the whole seed, and that its clock is right",
        )
    return CodeMismatch(
        f"the code for {holder} is wrong",
        hint="if the token's own screen shows it, its clock has drifted: resynchronise with two consecutive codes",
    )


def whose(account: Account) -> str:
    return "this device" if account.user is None else repr(account.user)
