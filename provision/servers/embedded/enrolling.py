"""People enrol their own devices: the server makes the seed and gives it out once, and believes in it when it is
proved by a code. Until then the device lets nobody in, so that a lost or mistyped seed locks nobody out, and who was
on the old way stays on it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from uuid import UUID

from provision.errors import InputError, Rejected, VerificationError
from provision.model import OtpParameters, Secret
from provision.otpauth import ISSUER, OtpAuth, format_otpauth
from provision.servers.backend import USUAL, Acceptance, Enrolment, folded
from provision.servers.embedded import attempts, audit, devices
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.core import ServerFile, called, require_free, require_usable
from provision.servers.embedded.devices import StoredDevice
from provision.servers.embedded.names import clean

MAX_DEVICES = 10  # of a person, for enrolling one more: a login looks at each, and every one helps a guesser


class Enrolling(ServerFile):
    """A part of EmbeddedServer (backend.py)."""

    def enrol(self, user: str, name: str, *, parameters: OtpParameters = USUAL) -> Enrolment:
        """Make a pending device with a fresh seed, which leaves here this once.

        Raises AlreadyRegistered for a name that the person already uses, Rejected (too-many; unknown-user, where
        somebody acts for themselves and it is another), InputError for names and parameters that no device or no URI
        can have, Unreachable.
        """
        user, name = clean("user", user), clean("name", name)
        secret = Secret(self._random(hashlib.new(parameters.algorithm.value).digest_size))  # RFC 6238 section 5.1
        require_usable(parameters, secret)
        if parameters.t0_s:
            raise InputError("an otpauth URI has no place for t0_s", hint="use t0_s = 0")
        otpauth = format_otpauth(OtpAuth(user, ISSUER, secret, parameters))
        device_id = str(UUID(bytes=self._random(16), version=4))
        now_s = self._clock.now()
        with self._storage.transaction() as db:
            self._require_own(user)
            devices.erase_expired(db, now_s)
            account = devices.account_of(db, user)
            if len(devices.of_user(db, user)) >= MAX_DEVICES:
                raise Rejected(
                    f"{user!r} has {MAX_DEVICES} devices already", code="too-many", hint="delete one that is not used"
                )
            require_free(db, account, name, device_id)
            device = StoredDevice(
                device_id=device_id,
                account=account,
                name=name,
                serial=None,
                fingerprint=self._keys.fingerprint(secret),
                sealed=self._sealed(secret, device_id, parameters),
                parameters=parameters,
                disabled=False,
                drift_steps=0,
                last_step=None,
                registered_s=now_s,
                pending_until_s=now_s + self._policy.pending_s,
            )
            devices.insert(db, device, folded(name))
            audit.append(db, AuditEntry(now_s, Action.ENROL, user, device_id, Outcome.DONE, None))
        return Enrolment(device.listed(), Secret(otpauth.encode("ascii")))

    def prove(self, device_id: str, code: str) -> Acceptance:
        """Accept a pending device's first code; from then on it logs its person in.

        Raises CodeMismatch or CodeReplayed (charged, as at a login), Throttled, Rejected (unknown-device, proved,
        disabled), Unreachable.
        """
        with self._storage.transaction() as db:
            outcome = self._prove(db, self._found(db, device_id), code)
        if isinstance(outcome, Acceptance):
            return outcome
        raise outcome  # only now: raised in the transaction, it would take the charge back

    def _prove(
        self, db: sqlite3.Connection, device: StoredDevice, code: str
    ) -> Acceptance | VerificationError | Rejected:
        now_s = self._clock.now()
        account, device_id = device.account, device.device_id
        if not device.pending:
            return Rejected(f"{called(device)} is proved already", code="proved", hint="it logs its person in")
        if device.disabled:
            audit.append(db, AuditEntry(now_s, Action.PROVE, account.user, device_id, Outcome.DISABLED, None))
            return Rejected(f"{called(device)} is disabled", code="disabled", hint="an administrator can enable it")
        if (too_soon := attempts.throttled(db, Action.PROVE, account, device_id, now_s)) is not None:
            return too_soon
        verdict = self._verdict(device, code, now_s)
        if verdict.step is None:
            return attempts.charged(db, Action.PROVE, account, device_id, now_s, replayed=verdict.replayed)
        devices.set_proved(db, device)
        return attempts.accepted(db, Action.PROVE, device, verdict.step, now_s)
