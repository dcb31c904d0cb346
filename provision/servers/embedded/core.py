"""The open file, and what every operation upon it needs: transactions around one act, devices found, codes judged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from provision.clock import Clock
from provision.closing import Closing
from provision.errors import AlreadyRegistered, InputError, Rejected, Unreachable, UsageError
from provision.model import OtpParameters, Secret
from provision.otp import code_source
from provision.servers.backend import folded
from provision.servers.embedded import attempts, audit, devices, keys, storage, window
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.devices import Account, StoredDevice
from provision.servers.embedded.policy import Policy

MAX_INTEGER = 2**62  # SQLite stores 63 bits; room is left for windows that reach beyond
_MAX_SECRET_BYTES = 128


class ServerFile(Closing):
    """What the parts of EmbeddedServer (backend.py) share."""

    def __init__(self, path: Path, clock: Clock, random: keys.Random) -> None:
        """Open an existing server. `random`: n -> n unpredictable bytes. Raises Unreachable."""
        self._clock = clock
        self._random = random
        self._own_only: str | None = None
        self._storage = storage.Storage(path)
        try:
            check_value, self._policy = self._storage.identity()
            self._keys = keys.SeedKeys(keys.key_of(path, check_value), random)
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

    def close(self) -> None:
        self._storage.close()

    def wait_for_nobody(self) -> None:
        """From now on a caller that finds the file held by another process is told at once, and waits by itself."""
        self._storage.set_busy_timeout(0)

    # who acts

    @contextlib.contextmanager
    def acting_as(self, actor: str, *, own_only: str | None = None) -> Iterator[None]:
        """The audit log names `actor` for what is done meanwhile. `own_only`: a person outside whose devices nothing
        is listed, and no device known, in the very transaction that would touch it."""
        self._storage.actor, self._own_only = actor, own_only
        try:
            yield
        finally:
            self._storage.actor = self._own_only = None

    # for the parts

    def _verdict(self, device: StoredDevice, code: str, now_s: float) -> window.Verdict:
        within = window.login_window(device.parameters, self._policy, expected(device, now_s), device.last_step)
        return window.judge(within, code, self._code_at(device))

    def _code_at(self, device: StoredDevice) -> window.CodeAt:
        # A short seed was let in by an administrator who was asked; refusing its codes now would help nobody.
        return code_source(self._secret(device), device.parameters, allow_short_seed=True)

    def _secret(self, device: StoredDevice) -> Secret:
        try:
            return self._keys.unseal(device.sealed, device.device_id, device.parameters)
        except Unreachable:
            if not self._renewed_keys():
                raise
        return self._keys.unseal(device.sealed, device.device_id, device.parameters)

    def _sealed(self, secret: Secret, device_id: str, parameters: OtpParameters) -> bytes:
        """Under the key that the database has now, for which this is part of a transaction."""
        self._renewed_keys()
        return self._keys.seal(secret, device_id, parameters)

    def _renewed_keys(self) -> bool:
        """Whether another process has rotated the key; it is then the one that is used from here on."""
        check_value = self._storage.key_check()
        if check_value == self._keys.check_value:
            return False
        self._keys = keys.SeedKeys(keys.key_of(self._storage.path, check_value), self._random)
        return True

    def _found(self, db: sqlite3.Connection, device_id: str) -> StoredDevice:
        device = devices.by_id(db, device_id)
        if device is None or device.expired(self._clock.now()) or self._own_only not in (None, device.account.user):
            raise Rejected(
                f"there is no device {device_id!r}", code="unknown-device", hint="list shows those there are"
            )
        return device

    def _require_own(self, user: str) -> None:
        """Raises Rejected (unknown-user) where somebody acts for themselves and `user` is somebody else."""
        if self._own_only not in (None, user):
            raise Rejected(f"there is nobody called {user!r}", code="unknown-user", hint="use your own login name")

    @contextlib.contextmanager
    def _administered(
        self, action: Action, device_id: str, *, user: str | None = None
    ) -> Iterator[tuple[sqlite3.Connection, StoredDevice]]:
        """A transaction around one act upon one device, with its entry in the audit log.

        `user`: whom it concerns, if not the person who has the device before it.
        """
        with self._storage.transaction() as db:
            devices.erase_expired(db, self._clock.now())
            device = self._found(db, device_id)
            yield db, device
            now_s = self._clock.now()
            whom = user or device.account.user
            audit.append(db, AuditEntry(now_s, action, whom, device_id, Outcome.DONE, None))


def expected(device: StoredDevice, now_s: float) -> int:
    return window.expected_step(
        device.parameters, now_s=now_s, drift_steps=device.drift_steps, last_step=device.last_step
    )


def require_free(db: sqlite3.Connection, account: Account, name: str, device_id: str) -> None:
    if devices.name_is_taken(db, account, folded(name), by_other_than=device_id):
        raise AlreadyRegistered(
            f"{attempts.whose(account)} has a device called {name!r} already", hint="choose another name"
        )


def require_usable(parameters: OtpParameters, secret: Secret) -> None:
    if not 1 <= len(secret) <= _MAX_SECRET_BYTES:
        raise InputError(f"a seed of {len(secret)} bytes", hint=f"1 to {_MAX_SECRET_BYTES} bytes can be registered")
    for what, value, low, high in (
        ("digits", parameters.digits, 6, 8),
        ("time_step_s", parameters.time_step_s, 1, 3600),
        ("t0_s", parameters.t0_s, 0, MAX_INTEGER),
        ("counter", parameters.counter, 0, MAX_INTEGER),
    ):
        if not low <= value <= high:
            raise InputError(f"{what} is {value}", hint=f"it must be {low} to {high}")


def called(device: StoredDevice) -> str:
    return f"{device.name!r} of {device.account.user or 'nobody'} ({device.device_id})"
