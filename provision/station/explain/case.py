"""What goes in, and what comes out."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from provision.drift.estimate import Estimate, Interval, Model
from provision.drift.history import Allowance
from provision.drift.observation import PPM, Observation
from provision.drift.outlook import Outlook
from provision.servers.backend import Attempt, AttemptOutcome, Device
from provision.station.desk import Asked, Fit, Login

LATELY_S = 7 * 86_400  # how far back logins, accepted and refused, are looked at
# What a quartz does in its first years, and a prediction over a drawer's time has to allow for (facts: 3 ppm at most).
AGEING_PPM_PER_YEAR = Fraction(5)
# From a code's appearing to the desk's key: seen, said over the telephone, pressed.
_SAYING_SO_S = 5


@enum.unique
class Certainty(enum.Enum):
    CERTAIN = "certain"  # nothing else that is known explains what was seen
    LIKELY = "likely"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Case:
    """`person`: the user name. `owned`: their devices. `meant`: those that the question is about. `asked`: None without
    codes. `attempts`: everybody's, lately. `server_ahead_s`: of the station's clock, None where both are one.
    `fallback_until_s`: until when the person is sent to the old way."""

    person: str | None
    owned: Sequence[Device]
    meant: Sequence[Device]
    asked: Asked | None
    attempts: Sequence[Attempt]
    now_s: float
    window_steps: tuple[int, int]
    follows: bool
    allowance: Allowance
    server_ahead_s: Interval | None
    fallback_until_s: float | None

    def refusals(self) -> list[Attempt]:
        """Of this person, since the last login that was accepted."""
        mine = [attempt for attempt in self.attempts if attempt.user == self.person]
        for number, attempt in enumerate(reversed(mine)):
            if attempt.outcome is AttemptOutcome.ACCEPTED:
                return mine[len(mine) - number :]
        return mine


@dataclass(frozen=True, slots=True)
class Explanation:
    """`cause`: for programs. `what`: one sentence. `since_s`: between when and when it began, None where nothing tells.
    `offset_s`, `rate_error_ppm`: bounds of the token's clock now. `odds`: how many wrong answers of this kind were to
    be expected by chance. `unknown`: what nobody could look at, or what would decide."""

    cause: str
    certainty: Certainty
    what: str
    device: Device | None = None
    evidence: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    since_s: tuple[float, float] | None = None
    offset_s: Interval | None = None
    rate_error_ppm: Interval | None = None
    odds: Fraction | None = None
    ahead: Outlook | None = None
    now: str = ""
    for_good: str = ""

    def named(
        self,
        cause: str,
        what: str,
        certainty: Certainty = Certainty.CERTAIN,
        *,
        since_s: tuple[float, float] | None = None,
    ) -> Explanation:
        """The same, decided."""
        return replace(self, cause=cause, what=what, certainty=certainty, since_s=since_s or self.since_s)

    def without(self, excluded: str) -> Explanation:
        """The same, with something excluded."""
        return replace(self, excluded=(*self.excluded, excluded))

    def left_open(self, unknown: str) -> Explanation:
        """The same, with what nobody could look at, or would decide."""
        return replace(self, unknown=(*self.unknown, unknown))


def model_for(device: Device, logins: Sequence[Login], allowance: Allowance) -> Model:
    """What is taken for granted of a token's clock."""
    tref_s = logins[0][0] if logins else Fraction(device.registered_s)
    return Model(
        Fraction(int(tref_s)),
        wander_s=allowance.wander_s,
        ageing_ppm_per_year_max=max(allowance.ageing_ppm_per_year_max, AGEING_PPM_PER_YEAR),
    )


def observation(device: Device, login: Login, allowance: Allowance) -> Observation:
    return Observation.of_code(
        received_s=login[0],
        step=login[1],
        time_step_s=device.parameters.time_step_s,
        t0_s=device.parameters.t0_s,
        delay_s=allowance.delay_s,
        server_error_s=allowance.server_error_s,
    )


def observation_of_asked(device: Device, asked: Asked, fit: Fit, allowance: Allowance) -> Observation:
    """What the codes that were read out say of the clock; the appearing of the first one says most, unless the last
    one came too soon after it: then somebody pressed a key and saw nothing change."""
    read = observation(device, (Fraction(asked.at_s), fit.step), allowance)
    if asked.changed_s is None:
        return read
    changed_s, first = Fraction(asked.changed_s), fit.step - len(asked.codes) + 1
    appeared = Observation.of_edge(
        before_s=changed_s - _SAYING_SO_S - allowance.server_error_s,
        after_s=changed_s + allowance.server_error_s,
        device_s=Fraction(device.parameters.step_start(first)),
    )
    return appeared if read.lo - appeared.hi <= read.b - appeared.a else read


def seen_offset(seen: Observation) -> Interval:
    """What one observation says of the offset alone."""
    return seen.lo - seen.b, seen.hi - seen.a


def jump(before: Estimate, seen: Observation) -> Interval:
    """By how much the clock is beside what was predicted of it, at the least and at the most."""
    (least, greatest), (low, high) = seen_offset(seen), before.offset_at(seen.b)
    return least - high, greatest - low


def with_rate(before: Estimate, rate_error_ppm: Interval, seen: Observation) -> Interval:
    """The same of a clock that may have run at any of these rates since it was last seen."""
    assert before.last_s is not None
    (least, greatest), (low, high) = seen_offset(seen), before.offset_at(before.last_s)
    since = (seen.b - before.last_s) / PPM
    return least - high - rate_error_ppm[1] * since, greatest - low - rate_error_ppm[0] * since


def holds(bounds: Interval, value: Fraction | int = 0) -> bool:
    return bounds[0] <= value <= bounds[1]
