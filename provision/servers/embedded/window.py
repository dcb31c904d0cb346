"""Which step a code belongs to, and whether that step may still be used. Pure: no clock, no storage, no secret.

TOTP (RFC 6238) and HOTP (RFC 4226) differ only in what is expected next, so one Window serves both. Whoever asks hands
in `code_at`, which tells the code of a step. Every step of a window is computed and compared, in constant time, whether
or not an earlier one matched: how long an answer takes tells no more than the answer, and not which step was right.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from provision.model import OathType, OtpParameters
from provision.servers.embedded.policy import Policy

CodeAt = Callable[[int], str]

_RECALL_STEPS = 3  # how far behind the window a used code is still recognised as used, for the support desk's sake
_HOTP_RESYNC_BACK = 100  # likewise for resynchronisation by HOTP, where nothing behind can be accepted


@dataclass(frozen=True, slots=True)
class Window:
    """Steps `first`..`last`, both included, of which only those after `last_step` may be accepted.

    The `recall` steps before `first`, and `last_step` itself, are looked at only to tell a replay from a mistake.
    """

    first: int
    last: int
    last_step: int | None
    recall: int = 0

    def is_fresh(self, step: int) -> bool:
        return self.first <= step <= self.last and not self.is_spent(step)

    def is_spent(self, step: int) -> bool:
        return self.last_step is not None and step <= self.last_step

    def steps(self) -> range:
        """The steps of the window, none negative."""
        return range(max(0, self.first), self.last + 1)

    def recalled(self) -> set[int]:
        """The steps outside the window that a used code may belong to, none negative."""
        steps = set(range(max(0, self.first - self.recall), max(0, self.first)))
        if self.last_step is not None:
            steps.add(self.last_step)
        return steps


@dataclass(frozen=True, slots=True)
class Verdict:
    """`step`: the step to accept, or None. `replayed`: the code was right for a step that is spent."""

    step: int | None
    replayed: bool = False


def expected_step(parameters: OtpParameters, *, now_s: float, drift_steps: int, last_step: int | None) -> int:
    """The step whose code is most likely to come next. `now_s`: Unix seconds."""
    if parameters.oath_type is OathType.TOTP:
        return parameters.step_at(now_s) + drift_steps
    return parameters.counter if last_step is None else max(parameters.counter, last_step + 1)


def login_window(parameters: OtpParameters, policy: Policy, expected: int, last_step: int | None) -> Window:
    """Where one code is looked for."""
    if parameters.oath_type is OathType.TOTP:
        return Window(expected - policy.back_steps, expected + policy.forward_steps, last_step, _RECALL_STEPS)
    return Window(expected, expected + policy.look_ahead, last_step, _RECALL_STEPS)


def resync_window(parameters: OtpParameters, policy: Policy, expected: int, last_step: int | None) -> Window:
    """Where two consecutive codes are looked for."""
    if parameters.oath_type is OathType.TOTP:
        return Window(expected - policy.resync_steps, expected + policy.resync_steps, last_step)
    return Window(expected - _HOTP_RESYNC_BACK, expected + policy.resync_look_ahead, last_step)


def judge(window: Window, code: str, code_at: CodeAt) -> Verdict:
    """Judge one code.

    Should two fresh steps share it (once in a million), the later is taken, so that the same digits cannot be used
    a second time for it.
    """
    given = _comparable(code)

    def matches(steps: Iterable[int]) -> list[int]:
        return [step for step in steps if hmac.compare_digest(_comparable(code_at(step)), given)]

    inside = matches(window.steps())
    fresh = [step for step in inside if window.is_fresh(step)]
    if fresh:
        return Verdict(max(fresh))
    return Verdict(None, replayed=any(map(window.is_spent, inside + matches(window.recalled()))))


def judge_pair(window: Window, first: str, second: str, code_at: CodeAt) -> Verdict:
    """Judge two consecutive codes (RFC 4226 section 7.4); the verdict's step is the second's.

    Both must be fresh. Two places that fit are no answer: the caller is asked for other codes.
    """
    one, two = _comparable(first), _comparable(second)
    steps = window.steps()
    codes = [_comparable(code_at(step)) for step in steps]
    is_first = [hmac.compare_digest(code, one) for code in codes]
    is_second = [hmac.compare_digest(code, two) for code in codes]
    matches = [step for step, here, there in zip(steps, is_first, is_second[1:], strict=False) if here and there]
    fresh = [step for step in matches if window.is_fresh(step)]
    return Verdict(fresh[0] + 1 if len(fresh) == 1 else None, replayed=not fresh and any(map(window.is_spent, matches)))


def _comparable(code: str) -> bytes:
    """compare_digest wants bytes, or text in ASCII only, which what people type need not be."""
    return code.encode("utf-8", "surrogatepass")
