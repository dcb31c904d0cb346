"""Whose keys a token obeys: it says so itself or, where it does not, the ledger knows what was done to it.

A token may hold a key of ours from an earlier job, so what counts is the last word on its serial in all its jobs.
"""

from __future__ import annotations

from provision.errors import UsageError
from provision.families.driver import Session
from provision.model import Capability, Secret, TokenInfo
from provision.station.ledger import Ledger
from provision.station.states import State

CHANGING = "keys-changing"  # on record before the token is asked to take the organisation's key
UNCHANGED = "keys-unchanged"  # it did not
FACTORY = "keys-factory"  # a factory reset has brought the published key back

_OURS = frozenset({CHANGING, State.KEYS_CHANGED.value})
_THEIRS = frozenset({UNCHANGED, FACTORY})


def are_ours(info: TokenInfo, ledger: Ledger) -> bool:
    """Whether the token obeys the organisation's keys, or may: see `are_in_doubt`."""
    if Capability.ADMIN_KEY not in info.capabilities:
        return False
    if info.factory_keys is not None:
        return not info.factory_keys
    return _last_word(info, ledger) in _OURS


def are_in_doubt(info: TokenInfo, ledger: Ledger) -> bool:
    """Whether a crash fell into the change of its keys. Ours are presented then; if they are wrong, that costs a try,
    which the next right key gives back, and is a word on record: the other key is due next."""
    return info.factory_keys is None and _last_word(info, ledger) == CHANGING


def _last_word(info: TokenInfo, ledger: Ledger) -> str | None:
    words = [event.what for event in ledger.history(info.serial) if event.what in _OURS | _THEIRS]
    return words[-1] if words else None


def authenticate(
    session: Session, info: TokenInfo, *, ours: bool, admin_key: Secret | None, token_key: Secret | None
) -> None:
    """Become the administrator: under the organisation's keys if the token obeys them, else with its own key if one is
    given, else under the factory's. Each call presents one key, once.

    Raises UsageError without a master key where it is due, AdminKeyIncorrect if the token obeys others.
    """
    if ours and admin_key is None:
        raise UsageError(
            f"token {info.serial} obeys the organisation's keys", hint="give the master key with --admin-key-file"
        )
    if not ours and token_key is not None:
        session.authenticate_own(token_key)
    else:
        session.authenticate(admin_key if ours else None)
