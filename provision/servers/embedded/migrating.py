"""People move over from an older way in: who is known, until when it is open, and who is sent back to it for a while.

What it means for a person is in servers/ways.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from provision.errors import InputError, Rejected
from provision.servers.backend import Person
from provision.servers.embedded import api_tokens, audit, devices, people
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.core import ServerFile, called
from provision.servers.embedded.devices import Account, StoredDevice
from provision.servers.embedded.names import clean
from provision.servers.ways import Way, old_way_until_s, way_in

MAX_FALLBACK_S = 7 * 86_400  # a support desk helps somebody over a holiday, not for ever
_LATEST_S = 2**40  # as far as clocks of ours reach


class Migrating(ServerFile):
    """A part of EmbeddedServer (backend.py)."""

    def people(self) -> Sequence[Person]:
        """Everybody who is known, by user; only the person who acts, where they act for themselves."""
        with self._storage.snapshot() as db:
            known, cutover_s = people.every(db), people.cutover_s(db)
        now_s = self._clock.now()
        return [
            Person(user, _effective(until_s, cutover_s, now_s))
            for user, until_s in known
            if self._own_only in (None, user)
        ]

    def add_people(self, users: Sequence[str]) -> Sequence[str]:
        """All in one transaction; those who were new. Raises InputError."""
        names = [clean("user", user) for user in users]
        with self._storage.transaction() as db:
            new = [user for user in names if people.add(db, user)]
            for user in new:
                self._note(db, Action.ADD_PERSON, user)
        return new

    def remove_person(self, user: str) -> None:
        """Forget a person, and revoke their API tokens. Raises Rejected (unknown-user, has-devices), InputError."""
        user = clean("user", user)
        with self._storage.transaction() as db:
            account = _known(db, user)
            devices.erase_expired(db, self._clock.now())
            if owned := devices.of_user(db, user):
                raise Rejected(
                    f"{user!r} still has {len(owned)} device{'s' if len(owned) > 1 else ''}",
                    code="has-devices",
                    hint="delete or unassign them first",
                )
            people.remove(db, account)
            api_tokens.revoke_all_of(db, user, self._clock.now())
            self._note(db, Action.REMOVE_PERSON, user)

    def set_fallback(self, user: str, until_s: float | None) -> Person:
        """Send a person to the old way until then, though they have a device; None: no more. What holds now.

        Raises InputError for a time that is past or more than 7 days away, Rejected (unknown-user, no-old-way).
        """
        user, now_s = clean("user", user), self._clock.now()
        with self._storage.transaction() as db:
            account, cutover_s = _known(db, user), people.cutover_s(db)
            if until_s is not None:
                _require_future(until_s, now_s)
                if until_s > now_s + MAX_FALLBACK_S:
                    raise InputError("a fallback lasts 7 days at most", hint="name a time within 7 days")
                if cutover_s is None or cutover_s <= now_s:
                    raise Rejected(
                        "there is no old way to fall back to, or no more",
                        code="no-old-way",
                        hint="an administrator says until when there is one: `provision server cutover`",
                    )
            people.set_fallback(db, account, until_s)
            self._note(db, Action.SET_FALLBACK, user, until_s)
        return Person(user, _effective(until_s, cutover_s, now_s))

    @property
    def cutover_s(self) -> float | None:
        """When the old way closes or closed, Unix seconds; None: there is none."""
        with self._storage.snapshot() as db:
            return people.cutover_s(db)

    def set_cutover(self, at_s: float | None) -> None:
        """Raises InputError for a time that is past; None closes the old way now."""
        if at_s is not None:
            _require_future(at_s, self._clock.now())
        with self._storage.transaction() as db:
            people.set_cutover(db, at_s)
            self._note(db, Action.SET_CUTOVER, None, at_s)

    def _require_way_without(self, db: sqlite3.Connection, device: StoredDevice) -> None:
        """Raises Rejected (locks-out) if its person has no way in without `device`, but has one with it."""
        now_s, cutover_s = self._clock.now(), people.cutover_s(db)
        person = Person(str(device.account.user), device.account.fallback_until_s)
        owned = [one.listed() for one in devices.of_user(db, person.user)]
        left = [one for one in owned if one.device_id != device.device_id]
        ways = [way_in(person, having, cutover_s, now_s) for having in (owned, left)]
        if ways[1] is Way.NONE and ways[0] is not Way.NONE:
            raise Rejected(
                f"{called(device)} is the last way in: without it {person.user!r} is locked out",
                code="locks-out",
                hint="enrol another device first; if it is meant nevertheless, say so",
            )

    def _note(self, db: sqlite3.Connection, action: Action, user: str | None, until_s: float | None = None) -> None:
        audit.append(db, AuditEntry(self._clock.now(), action, user, None, Outcome.DONE, None, until_s=until_s))


def _effective(until_s: float | None, cutover_s: float | None, now_s: float) -> float | None:
    return old_way_until_s(has_device=True, fallback_until_s=until_s, cutover_s=cutover_s, now_s=now_s)


def _known(db: sqlite3.Connection, user: str) -> Account:
    account = devices.person(db, user)
    if account is None:
        raise Rejected(
            f"there is nobody called {user!r}", code="unknown-user", hint="`provision server user list` shows all"
        )
    return account


def _require_future(at_s: float, now_s: float) -> None:
    if not now_s < at_s <= _LATEST_S:
        raise InputError(
            "that time is past" if at_s <= now_s else "that is no time that a clock could show",
            hint=f"it must be later than {now_s:.0f}, the server's now",
        )
