"""EmbeddedServer: the pure parts around one SQLite file, one transaction an operation."""

from __future__ import annotations

import hmac
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from provision.clock import Clock
from provision.errors import (
    AlreadyRegistered,
    Fallback,
    InputError,
    Rejected,
    VerificationError,
)
from provision.model import OathType, Secret
from provision.servers.backend import (
    Acceptance,
    Credential,
    Device,
    HistoryEntry,
    Registration,
    ServerCapability,
    folded,
)
from provision.servers.embedded import api_tokens, attempts, audit, devices, people, window
from provision.servers.embedded.api_tokens import ApiToken
from provision.servers.embedded.audit import Action, AuditEntry, Outcome, Recorded
from provision.servers.embedded.core import MAX_INTEGER, called, expected, require_free, require_usable
from provision.servers.embedded.devices import StoredDevice
from provision.servers.embedded.enrolling import Enrolling
from provision.servers.embedded.migrating import Migrating
from provision.servers.embedded.names import clean
from provision.servers.embedded.questions import Answering
from provision.servers.embedded.rotation import Rotating
from provision.servers.embedded.throttle import Failures
from provision.servers.roles import Role


def open_address(rest: str, clock: Clock, _credential: Credential) -> EmbeddedServer:
    """The server in the file that `embedded:FILE` names; whoever may read it needs no more. Raises Unreachable."""
    return EmbeddedServer(Path(rest), clock, os.urandom)


