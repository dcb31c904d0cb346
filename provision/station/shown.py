"""Codes that a token shows and tells no host: a person reads them, and which step they are of is found out here.

Somebody needs a while to read and type, and the token's clock may be wrong, so a code may be of any step between the
one before they were asked and the one in which they were done, by the token's own clock. The right code of one of
these steps proves the seed; a wrong one may be a slip of the finger, so it is asked for again.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from provision.errors import TokenError
from provision.families.driver import Session
from provision.model import OtpParameters, Secret, TokenInfo
from provision.otp import code_at
from provision.station.person import Person
from provision.station.stopwatch import Stopwatch
from provision.station.timing import Residual, residual

_TRIES = 3


@dataclass(frozen=True, slots=True)
class TokenCode:
    """A code and its step. `offset_s`: device minus station time, as near to zero as the exchange leaves possible;
    None if the host gave the time."""

    value: str = field(repr=False)
    step: int
    offset_s: float | None


class WrongCode(Exception):
    """The token gives other codes than its seed should; the message says where that was seen."""


class ShownCodes:
    """The codes of one credential on the screen of one token, whose clock can be read."""

    def __init__(
        self,
        session: Session,
        info: TokenInfo,
        credential: str,
        parameters: OtpParameters,
        person: Person,
        watch: Stopwatch,
    ) -> None:
        self._session = session
        self._info = info
        self._credential = credential
        self._parameters = parameters
        self._person = person
        self._watch = watch

    def right_code(self, secret: Secret, least_step: int) -> TokenCode:
        """One of `least_step` or later, which is waited for. Raises WrongCode after three that are not right."""
        wrong = 0
        old = 0
        said = ""
        while wrong < _TRIES and old < _TRIES:
            clock = residual(self._session.read_clock())
            self._wait_for(least_step, clock)
            begin = self._watch.now()
            value = self._read(f"{said}type the code of {self._credential!r} that token {self._info.serial} shows now")
            code = self._found(value, secret, clock, begin, self._watch.now())
            if code is None:
                wrong += 1
                said = "that is not its code; "
            elif code.step < least_step:
                old += 1
                said = "that is an earlier code; "
            else:
                return code
        if wrong < _TRIES:
            raise step_is_far(self._info, least_step)
        raise WrongCode(f"{_TRIES} wrong codes read from its screen")

    def _read(self, wanted: str) -> str:
        return self._watch.leave_out(lambda: self._person.read_code(wanted))

    def _found(self, value: str, secret: Secret, clock: Residual, begin: float, end: float) -> TokenCode | None:
        """The latest step whose code this is."""
        first = max(self._parameters.step_at(begin + clock.lo_ms / 1e3) - 1, 0)
        last = self._parameters.step_at(end + clock.hi_ms / 1e3)
        for step in range(last, first - 1, -1):
            expected = code_at(secret, self._parameters, step, allow_short_seed=True)
            if hmac.compare_digest(expected.encode("ascii"), value.encode("utf-8", "replace")):
                return TokenCode(value, step, min(max(clock.lo_ms, 0.0), clock.hi_ms) / 1e3)
        return None

    def _wait_for(self, step: int, clock: Residual) -> None:
        """Until the token has certainly reached `step`."""
        start_s = self._parameters.step_start(step) - clock.lo_ms / 1e3
        if self._watch.now() < start_s:
            self._watch.wait_until(start_s)


def step_is_far(info: TokenInfo, step: int) -> TokenError:
    return TokenError(
        f"the clock of token {info.serial} does not reach step {step}",
        hint="its battery may be empty: see `provision info`",
    )
