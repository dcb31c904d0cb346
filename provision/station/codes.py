"""Codes of a token that is in use: asking for one, and proving that it is right and that the clock is near enough."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from provision.clock import Clock
from provision.errors import CodeMismatch, NoSuchCredential, OutOfWindow, RemoteProtocolError
from provision.families.driver import Session
from provision.model import ClockReading, Code, CredentialInfo, OathType, OtpParameters, Secret, TokenInfo
from provision.otp import code_at
from provision.station.person import Person
from provision.station.shown import ShownCodes, WrongCode
from provision.station.stopwatch import Stopwatch
from provision.station.timing import Residual, residual


@dataclass(frozen=True, slots=True)
class CodeNow:
    """A code and what it was made of. `counter`: HOTP's counter or TOTP's step. `offset`: device minus station, None
    where the station gave the time or a counter did."""

    code: Code = field(repr=False)
    counter: int
    offset: Residual | None


def find(session: Session, name: str, serial: str) -> CredentialInfo:
    """The credential of that name. Raises NoSuchCredential."""
    for credential in session.credentials():
        if credential.name == name:
            return credential
    raise NoSuchCredential(
        f"token {serial} has no credential {name!r}", hint="`provision token credentials` lists them"
    )


def code_now(session: Session, credential: CredentialInfo, clock: Clock) -> CodeNow:
    """A code of `credential` for this moment. What it demands (PIN, touch) is the caller's to arrange."""
    parameters = credential.parameters
    if parameters.oath_type is OathType.HOTP:
        return CodeNow(session.calculate(credential.name), parameters.counter, None)
    sent_s = clock.now()
    if not credential.own_clock:
        step = parameters.step_at(sent_s)
        return CodeNow(session.calculate(credential.name, step=step), step, None)
    code = session.calculate(credential.name)
    received_s = clock.now()
    if code.device_s is None:
        raise RemoteProtocolError(f"the token gave a code of {credential.name!r} by its own clock without the time")
    offset = residual(ClockReading(code.device_s, sent_s, received_s))
    return CodeNow(code, parameters.step_at(code.device_s), offset)


def verify(credential: CredentialInfo, now: CodeNow, serial: str, *, tolerance_s: float, seed: Secret | None) -> None:
    """Raises CodeMismatch for a code that is not the one of `seed` (not even a code, if no seed is known), OutOfWindow
    for a clock that is certainly more than `tolerance_s` off."""
    parameters = credential.parameters
    value = now.code.value
    if len(value) != parameters.digits or not (value.isascii() and value.isdigit()):
        raise CodeMismatch(f"token {serial} answered for {credential.name!r} with something that is no code")
    if seed is not None:
        expected = code_at(seed, parameters, now.counter, allow_short_seed=True)
        if not hmac.compare_digest(expected.encode("ascii"), value.encode("ascii")):
            raise CodeMismatch(
                f"token {serial} gives another code for {credential.name!r} than this seed does",
                hint="it has another seed, or other parameters: compare `provision token credentials`",
            )
    if now.offset is not None:
        _require_near(now.offset, parameters, serial, tolerance_s)


def verify_shown(
    session: Session,
    info: TokenInfo,
    credential: CredentialInfo,
    person: Person,
    clock: Clock,
    *,
    tolerance_s: float,
    seed: Secret | None,
) -> Residual:
    """The same for a token that shows its codes to people only: its clock is read, and a code only if there is a seed
    to compare it with. How far off the clock is. Raises CodeMismatch, OutOfWindow."""
    parameters = credential.parameters
    if seed is not None:
        try:
            ShownCodes(session, info, credential.name, parameters, person, Stopwatch(clock)).right_code(seed, 0)
        except WrongCode as wrong:
            raise CodeMismatch(
                f"token {info.serial} shows other codes for {credential.name!r} than this seed has: {wrong}",
                hint="it has another seed, or other parameters",
            ) from None
    offset = residual(session.read_clock())
    _require_near(offset, parameters, info.serial, tolerance_s)
    return offset


def _require_near(offset: Residual, parameters: OtpParameters, serial: str, tolerance_s: float) -> None:
    if offset.hi_ms < -tolerance_s * 1e3 or offset.lo_ms > tolerance_s * 1e3:
        offset_s = (offset.lo_ms + offset.hi_ms) / 2e3
        raise OutOfWindow(
            f"the clock of token {serial} is {offset_s:+.1f} s off, more than {tolerance_s:g} s",
            drift_steps=round(offset_s / parameters.time_step_s),
            hint="set it with `provision token set-time`",
        )
