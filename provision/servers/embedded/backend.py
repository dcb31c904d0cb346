"""EmbeddedServer: the pure parts around one SQLite file, one transaction an operation."""

from __future__ import annotations

import contextlib
import hmac
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from provision.clock import Clock
from provision.closing import Closing
from provision.errors import (
    AlreadyRegistered,
    CodeMismatch,
    CodeReplayed,
    InputError,
    Rejected,
    Throttled,
    Unreachable,
    UsageError,
    VerificationError,
)
from provision.model import OathType, OtpParameters, Secret
from provision.otp import code_source
from provision.servers.backend import (
    Acceptance,
    Attempt,
    Device,
    HistoryEntry,
    Registration,
    SeedWork,
    ServerCapability,
    T,
)
from provision.servers.embedded import audit, devices, keys, questions, storage, window
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.devices import Account, StoredDevice
from provision.servers.embedded.names import clean, folded
from provision.servers.embedded.policy import Policy
from provision.servers.embedded.throttle import Failures

_MAX_SECRET_BYTES = 128
_MAX_INTEGER = 2**62  # SQLite stores 63 bits; room is left for windows that reach beyond


def open_address(rest: str, clock: Clock) -> EmbeddedServer:
    """The server in the file that `embedded:FILE` names. Raises Unreachable."""
    return EmbeddedServer(Path(rest), clock, os.urandom)


