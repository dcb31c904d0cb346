"""Whose keys a token obeys: it says so itself or, where it does not, the ledger knows what was done to it.

A token may hold a key of ours from an earlier job, so what counts is the last word on its serial in all its jobs.
A word that nobody has proved is a guess: the token's refusal turns it round, so that the next run presents the other
key, and no key is presented again and again until the token locks itself.
"""

from __future__ import annotations

from provision.errors import AdminKeyIncorrect, UsageError
from provision.families.driver import Session
from provision.model import Capability, Secret, TokenInfo
from provision.station.ledger import Ledger
from provision.station.person import Person
from provision.station.states import State

CHANGING = "keys-changing"  # on record before the token is asked to take the organisation's key
UNCHANGED = "keys-unchanged"  # it did not
FACTORY = "keys-factory"  # a factory reset has brought the published key back

_OURS = frozenset({CHANGING, State.KEYS_CHANGED.value})
_THEIRS = frozenset({UNCHANGED, FACTORY})
_SPARE_TRIES = 6  # of the eight that such tokens have: two runs under a wrong master key leave five
_GUESSES = frozenset({CHANGING, UNCHANGED, FACTORY})  # what only a press of the token's button makes true


def are_ours(info: TokenInfo, ledger: Ledger) -> bool:
    """Whether the token obeys the organisation's keys, as far as is known. After a crash in the middle of the change it
    may obey the other ones: presenting ours then costs a try, which the next right key gives back."""
    if Capability.ADMIN_KEY not in info.capabilities:
        return False
    if info.factory_keys is not None:
        return not info.factory_keys
    return _last_word(info, ledger) in _OURS


def authenticate(
    session: Session, info: TokenInfo, ledger: Ledger, *, admin_key: Secret | None, token_key: Secret | None
) -> bool:
    """Become the administrator: under the organisation's keys if the token obeys them, else with its own key if one is
    given, else under the factory's. Whether it obeys the organisation's. No key is presented twice, and to a token that
    counts tries only one; two to one that nobody knows anything of and that has tries to spare, for
    `token set-admin-key` may have been there before the first job.

    Raises UsageError without a master key where it is due, AdminKeyIncorrect if the token obeys others.
    """
    ours = are_ours(info, ledger)
    if ours and admin_key is None:
        raise UsageError(
            f"token {info.serial} obeys the organisation's keys", hint="give the master key with --admin-key-file"
        )
    if ours and info.factory_keys is False and token_key is not None and _is_own(session, token_key):
        return False
    try:
        if not ours and token_key is not None:
            session.authenticate_own(token_key)
        else:
            session.authenticate(admin_key if ours else None)
    except AdminKeyIncorrect as error:
        if not error.attempts_remaining or info.factory_keys is not None:
            raise
        word = _last_word(info, ledger)
        if word in _GUESSES:
            error.hint = _turn_round(info, ledger, was_ours=ours)
        has_spare = error.attempts_remaining >= _SPARE_TRIES
        if word is None and token_key is None and admin_key is not None and has_spare:
            session.authenticate(admin_key)
            return True
        raise
    return ours


def _is_own(session: Session, token_key: Secret) -> bool:
    """A token that tells that it has left its factory keys does not tell for whose, and counts no tries."""
    try:
        session.authenticate_own(token_key)
    except AdminKeyIncorrect:
        return False
    return True


def take_over(session: Session, info: TokenInfo, new: Secret, person: Person) -> None:
    """The token obeys the organisation's key `new` from here on, and has proved it. Raises AdminKeyIncorrect."""
    session.change_admin_key(new)
    if Capability.BUTTON_CONFIRMS not in info.capabilities:
        session.authenticate(new)
        return
    person.press_button(f"press the button of token {info.serial}: it takes its new key")
    try:
        session.authenticate(new)
    except AdminKeyIncorrect as error:
        if error.attempts_remaining:
            error.hint = "its button was not pressed in time: run the same command again, and press it when asked"
        raise


def put_factory_on_record(info: TokenInfo, ledger: Ledger) -> None:
    """After a factory reset. Nothing for a token that never had a job: it is taken to have the published key."""
    if (entry := ledger.last_of_token(info.serial)) is not None:
        ledger.remark(entry, FACTORY, "a factory reset has brought the published key back")


def _turn_round(info: TokenInfo, ledger: Ledger, *, was_ours: bool) -> str:
    """Put on record that it may be the other key; what to do next."""
    entry = ledger.last_of_token(info.serial)
    assert entry is not None, "a job has left the word that was wrong"
    if was_ours:
        ledger.remark(entry, UNCHANGED, "the token refused the organisation's key")
        other = "it may never have taken the organisation's key: the same command again presents the one it had before"
    else:
        ledger.remark(entry, CHANGING, "the token refused the key that it had before")
        other = "it may have taken the organisation's key after all: the same command again presents that one"
    return f"{other}; with no try left the token locks itself"


def _last_word(info: TokenInfo, ledger: Ledger) -> str | None:
    words = [event.what for event in ledger.history(info.serial) if event.what in _OURS | _THEIRS]
    return words[-1] if words else None
