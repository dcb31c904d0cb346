"""What a status word means, in words: which token, what it would not do, why, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping

from provision.errors import (
    NoSuchCredential,
    PinBlocked,
    PinIncorrect,
    PinRequired,
    ProvisionError,
    RemoteProtocolError,
    StorageFull,
    TokenRefused,
)
from provision.wire.apdu import Sw

Reasons = Mapping[int, tuple[str, str]]
"""Status word -> (why, what to do), where a command gives a word its own meaning."""

_GENERAL: Reasons = {
    Sw.MEMORY_FAILURE: ("its memory failed; nothing was changed", "try once more, then replace the token"),
    Sw.CONDITIONS_NOT_SATISFIED: ("it is not in the right state", "look at `provision info`"),
    Sw.WRONG_DATA: ("it found a value malformed", "correct the value"),
    Sw.INS_NOT_SUPPORTED: ("it does not know that command", "look at its firmware with `provision info`"),
    Sw.INTERNAL_ERROR: ("of a fault inside", "unplug it, plug it in and try again"),
}


def refusal(status_word: int, who: str, what: str, reasons: Reasons | None = None) -> ProvisionError:
    """The error to raise for `status_word` when the token `who` was asked to `what` (a verb phrase)."""
    if reasons and status_word in reasons:
        why, hint = reasons[status_word]
        return TokenRefused(f"{who} did not {what}: {why}", status_word=status_word, hint=hint)
    if status_word & 0xFFF0 == Sw.PIN_INCORRECT:
        return _pin_incorrect(who, status_word & 0x0F)
    if status_word == Sw.AUTHENTICATION_BLOCKED:
        return PinBlocked(
            f"the PIN of {who} is blocked", hint="an administrator can give it back: `provision token unblock`"
        )
    if status_word == Sw.SECURITY_STATUS_NOT_SATISFIED:
        return PinRequired(f"{who} did not {what}: it wants its PIN first", hint="give the PIN")
    if status_word == Sw.NO_SUCH_OBJECT:
        return NoSuchCredential(
            f"{who} did not {what}: it has none of that name", hint="`provision token credentials` lists them"
        )
    if status_word == Sw.NO_SPACE:
        return StorageFull(
            f"{who} did not {what}: it is full", hint="delete a credential first: `provision token delete`"
        )
    if status_word == Sw.INCORRECT_SM_DATA:
        return RemoteProtocolError(
            f"{who} did not {what}: the command reached it altered", hint="check the cable and try again"
        )
    why, hint = _GENERAL.get(status_word, (f"status word {status_word:04X}", "look the number up in docs/PROTOCOL.md"))
    return TokenRefused(f"{who} did not {what}: {why}", status_word=status_word, hint=hint)


def _pin_incorrect(who: str, attempts: int) -> ProvisionError:
    left = f"{attempts} attempt{'' if attempts == 1 else 's'} left"
    hint = "the next wrong PIN blocks the token" if attempts == 1 else "type the PIN again with care"
    if not attempts:
        hint = "the PIN is blocked now; an administrator can give it back: `provision token unblock`"
    return PinIncorrect(f"wrong PIN for {who}: {left}", attempts_remaining=attempts, hint=hint)
