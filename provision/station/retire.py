"""Taking a token back: the server first, so that a lost or stolen one stops working at once, then the token itself.

RETIRING is on record before anything is done, and every step asks whether it is done already, so the same call again
finishes what a crash, a pulled cable or an unreachable server left over.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from provision.errors import InputError, TokenError, UsageError
from provision.families.driver import Session
from provision.model import Capability, PinState, Secret, TokenInfo
from provision.servers.backend import Device, ServerBackend, ServerCapability, folded
from provision.station import keys
from provision.station.job import SeedOrigin
from provision.station.ledger import Entry, Ledger
from provision.station.lock import token_lock
from provision.station.person import NOBODY, Person
from provision.station.states import State


@enum.unique
class RetireStep(enum.Enum):
    RETIRING = "RETIRING"  # on record
    SERVER_CLOSED = "SERVER_CLOSED"  # the server knows the device no longer
    TOKEN_CLOSED = "TOKEN_CLOSED"  # noqa: S105  # a step's name: the token holds the seed no longer
    RETIRED = "RETIRED"  # on record, the sealed seed destroyed


RetireObserver = Callable[[RetireStep, str], None]  # called after each step, with one sentence


def retire(
    *,
    session: Session,
    ledger: Ledger,
    server: ServerBackend,
    server_address: str,
    admin_key: Secret | None,
    wipe: bool,
    observer: RetireObserver,
    person: Person = NOBODY,
) -> Entry:
    """Close both sides of the token at `session`. `wipe`: factory-reset it rather than delete its credential.

    Raises InputError for a token that is not on record, UsageError for the wrong server or for what needs `wipe`.
    """
    info = session.info()
    with token_lock(ledger.locks, info.serial):
        entry = on_record(ledger, info)
        if entry.state is State.RETIRED:
            observer(RetireStep.RETIRED, f"token {info.serial} was retired already")
            return entry
        if entry.job.server != server_address:
            raise UsageError(
                f"token {info.serial} is registered at {entry.job.server}, not at {server_address}",
                hint="give that address as --server",
            )
        if entry.state is State.QUARANTINED and not wipe:
            raise UsageError(
                f"token {info.serial} is in quarantine ({entry.cause}): its credential may be someone else's",
                hint="add --wipe to erase the whole token",
            )
        token = TokenSide(session, info, ledger, entry, admin_key, person)
        entry = close_both(token, ledger, server, entry, observer, wipe=wipe, why="taken back")
        entry = ledger.finish(entry, State.RETIRED, "wiped" if wipe else "credential deleted")
        observer(RetireStep.RETIRED, "both sides closed")
        return entry


def close_both(
    token: TokenSide,
    ledger: Ledger,
    server: ServerBackend,
    entry: Entry,
    observer: RetireObserver,
    *,
    wipe: bool,
    why: str,
) -> Entry:
    """RETIRING, with nothing left of the job at its server and on its token. Every step finds out what is done.

    Raises UsageError for a token that may hold something else.
    """
    if token.info.is_read_locked:
        token.authenticate(wipe=wipe)  # or it would not tell what it holds
    if not wipe and token.may_hold_anothers():
        raise UsageError(
            f"token {entry.serial} has a credential {entry.job.credential!r} that is not on record as written here",
            hint="`provision ledger resume` tells whether an interrupted job wrote it, and goes on with that; "
            "or add --wipe to erase the whole token",
        )
    is_due = token.is_due(wipe=wipe)
    if is_due and not token.info.is_read_locked:
        token.authenticate(wipe=wipe)  # a wrong key is found out before anything is closed
    if entry.state is not State.RETIRING:
        entry = ledger.advance(entry, State.RETIRING, why)
    observer(RetireStep.RETIRING, f"token {entry.serial} of {entry.job.user} is being {why}")
    observer(RetireStep.SERVER_CLOSED, _close_server(server, entry))
    observer(RetireStep.TOKEN_CLOSED, token.close(wipe=wipe) if is_due else token.left())
    return entry


def devices_of(server: ServerBackend, entry: Entry) -> list[Device]:
    """The devices of a job at its server: by the name it gave on record, by serial, or by what the user calls it.

    The id may be missing where a crash fell between registering and writing that down.
    """

    def is_ours(device: Device) -> bool:
        if entry.device_id is not None:
            return device.device_id == entry.device_id
        if entry.job.origin is SeedOrigin.SERVER:
            return device.user == entry.job.user and folded(device.name) == folded(entry.job.name)
        return device.serial == entry.serial

    return [device for device in server.list() if is_ours(device)]


def on_record(ledger: Ledger, info: TokenInfo) -> Entry:
    """The token's job, or its last one. Raises InputError if it never had any."""
    entry = ledger.of_token(info.serial) or ledger.last_of_token(info.serial)
    if entry is None:
        raise InputError(
            f"the ledger {ledger.path} does not know token {info.serial}",
            hint="name the right ledger with --ledger; or close the sides one by one: `provision server delete`, "
            "`provision token wipe`",
        )
    return entry


