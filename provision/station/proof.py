"""Proving a token by its codes: each equals the one computed here, at the step of the time that the token used.

Most families give their codes over the wire; where one shows them on a screen only, a person types them (shown.py).
"""

from __future__ import annotations

import hmac

from provision.errors import OutOfWindow, Quarantined, TokenError
from provision.families.driver import Session
from provision.model import Capability, ClockKind, Secret, TokenInfo
from provision.otp import code_at
from provision.station.job import Job
from provision.station.person import Person
from provision.station.shown import ShownCodes, TokenCode, WrongCode, step_is_far
from provision.station.stopwatch import Stopwatch

TOLERANCE_S = 2.0  # a clock just set is some ms off; more than this and it does not keep what it was given
_TRIES = 3  # for a later step: one wait is enough for a clock that runs at all


class CodeProof:
    """The codes of one credential on one token. The PIN, where the job has one, is presented once, when it is first
    needed; `pin` is given before that."""

    def __init__(self, session: Session, info: TokenInfo, job: Job, watch: Stopwatch, person: Person) -> None:
        self._session = session
        self._info = info
        self._job = job
        self._watch = watch
        self._shown = ShownCodes(session, info, job.credential, job.parameters, person, watch)
        self._pin_is_due = job.pin
        self.pin: Secret | None = None
        self._proven: TokenCode | None = None

    def prove(self, secret: Secret, *, least_step: int = 0) -> TokenCode:
        """A right code of `least_step` or later. Waits for that step if need be, and gives the last code again if it
        will do, so that a touch is demanded once. Raises Quarantined for a wrong code, OutOfWindow for a wrong clock.
        """
        if self._proven is None or self._proven.step < least_step:
            try:
                code = self._right_code(secret, least_step)
            except WrongCode as wrong:
                raise Quarantined(
                    f"token {self._info.serial} gives another code than its seed should",
                    serial=self._info.serial,
                    cause=str(wrong),
                    hint="keep it apart; `provision token retire --wipe` frees it",
                ) from None
            self._require_right_clock(code)
            self._proven = code
        return self._proven

    def two_codes_match(self, secret: Secret) -> bool:
        """Whether two consecutive codes are those of `secret`: how a family without check value tells its seed."""
        try:
            first = self._right_code(secret, 0)
            if self._info.clock_kind is ClockKind.NONE:
                self._require_right(self._host_timed(first.step - 1), secret)  # the host's time: nobody waits for it
            else:
                self._right_code(secret, first.step + 1)
        except WrongCode:
            return False
        return True

    def _right_code(self, secret: Secret, least_step: int) -> TokenCode:
        """Raises WrongCode."""
        if Capability.CODE_READ not in self._info.capabilities:
            return self._shown.right_code(secret, least_step)
        code = self._calculate(least_step)
        self._require_right(code, secret)
        return code

    def _require_right(self, code: TokenCode, secret: Secret) -> None:
        # A short seed was allowed, or refused, when the job was made.
        expected = code_at(secret, self._job.parameters, code.step, allow_short_seed=True)
        if not hmac.compare_digest(expected.encode("ascii"), code.value.encode("utf-8", "replace")):
            raise WrongCode(f"wrong code at step {code.step}")

    def _require_right_clock(self, code: TokenCode) -> None:
        if code.offset_s is not None and abs(code.offset_s) > TOLERANCE_S:
            raise OutOfWindow(
                f"the clock of token {self._info.serial} is {code.offset_s:+.1f} s from station time though it was set",
                drift_steps=code.step - self._now_step(),
                hint="run the same command again; if it stays so, the token's clock is broken",
            )

    def _calculate(self, least_step: int) -> TokenCode:
        """The token's code, of `least_step` or later."""
        if self._pin_is_due:
            assert self.pin is not None, "whoever wants codes of a credential with PIN brings it"
            self._session.verify_pin(self.pin)
            self._pin_is_due = False
        for _ in range(_TRIES):
            code = self._host_timed(self._now_step()) if self._info.clock_kind is ClockKind.NONE else self._self_timed()
            if code.step >= least_step:
                return code
            # The step begins when the token's clock says so; a hundredth more for what rounding took.
            self._watch.wait_until(self._job.parameters.step_start(least_step) - (code.offset_s or 0.0) + 0.01)
        raise step_is_far(self._info, least_step)

    def _now_step(self) -> int:
        return self._job.parameters.step_at(self._watch.now())

    def _host_timed(self, step: int) -> TokenCode:
        return TokenCode(self._session.calculate(self._job.credential, step=step).value, step, None)

    def _self_timed(self) -> TokenCode:
        sent_s = self._watch.now()
        code = self._session.calculate(self._job.credential)
        if code.device_s is None:
            raise TokenError(
                f"token {self._info.serial} does not tell which time its code is for",
                hint="its credential was not written by this tool",
            )
        latest, earliest = code.device_s - sent_s, code.device_s - self._watch.now()
        offset_s = min(max(earliest, 0.0), latest)
        return TokenCode(code.value, self._job.parameters.step_at(code.device_s), offset_s)