class EmbeddedServer(Answering, Enrolling, Migrating, Rotating):
    """A ServerBackend (provision/servers/backend.py) in a file. Processes may share the file; threads, no instance.

    A refused code is charged, and an accepted one spent, in the very transaction that judged it, before the caller
    learns of it. A code is looked for on every enabled device of the person that asks (or only on the one named).
    """

    @property
    def capabilities(self) -> frozenset[ServerCapability]:
        return frozenset(ServerCapability) - {ServerCapability.NOW}  # it is on the station

    @property
    def window_steps(self) -> tuple[int, int]:
        return self._policy.back_steps, self._policy.forward_steps

    def now(self) -> float:
        return self._clock.now()

    # codes

    def check(self, user: str, code: str, *, device_id: str | None = None) -> Acceptance:
        """Accept a code, once. One durable commit, whatever the outcome.

        Raises CodeMismatch or CodeReplayed (charged), Throttled (not evaluated; `retry_after_s` None: locked until
        `enable`), Rejected (unknown-device, pending, disabled), Fallback, InputError (a user that nobody can be),
        Unreachable.
        """
        user = clean("user", user)
        with self._storage.transaction() as db:
            outcome = self._check(db, user, code, device_id)
        if isinstance(outcome, Acceptance):
            return outcome
        raise outcome  # only now: raised in the transaction, it would take the charge back

    def resync(self, device_id: str, first: str, second: str) -> Acceptance:
        """Learn a device's drift from two consecutive codes; both are then spent. Raises as `check` does, but Fallback:
        that is of logins."""
        with self._storage.transaction() as db:
            outcome = self._resync(db, self._found(db, device_id), first, second)
        if isinstance(outcome, Acceptance):
            return outcome
        raise outcome  # as in check

    # administration

    def register(self, registration: Registration) -> Device:
        """Idempotent by uuid, seed and parameters; whoever holds the device and whatever its name by now.

        Raises AlreadyRegistered, InputError for names, parameters or a seed that no token has, Unreachable.
        """
        user, name = clean("user", registration.user), clean("name", registration.name)
        serial = None if registration.serial is None else clean("serial", registration.serial)
        parameters, secret = registration.parameters, registration.secret
        require_usable(parameters, secret)
        device_id, fingerprint = str(registration.uuid), self._keys.fingerprint(secret)
        now_s = self._clock.now()
        with self._storage.transaction() as db:
            devices.erase_expired(db, now_s)
            known = devices.by_id(db, device_id)
            if known is not None:
                if hmac.compare_digest(known.fingerprint, fingerprint) and known.parameters == parameters:
                    return known.listed()
                raise AlreadyRegistered(
                    f"{device_id} is registered with another seed or other parameters",
                    hint="delete that device first, or use a new uuid",
                )
            if (twin := devices.by_fingerprint(db, fingerprint)) is not None:
                raise AlreadyRegistered(f"the same seed is registered as {called(twin)}", hint="use a fresh seed")
            if serial is not None and (twin := devices.by_serial(db, serial)) is not None:
                raise AlreadyRegistered(
                    f"the serial {serial} is registered as {called(twin)}", hint="delete that device first"
                )
            account = devices.account_of(db, user)
            require_free(db, account, name, device_id)
            device = StoredDevice(
                device_id=device_id,
                account=account,
                name=name,
                serial=serial,
                fingerprint=fingerprint,
                sealed=self._sealed(secret, device_id, parameters),
                parameters=parameters,
                disabled=False,
                drift_steps=0,
                last_step=devices.spent_step(db, fingerprint, parameters),
                registered_s=now_s,
            )
            devices.insert(db, device, folded(name))
            audit.append(db, AuditEntry(now_s, Action.REGISTER, user, device_id, Outcome.DONE, None))
            return device.listed()

    def set_drift(self, device_id: str, drift_steps: int) -> None:
        """Write the remembered drift, in signed steps. Raises Rejected (unknown-device, no-clock), InputError."""
        if abs(drift_steps) > MAX_INTEGER:
            raise InputError(f"a drift of {drift_steps} steps is beyond any clock")
        with self._administered(Action.SET_DRIFT, device_id) as (db, device):
            if device.parameters.oath_type is not OathType.TOTP:
                raise Rejected(f"{called(device)} counts; it has no clock that could drift", code="no-clock")
            devices.set_drift(db, device, drift_steps)

    def rename(self, device_id: str, name: str) -> None:
        """Raises AlreadyRegistered for a name that the person already uses, Rejected (unknown-device), InputError."""
        name = clean("name", name)
        with self._administered(Action.RENAME, device_id) as (db, device):
            require_free(db, device.account, name, device_id)
            devices.set_name(db, device, name, folded(name))

    def assign(self, device_id: str, user: str) -> None:
        """Give a device to a person. Raises Rejected (unknown-device, assigned), AlreadyRegistered for its name,
        InputError."""
        user = clean("user", user)
        with self._administered(Action.ASSIGN, device_id, user=user) as (db, device):
            if device.account.user == user:
                return
            if device.account.user is not None:
                raise Rejected(f"{called(device)} is somebody's", code="assigned", hint="unassign it first")
            account = devices.account_of(db, user)
            require_free(db, account, device.name, device_id)
            devices.move(db, device, account)

    def unassign(self, device_id: str) -> None:
        """Take a device back; seed, drift and spent steps stay. Raises Rejected (unknown-device, pending)."""
        with self._administered(Action.UNASSIGN, device_id) as (db, device):
            if device.pending:
                raise _not_proved(device)
            if device.account.user is not None:
                devices.move(db, device, devices.account_of(db, None))

    def disable(self, device_id: str) -> None:
        """Refuse its codes until `enable`. Raises Rejected (unknown-device)."""
        with self._administered(Action.DISABLE, device_id) as (db, device):
            devices.set_disabled(db, device, True)

    def enable(self, device_id: str) -> None:
        """Let its codes in again, and forgive the failures of its account. Raises Rejected (unknown-device)."""
        with self._administered(Action.ENABLE, device_id) as (db, device):
            devices.set_disabled(db, device, False)
            devices.set_failures(db, device.account, Failures())

    def delete(self, device_id: str, *, even_if_locked_out: bool = False) -> None:
        """Erase a device and its sealed seed from the file and its log; the audit trail stays.

        Raises Rejected (unknown-device; locks-out, where somebody acts for themselves and this was their last way in,
        unless `even_if_locked_out`); Unreachable if a reader keeps the log from being emptied.
        """
        with self._administered(Action.DELETE, device_id) as (db, device):
            if self._own_only is not None and not even_if_locked_out:
                self._require_way_without(db, device)
            devices.erase(db, device)
        self._storage.forget_erased()

    def list(self, user: str | None = None) -> Sequence[Device]:
        """All devices, or a person's, by user and name."""
        with self._storage.snapshot() as db:
            stored = devices.every(db) if user is None else devices.of_user(db, clean("user", user))
        now_s = self._clock.now()
        return [
            device.listed()
            for device in stored
            if self._own_only in (None, device.account.user) and not device.expired(now_s)
        ]

    def device(self, device_id: str) -> Device:
        """One device. Raises Rejected (unknown-device)."""
        with self._storage.snapshot() as db:
            return self._found(db, device_id).listed()

    def audit(
        self, device_id: str | None = None, *, after: int = 0, limit: int = -1, of_clocks: bool = False
    ) -> Sequence[Recorded]:
        """What happened, oldest first; all, or to one device, deleted ones included. The rest as in audit.entries."""
        with self._storage.snapshot() as db:
            return audit.entries(db, device_id, after=after, limit=limit, of_clocks=of_clocks)

    def stepped_back_s(self) -> float:
        """How far the clock stands before the last thing that was done, in seconds; 0 if it does not."""
        with self._storage.snapshot() as db:
            return max(0.0, (audit.latest_s(db) or 0.0) - self._clock.now())

    def history(self, device_id: str | None = None) -> Iterator[HistoryEntry]:
        """From the audit log, row by row: a fleet's years need not fit into memory."""
        with self._storage.snapshot() as db:
            yield from audit.history(db, device_id)

    # who acts

    def holder(self, api_token: str) -> ApiToken:
        """Whose text `api_token` is. Raises Rejected (unauthenticated)."""
        with self._storage.snapshot() as db:
            return api_tokens.holder(db, api_token)

    def create_api_token(self, name: str, role: Role, user: str | None = None) -> tuple[ApiToken, Secret]:
        """Its text is told this once. Raises InputError for a name that was ever used, or a role and user that do not
        go together."""
        with self._storage.transaction() as db:
            return api_tokens.create(db, self._random, name, role, user, self._clock.now())

    def withdraw_api_token(self, name: str) -> None:
        """For one that was just made, and whose text nobody got."""
        with self._storage.transaction() as db:
            api_tokens.withdraw(db, name)

    def revoke_api_token(self, name: str) -> None:
        """Raises Rejected (unknown-token)."""
        with self._storage.transaction() as db:
            api_tokens.revoke(db, name, self._clock.now())

    def api_tokens(self) -> Sequence[ApiToken]:
        """All, revoked ones too, oldest first."""
        with self._storage.snapshot() as db:
            return api_tokens.every(db)

    # how a code is judged

    def _check(
        self, db: sqlite3.Connection, user: str, code: str, device_id: str | None
    ) -> Acceptance | VerificationError | Rejected:
        now_s = self._clock.now()
        owned = [device for device in devices.of_user(db, user) if not device.expired(now_s)]
        person = owned[0].account if owned else devices.person(db, user)
        if person is not None and device_id is None:
            until_s = people.sent_until_s(db, person, owned, now_s)
            if until_s is not None:
                audit.append(db, AuditEntry(now_s, Action.CHECK, user, None, Outcome.FALLBACK, None))
                return Fallback(
                    f"{user!r} logs in by the old way for now",
                    until_s=until_s,
                    hint="the code was not looked at: ask the server that was there before",
                )
        named = [device for device in owned if device_id in (None, device.device_id)]
        if not named:
            # A user name that nobody has may be a password typed into the wrong field: it is not written down.
            who = None if person is None else user
            audit.append(db, AuditEntry(now_s, Action.CHECK, who, None, Outcome.UNKNOWN, None))
            return Rejected("no such device is registered for this user", code="unknown-device", hint="register it")
        named = [device for device in named if not device.pending]
        if not named:
            audit.append(db, AuditEntry(now_s, Action.CHECK, user, device_id, Outcome.PENDING, None))
            return Rejected(
                "no device of this user is proved", code="pending", hint="prove one first, by a code that it shows"
            )
        enabled = [device for device in named if not device.disabled]
        if not enabled:
            audit.append(db, AuditEntry(now_s, Action.CHECK, user, device_id, Outcome.DISABLED, None))
            return Rejected(f"{called(named[0])} is disabled", code="disabled", hint="an administrator can enable it")
        account = enabled[0].account
        if (too_soon := attempts.throttled(db, Action.CHECK, account, device_id, now_s)) is not None:
            return too_soon
        verdicts = [self._verdict(device, code, now_s) for device in enabled]
        for device, verdict in zip(enabled, verdicts, strict=True):
            if verdict.step is not None:
                return attempts.accepted(db, Action.CHECK, device, verdict.step, now_s)
        replayed = any(verdict.replayed for verdict in verdicts)
        return attempts.charged(db, Action.CHECK, account, device_id, now_s, replayed=replayed)

    def _resync(
        self, db: sqlite3.Connection, device: StoredDevice, first: str, second: str
    ) -> Acceptance | VerificationError | Rejected:
        now_s = self._clock.now()
        action, account, device_id = Action.RESYNC, device.account, device.device_id
        if device.pending:
            audit.append(db, AuditEntry(now_s, action, account.user, device_id, Outcome.PENDING, None))
            return _not_proved(device)
        if device.disabled:
            audit.append(db, AuditEntry(now_s, action, account.user, device_id, Outcome.DISABLED, None))
            return Rejected(f"{called(device)} is disabled", code="disabled", hint="enable it first")
        if (too_soon := attempts.throttled(db, action, account, device_id, now_s)) is not None:
            return too_soon
        within = window.resync_window(device.parameters, self._policy, expected(device, now_s), device.last_step)
        verdict = window.judge_pair(within, first, second, self._code_at(device))
        if verdict.step is not None:
            return attempts.accepted(db, action, device, verdict.step, now_s)
        return attempts.charged(db, action, account, device_id, now_s, replayed=verdict.replayed)


def _not_proved(device: StoredDevice) -> Rejected:
    return Rejected(f"{called(device)} is not proved yet", code="pending", hint="its person proves it by a code")