class EmbeddedServer(Closing):
    """A ServerBackend (provision/servers/backend.py) in a file. Processes may share the file; threads, no instance.

    A refused code is charged, and an accepted one spent, in the very transaction that judged it, before the caller
    learns of it. A code is looked for on every enabled device of the person that asks (or only on the one named).
    """

    def __init__(self, path: Path, clock: Clock, random: keys.Random) -> None:
        """Open an existing server. `random`: n -> n unpredictable bytes. Raises Unreachable."""
        self._clock = clock
        self._storage = storage.Storage(path)
        try:
            self._keys = keys.SeedKeys(keys.load_key(keys.key_path(path)), random)
            check_value, self._policy = self._storage.identity()
            self._keys.require_database(check_value, path)
        except BaseException:
            self._storage.close()
            raise

    @classmethod
    def init(cls, path: Path, clock: Clock, random: keys.Random, policy: Policy | None = None) -> Self:
        """Create a server, in `path` and `path`.key, and open it. Nothing is ever overwritten.

        Raises UsageError if either exists, Unreachable if they cannot be written.
        """
        key_file = keys.key_path(path)
        try:
            master = keys.create_key(key_file, random)
        except FileExistsError:
            raise UsageError(
                f"{key_file} exists already", hint="a key is never overwritten: a database may need it"
            ) from None
        except OSError as error:
            raise Unreachable(f"{key_file} cannot be created: {error.strerror}") from error
        try:
            storage.create(
                path,
                key_check=keys.SeedKeys(master, random).check_value,
                created_s=clock.now(),
                policy=policy or Policy(),
            )
        except BaseException:
            key_file.unlink()
            raise
        return cls(path, clock, random)

    @property
    def capabilities(self) -> frozenset[ServerCapability]:
        return frozenset(ServerCapability) - {ServerCapability.NOW}  # it is on the station

    @property
    def window_steps(self) -> tuple[int, int]:
        return self._policy.back_steps, self._policy.forward_steps

    def now(self) -> float:
        return self._clock.now()

    def close(self) -> None:
        self._storage.close()

    # codes

    def check(self, user: str, code: str, *, device_id: str | None = None) -> Acceptance:
        """Accept a code, once. One durable commit, whatever the outcome.

        Raises CodeMismatch or CodeReplayed (charged), Throttled (not evaluated; `retry_after_s` None: locked until
        `enable`), Rejected (unknown-device, disabled), InputError (no name at all), Unreachable.
        """
        user = clean("user", user)
        with self._storage.transaction() as db:
            outcome = self._check(db, user, code, device_id)
        if isinstance(outcome, Acceptance):
            return outcome
        raise outcome  # only now: raised in the transaction, it would take the charge back

    def resync(self, device_id: str, first: str, second: str) -> Acceptance:
        """Learn a device's drift from two consecutive codes; both are then spent. Raises as `check` does."""
        with self._storage.transaction() as db:
            outcome = self._resync(db, _found(db, device_id), first, second)
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
        _require_usable(parameters, secret)
        device_id, fingerprint = str(registration.uuid), self._keys.fingerprint(secret)
        now_s = self._clock.now()
        with self._storage.transaction() as db:
            known = devices.by_id(db, device_id)
            if known is not None:
                if hmac.compare_digest(known.fingerprint, fingerprint) and known.parameters == parameters:
                    return known.listed()
                raise AlreadyRegistered(
                    f"{device_id} is registered with another seed or other parameters",
                    hint="delete that device first, or use a new uuid",
                )
            if (twin := devices.by_fingerprint(db, fingerprint)) is not None:
                raise AlreadyRegistered(f"the same seed is registered as {_called(twin)}", hint="use a fresh seed")
            if serial is not None and (twin := devices.by_serial(db, serial)) is not None:
                raise AlreadyRegistered(
                    f"the serial {serial} is registered as {_called(twin)}", hint="delete that device first"
                )
            account = devices.account_of(db, user)
            _require_free(db, account, name, device_id)
            device = StoredDevice(
                device_id=device_id,
                account=account,
                name=name,
                serial=serial,
                fingerprint=fingerprint,
                sealed=self._keys.seal(secret, device_id, parameters),
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
        if abs(drift_steps) > _MAX_INTEGER:
            raise InputError(f"a drift of {drift_steps} steps is beyond any clock")
        with self._administered(Action.SET_DRIFT, device_id) as (db, device):
            if device.parameters.oath_type is not OathType.TOTP:
                raise Rejected(f"{_called(device)} counts; it has no clock that could drift", code="no-clock")
            devices.set_drift(db, device, drift_steps)

    def rename(self, device_id: str, name: str) -> None:
        """Raises AlreadyRegistered for a name that the person already uses, Rejected (unknown-device), InputError."""
        name = clean("name", name)
        with self._administered(Action.RENAME, device_id) as (db, device):
            _require_free(db, device.account, name, device_id)
            devices.set_name(db, device, name, folded(name))

    def assign(self, device_id: str, user: str) -> None:
        """Give a device to a person. Raises Rejected (unknown-device, assigned), AlreadyRegistered for its name."""
        user = clean("user", user)
        with self._administered(Action.ASSIGN, device_id, user=user) as (db, device):
            if device.account.user == user:
                return
            if device.account.user is not None:
                raise Rejected(f"{_called(device)} is somebody's", code="assigned", hint="unassign it first")
            account = devices.account_of(db, user)
            _require_free(db, account, device.name, device_id)
            devices.move(db, device, account)

    def unassign(self, device_id: str) -> None:
        """Take a device back; seed, drift and spent steps stay. Raises Rejected (unknown-device)."""
        with self._administered(Action.UNASSIGN, device_id) as (db, device):
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

    def delete(self, device_id: str) -> None:
        """Erase a device and its sealed seed from the file and its log; the audit trail stays.

        Raises Rejected (unknown-device); Unreachable if a reader keeps the log from being emptied.
        """
        with self._administered(Action.DELETE, device_id) as (db, device):
            devices.erase(db, device)
        self._storage.forget_erased()

    def list(self, user: str | None = None) -> Sequence[Device]:
        """All devices, or a person's, by user and name."""
        with self._storage.snapshot() as db:
            stored = devices.every(db) if user is None else devices.of_user(db, clean("user", user))
        return [device.listed() for device in stored]

    def audit(self, device_id: str | None = None) -> Sequence[AuditEntry]:
        """What happened, oldest first; all, or to one device, deleted ones included."""
        with self._storage.snapshot() as db:
            return audit.entries(db, device_id)

    def history(self, device_id: str | None = None) -> Iterator[HistoryEntry]:
        """From the audit log, row by row: a fleet's years need not fit into memory."""
        with self._storage.snapshot() as db:
            yield from audit.history(db, device_id)

    # a support desk's questions

    def attempts(self, since_s: float) -> Sequence[Attempt]:
        """Logins of people who are known, accepted or refused, oldest first."""
        with self._storage.snapshot() as db:
            return audit.attempts(db, since_s)

    def matching_steps(self, device_id: str, codes: Sequence[str], steps: range) -> Sequence[int]:
        """Raises InputError, Throttled, Rejected (unknown-device)."""

        def match(secret: Secret, parameters: OtpParameters, others: Mapping[str, Secret]) -> list[int]:
            usable = range(max(0, steps.start), max(0, steps.stop))
            return questions.matching(codes, usable, code_source(secret, parameters, allow_short_seed=True))

        with self._storage.snapshot() as db:
            parameters = _found(db, device_id).parameters
        questions.require_answerable(codes, steps, parameters, self._clock.now())
        return self.beside_seed(device_id, match)

    def beside_seed(self, device_id: str, work: SeedWork[T]) -> T:
        """Raises Throttled, Rejected (unknown-device)."""
        with self._storage.transaction() as db:
            device = _found(db, device_id)
            refused = questions.charge(db, device, self._clock.now())
            neighbours = devices.registered_with(db, device, questions.NEIGHBOURS)
        if refused is not None:
            raise refused
        # Outside the transaction: nobody's login waits for a search.
        others = {other.serial or _called(other): self._secret(other) for other in neighbours}
        return work(self._secret(device), device.parameters, others)

    # how a code is judged

    def _check(
        self, db: sqlite3.Connection, user: str, code: str, device_id: str | None
    ) -> Acceptance | VerificationError | Rejected:
        now_s = self._clock.now()
        owned = devices.of_user(db, user)
        named = [device for device in owned if device_id in (None, device.device_id)]
        if not named:
            # A user name that nobody has may be a password typed into the wrong field: it is not written down.
            who = user if owned else None
            audit.append(db, AuditEntry(now_s, Action.CHECK, who, None, Outcome.UNKNOWN, None))
            return Rejected("no such device is registered for this user", code="unknown-device", hint="register it")
        enabled = [device for device in named if not device.disabled]
        if not enabled:
            audit.append(db, AuditEntry(now_s, Action.CHECK, user, device_id, Outcome.DISABLED, None))
            return Rejected(f"{_called(named[0])} is disabled", code="disabled", hint="an administrator can enable it")
        account = enabled[0].account
        if (too_soon := _throttled(db, Action.CHECK, account, device_id, now_s)) is not None:
            return too_soon
        verdicts = [self._verdict(device, code, now_s) for device in enabled]
        for device, verdict in zip(enabled, verdicts, strict=True):
            if verdict.step is not None:
                return _accepted(db, Action.CHECK, device, verdict.step, now_s)
        replayed = any(verdict.replayed for verdict in verdicts)
        return _charged(db, Action.CHECK, account, device_id, now_s, replayed=replayed)

    def _resync(
        self, db: sqlite3.Connection, device: StoredDevice, first: str, second: str
    ) -> Acceptance | VerificationError | Rejected:
        now_s = self._clock.now()
        action, account, device_id = Action.RESYNC, device.account, device.device_id
        if device.disabled:
            audit.append(db, AuditEntry(now_s, action, account.user, device_id, Outcome.DISABLED, None))
            return Rejected(f"{_called(device)} is disabled", code="disabled", hint="enable it first")
        if (too_soon := _throttled(db, action, account, device_id, now_s)) is not None:
            return too_soon
        within = window.resync_window(device.parameters, self._policy, _expected(device, now_s), device.last_step)
        verdict = window.judge_pair(within, first, second, self._code_at(device))
        if verdict.step is not None:
            return _accepted(db, action, device, verdict.step, now_s)
        return _charged(db, action, account, device_id, now_s, replayed=verdict.replayed)

    def _verdict(self, device: StoredDevice, code: str, now_s: float) -> window.Verdict:
        within = window.login_window(device.parameters, self._policy, _expected(device, now_s), device.last_step)
        return window.judge(within, code, self._code_at(device))

    def _code_at(self, device: StoredDevice) -> window.CodeAt:
        # A short seed was let in by an administrator who was asked; refusing its codes now would help nobody.
        return code_source(self._secret(device), device.parameters, allow_short_seed=True)

    def _secret(self, device: StoredDevice) -> Secret:
        return self._keys.unseal(device.sealed, device.device_id, device.parameters)

    @contextlib.contextmanager
    def _administered(
        self, action: Action, device_id: str, *, user: str | None = None
    ) -> Iterator[tuple[sqlite3.Connection, StoredDevice]]:
        """A transaction around one act upon one device, with its entry in the audit log.

        `user`: whom it concerns, if not the person who has the device before it.
        """
        with self._storage.transaction() as db:
            device = _found(db, device_id)
            yield db, device
            now_s = self._clock.now()
            whom = user or device.account.user
            audit.append(db, AuditEntry(now_s, action, whom, device_id, Outcome.DONE, None))


def _throttled(
    db: sqlite3.Connection, action: Action, account: Account, device_id: str | None, now_s: float
) -> Throttled | None:
    """Why an attempt is not evaluated now, or None if it is."""
    whose = _whose(account)
    if account.failures.locked:
        audit.append(db, AuditEntry(now_s, action, account.user, device_id, Outcome.LOCKED, None))
        return Throttled(
            f"{whose} is locked after {account.failures.count} wrong codes in a row",
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
    return Throttled(
        f"{whose} must wait {wait_s:.0f} s after {failures.count} wrong codes in a row",
        retry_after_s=wait_s,
        hint="the code was not looked at; wait, then use a new one",
    )


def _accepted(db: sqlite3.Connection, action: Action, device: StoredDevice, step: int, now_s: float) -> Acceptance:
    """Spend the step, remember the drift it showed, forgive earlier failures."""
    drift_steps = step - device.parameters.step_at(now_s) if device.parameters.oath_type is OathType.TOTP else 0
    devices.set_accepted(db, device, step, drift_steps)
    if device.account.failures.count:
        devices.set_failures(db, device.account, Failures())
    audit.append(db, AuditEntry(now_s, action, device.account.user, device.device_id, Outcome.ACCEPTED, step))
    return Acceptance(device.device_id, step, drift_steps)


def _charged(
    db: sqlite3.Connection, action: Action, account: Account, device_id: str | None, now_s: float, *, replayed: bool
) -> VerificationError:
    """Count a refused code, and tell which kind of refusal it was."""
    devices.set_failures(db, account, account.failures.one_more(now_s))
    outcome = Outcome.REPLAYED if replayed else Outcome.MISMATCH
    audit.append(db, AuditEntry(now_s, action, account.user, device_id, outcome, None))
    whose = _whose(account)
    if replayed:
        return CodeReplayed(
            f"the code for {whose} is used, or older than one that is", hint="wait for the token's next code"
        )
    if action is Action.RESYNC:
        return CodeMismatch(
            f"the two codes for {whose} are not consecutive codes of this device",
            hint="read two codes, one directly after the other",
        )
    return CodeMismatch(
        f"the code for {whose} is wrong",
        hint="if the token's own screen shows it, its clock has drifted: resynchronise with two consecutive codes",
    )


def _expected(device: StoredDevice, now_s: float) -> int:
    return window.expected_step(
        device.parameters, now_s=now_s, drift_steps=device.drift_steps, last_step=device.last_step
    )


def _found(db: sqlite3.Connection, device_id: str) -> StoredDevice:
    device = devices.by_id(db, device_id)
    if device is None:
        raise Rejected(f"there is no device {device_id!r}", code="unknown-device", hint="list shows those there are")
    return device


def _require_free(db: sqlite3.Connection, account: Account, name: str, device_id: str) -> None:
    if devices.name_is_taken(db, account, folded(name), by_other_than=device_id):
        raise AlreadyRegistered(f"{_whose(account)} has a device called {name!r} already", hint="choose another name")


def _require_usable(parameters: OtpParameters, secret: Secret) -> None:
    if not 1 <= len(secret) <= _MAX_SECRET_BYTES:
        raise InputError(f"a seed of {len(secret)} bytes", hint=f"1 to {_MAX_SECRET_BYTES} bytes can be registered")
    for what, value, low, high in (
        ("digits", parameters.digits, 6, 8),
        ("time_step_s", parameters.time_step_s, 1, 3600),
        ("t0_s", parameters.t0_s, 0, _MAX_INTEGER),
        ("counter", parameters.counter, 0, _MAX_INTEGER),
    ):
        if not low <= value <= high:
            raise InputError(f"{what} is {value}", hint=f"it must be {low} to {high}")


def _whose(account: Account) -> str:
    return "this device" if account.user is None else repr(account.user)


def _called(device: StoredDevice) -> str:
    return f"{device.name!r} of {device.account.user or 'nobody'} ({device.device_id})"