def reset(session: Session, info: TokenInfo, person: Person, ledger: Ledger | None) -> None:
    """The token is as it left the factory. Raises TokenError where a button was to be pressed, and was not."""
    session.factory_reset()
    if Capability.BUTTON_CONFIRMS in info.capabilities:
        person.press_button(f"press the button of token {info.serial}: it erases everything")
        if session.credentials():
            raise TokenError(
                f"token {info.serial} was not reset: its button was not pressed in time",
                hint="run the same command again, and press it when asked",
            )
    if info.factory_keys is None and ledger is not None:
        keys.put_factory_on_record(info, ledger)


def _close_server(server: ServerBackend, entry: Entry) -> str:
    devices = devices_of(server, entry)
    for device in devices:
        # Disabled first: if deleting fails, the token's codes are refused nevertheless.
        if ServerCapability.DISABLE in server.capabilities and not device.disabled:
            server.disable(device.device_id)
        server.delete(device.device_id)
    return f"device {devices[0].name!r} deleted at the server" if devices else "the server has no such device"


@dataclass(frozen=True, slots=True)
class TokenSide:
    """What is to be undone on the token of a job."""

    _session: Session
    info: TokenInfo
    _ledger: Ledger
    _entry: Entry
    _admin_key: Secret | None
    _person: Person

    def may_hold_anothers(self) -> bool:
        return Capability.LIST in self.info.capabilities and not self._reached(State.WRITTEN) and self._is_listed()

    def is_due(self, *, wipe: bool) -> bool:
        """Whether there is anything left to do. A token that does not tell what it holds may hold a seed of ours from
        the moment on at which there was one."""
        info = self.info
        if wipe:
            return not info.factory_keys or info.credentials_used != 0 or info.pin_state is not PinState.UNSET
        return self._is_listed() if Capability.LIST in info.capabilities else self._reached(State.SEALED)

    def authenticate(self, *, wipe: bool) -> None:
        """Raises UsageError, AdminKeyIncorrect."""
        if wipe and Capability.KEYLESS_RESET in self.info.capabilities:
            return
        keys.authenticate(self._session, self.info, self._ledger, admin_key=self._admin_key, token_key=None)

    def close(self, *, wipe: bool) -> str:
        """What was done."""
        if not wipe:
            self._session.delete(self._entry.job.credential)
            return f"credential {self._entry.job.credential!r} deleted on the token"
        if Capability.FACTORY_RESET not in self.info.capabilities:
            self._session.reset()
            return "token emptied"
        reset(self._session, self.info, self._person, self._ledger)
        return "token reset to factory state"

    def left(self) -> str:
        """What to say where nothing is to be done: a credential that was renamed is not found by its name."""
        others = []
        if Capability.LIST in self.info.capabilities and self._reached(State.WRITTEN):
            others = sorted(credential.name for credential in self._session.credentials())
        if not others:
            return "nothing of it is on the token"
        return (
            f"no {self._entry.job.credential!r} on the token, which still holds {', '.join(map(repr, others))}: "
            "if one of them is it, renamed, `provision token delete` ends it"
        )

    def _is_listed(self) -> bool:
        return any(credential.name == self._entry.job.credential for credential in self._session.credentials())

    def _reached(self, state: State) -> bool:
        return any(event.what == state.value for event in self._ledger.events(self._entry.uuid))
