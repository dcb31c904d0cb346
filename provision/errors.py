"""What can go wrong, drawn once.

    ProvisionError                     exit code
    +-- UsageError                     2   the request itself makes no sense
    +-- LinkError                      3
    |   +-- NotFound                       no such port, reader or address
    |   +-- Busy                           another process holds it
    |   +-- Timeout                        the token did not answer in time
    |   +-- PermissionDenied               hint: the udev rule
    |   +-- OutcomeUnknown                 the link broke after the command left: it may or may not have happened
    +-- ProtocolError                  1
    |   +-- LocalProtocolError             we misused the protocol
    |   +-- RemoteProtocolError        3   the other side broke it
    +-- TokenError                     4
    |   +-- PinRequired                6
    |   +-- PinIncorrect               6   attempts_remaining
    |   +-- PinBlocked                 6
    |   +-- AdminKeyIncorrect          6   the key is not the token's; attempts_remaining where it counts
    |   +-- StorageFull
    |   +-- NoSuchCredential
    |   +-- TokenRefused                   any other status word: status_word
    |   +-- NotSupported               2   capability
    +-- SeedError                      9
    |   +-- SeedSyntax                     line
    |   +-- SeedAuthentication             wrong passphrase, or the envelope was altered
    |   +-- LossyExport                    fields
    +-- InputError                     9   a file or value that is not what it should be
    +-- ServerError                    5
    |   +-- Unreachable
    |   +-- Rejected                       code: the server's own word for it
    |   +-- AlreadyRegistered
    +-- VerificationError              4
    |   +-- CodeMismatch
    |   +-- CodeReplayed
    |   +-- OutOfWindow                    drift_steps
    |   +-- Throttled                      retry_after_s
    |   +-- Fallback                       until_s: ask the server that was there before
    |   +-- ClockUndisciplined         7
    +-- Quarantined                    10  serial, cause
    +-- LedgerError                    1

State is in attributes, never only in the text. A message says what happened, to which token, and what to do next.
Verification raises; it never returns a bool that someone forgets to look at.
"""

from __future__ import annotations

from collections.abc import Sequence


class ProvisionError(Exception):
    """Base of everything this package raises on purpose.

    `hint` is what the reader should do next, one sentence, or None. `usual_hint`: that of a class whose errors nearly
    all have the same way out.
    """

    exit_code = 1
    usual_hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = self.usual_hint if hint is None else hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(ProvisionError):
    exit_code = 2


class LinkError(ProvisionError):
    exit_code = 3
    usual_hint = "see that the token is plugged in and has power, then run the same command again"


class NotFound(LinkError):
    pass


class Busy(LinkError):
    pass


class Timeout(LinkError):
    pass


class PermissionDenied(LinkError):
    pass


class OutcomeUnknown(LinkError):
    """The link broke after a command had left. Whoever catches this must ask the token before repeating."""

    usual_hint = "reconnect the token and run the same command again: it finds out"


class ProtocolError(ProvisionError):
    pass


class LocalProtocolError(ProtocolError):
    usual_hint = "this is a defect of provision; report it with the output of -v"


class RemoteProtocolError(ProtocolError):
    exit_code = 3
    usual_hint = (
        "see that the address is the token's (`provision list`); if it is, plug the token in directly and try again"
    )


class TokenError(ProvisionError):
    exit_code = 4


class PinRequired(TokenError):
    exit_code = 6


class PinIncorrect(TokenError):
    exit_code = 6

    def __init__(self, message: str, *, attempts_remaining: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.attempts_remaining = attempts_remaining


class PinBlocked(TokenError):
    exit_code = 6


class AdminKeyIncorrect(TokenError):
    """`attempts_remaining`: None where the token counts none, or does not tell."""

    exit_code = 6

    def __init__(self, message: str, *, attempts_remaining: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.attempts_remaining = attempts_remaining


class StorageFull(TokenError):
    pass


class NoSuchCredential(TokenError):
    pass


class TokenRefused(TokenError):
    """A status word that no more precise class names; the number survives."""

    def __init__(self, message: str, *, status_word: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status_word = status_word


class NotSupported(TokenError):
    exit_code = 2

    def __init__(self, message: str, *, capability: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.capability = capability


class SeedError(ProvisionError):
    exit_code = 9


class SeedSyntax(SeedError):
    def __init__(self, message: str, *, line: int | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.line = line


class SeedAuthentication(SeedError):
    pass


class LossyExport(SeedError):
    def __init__(self, message: str, *, fields: Sequence[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.fields = tuple(fields)


class InputError(ProvisionError):
    exit_code = 9


class ServerError(ProvisionError):
    exit_code = 5


class Unreachable(ServerError):
    pass


class Rejected(ServerError):
    def __init__(self, message: str, *, code: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code


class AlreadyRegistered(ServerError):
    pass


class VerificationError(ProvisionError):
    exit_code = 4


class CodeMismatch(VerificationError):
    pass


class CodeReplayed(VerificationError):
    pass


class OutOfWindow(VerificationError):
    """The code is right for a step outside the acceptance window. `drift_steps`: signed, slow is negative."""

    def __init__(self, message: str, *, drift_steps: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.drift_steps = drift_steps


class Throttled(VerificationError):
    def __init__(self, message: str, *, retry_after_s: float | None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class Fallback(VerificationError):
    """Nobody is let in by this: whoever asked must ask the older way in instead. `until_s`: how long that is open for
    this person, Unix seconds."""

    def __init__(self, message: str, *, until_s: float, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.until_s = until_s


class ClockUndisciplined(VerificationError):
    """The station's own clock cannot be trusted to set another."""

    exit_code = 7


class Quarantined(ProvisionError):
    exit_code = 10

    def __init__(self, message: str, *, serial: str, cause: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.serial = serial
        self.cause = cause


class LedgerError(ProvisionError):
    pass
