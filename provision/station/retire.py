"""Taking a token back: the server first, so that a lost or stolen one stops working at once, then the token itself.

RETIRING is on record before anything is done, and every step asks whether it is done already, so the same call again
finishes what a crash, a pulled cable or an unreachable server left over.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from provision.errors import InputError, UsageError
from provision.families.driver import Session
from provision.model import Capability, PinState, Secret, TokenInfo
from provision.servers.backend import Device, ServerBackend, ServerCapability
from provision.station.job import SeedOrigin
from provision.station.ledger import Entry, Ledger
from provision.station.lock import token_lock
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
) -> Entry:
    """Close both sides of the token at `session`. `wipe`: factory-reset it rather than delete its credential.

    Raises InputError for a token that is not on record, UsageError for the wrong server or for what needs `wipe`.
    """
    info = session.info()
    with token_lock(ledger.locks, info.serial):
        entry = _entry(ledger, info)
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
        if not wipe and _may_be_foreign(session, ledger, entry):
            raise UsageError(
                f"token {info.serial} has a credential {entry.job.credential!r} that is not on record as written here",
                hint="it may be someone else's: find out, or add --wipe to erase the whole token",
            )
        is_due = _is_due(session, info, entry, wipe)
        if is_due:
            _authenticate(session, info, admin_key)  # a wrong key is found out before anything is closed
        if entry.state is not State.RETIRING:
            entry = ledger.advance(entry, State.RETIRING, "taken back")
        observer(RetireStep.RETIRING, f"token {info.serial} of {entry.job.user} is being taken back")
        observer(RetireStep.SERVER_CLOSED, _close_server(server, entry))
        closed = _close_token(session, entry, wipe) if is_due else "nothing of it is on the token"
        observer(RetireStep.TOKEN_CLOSED, closed)
        entry = ledger.finish(entry, State.RETIRED, "wiped" if wipe else "credential deleted")
        observer(RetireStep.RETIRED, "both sides closed")
        return entry


def devices_of(server: ServerBackend, entry: Entry) -> list[Device]:
    """The devices of a job at its server: by the name it gave on record, by serial, or by what the user calls it.

    The id may be missing where a crash fell between registering and writing that down.
    """

    def is_ours(device: Device) -> bool:
        if entry.device_id is not None:
            return device.device_id == entry.device_id
        if entry.job.origin is SeedOrigin.SERVER:
            return (device.user, device.name) == (entry.job.user, entry.job.name)
        return device.serial == entry.serial

    return [device for device in server.list() if is_ours(device)]


def _entry(ledger: Ledger, info: TokenInfo) -> Entry:
    entry = ledger.of_token(info.serial) or ledger.last_of_token(info.serial)
    if entry is None:
        raise InputError(
            f"the ledger {ledger.path} does not know token {info.serial}",
            hint="name the right ledger with --ledger; or close the sides one by one: `provision server delete`, "
            "`provision token wipe`",
        )
    return entry


def _may_be_foreign(session: Session, ledger: Ledger, entry: Entry) -> bool:
    written = any(event.what == State.WRITTEN.value for event in ledger.events(entry.uuid))
    return not written and _is_on_token(session, entry)


def _is_on_token(session: Session, entry: Entry) -> bool:
    return any(credential.name == entry.job.credential for credential in session.credentials())


def _close_server(server: ServerBackend, entry: Entry) -> str:
    devices = devices_of(server, entry)
    for device in devices:
        # Disabled first: if deleting fails, the token's codes are refused nevertheless.
        if ServerCapability.DISABLE in server.capabilities and not device.disabled:
            server.disable(device.device_id)
        server.delete(device.device_id)
    return f"device {devices[0].name!r} deleted at the server" if devices else "the server has no such device"


def _is_due(session: Session, info: TokenInfo, entry: Entry, wipe: bool) -> bool:
    """Whether there is anything left to do on the token."""
    if wipe:
        return not info.factory_keys or info.credentials_used != 0 or info.pin_state is not PinState.UNSET
    return _is_on_token(session, entry)


def _close_token(session: Session, entry: Entry, wipe: bool) -> str:
    if wipe:
        session.factory_reset()
        return "token reset to factory state"
    session.delete(entry.job.credential)
    return f"credential {entry.job.credential!r} deleted on the token"


def _authenticate(session: Session, info: TokenInfo, admin_key: Secret | None) -> None:
    ours = Capability.ADMIN_KEY in info.capabilities and not info.factory_keys
    if ours and admin_key is None:
        raise UsageError(
            f"token {info.serial} obeys the organisation's keys", hint="give the master key with --admin-key-file"
        )
    session.authenticate(admin_key if ours else None)
