"""What became of a token's clock, from where its codes fit and from what it did before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from provision.drift.diagnosis import diagnose
from provision.drift.estimate import YEAR_S, Estimate, Interval, Model
from provision.drift.history import Allowance
from provision.drift.jumps import named
from provision.drift.observation import PPM, Observation
from provision.drift.outlook import present
from provision.drift.places import DAY_S, Place, likely, near
from provision.servers.backend import Device
from provision.station.desk import Asked, Fit, Login
from provision.station.explain.case import (
    Certainty,
    holds,
    jump,
    model_for,
    observation,
    observation_of_asked,
    seen_offset,
    with_rate,
)

DRIFT, STEP_OR_RATE = "clock-drift", "step-or-rate"
LOST_TIME, WRONG = "lost-time", "set-wrong"
_LOST = "it lost {} at once: it stood still for a while (a weak battery, or a new one), or somebody set it back"
_IN_USE_S = 1800  # zones are whole or half hours; the few at quarters are not worth a wrong name
_WIDEST_ZONE_S = 14 * 3600
_SET_TO_S = 30  # how well a clock is set, and how far it drifts until somebody asks
_ZONE_NAMES = ("daylight-saving", "time-zone")


@dataclass(frozen=True, slots=True)
class Clock:
    """`name` and `what` in the words of drift.jumps and drift.places, and those above. `before`: what was known of it
    until now, None if nothing. `now`: with what was read out, None where no one clock fits both. `jump_s`: by how much
    it is beside what was expected, None where nothing was."""

    name: str
    what: str
    certainty: Certainty
    seen: Observation
    before: Estimate | None
    now: Estimate | None
    jump_s: Interval | None = None
    decides: str = ""

    @property
    def is_close(self) -> bool:
        """Whether a code was seen to appear, which shows the clock to a few seconds."""
        return self.seen.lo == self.seen.hi

    @property
    def offset_s(self) -> Interval:
        """What is known of the offset now: what is seen, and what was known before narrows it."""
        least, greatest = seen_offset(self.seen)
        if self.now is None:
            return least, greatest
        low, high = self.now.offset_at(self.seen.b)
        return max(least, low), min(greatest, high)

    def offset_at(self, unix_s: Fraction) -> Interval:
        """A few days earlier, if it did not jump in between, by what is seen of it alone: what was known before
        narrows it only as long as nothing has happened, which is the question."""
        low, high = seen_offset(self.seen)
        rates = Model(self.seen.b).rate_error_ppm if self.now is None else self.now.rate_error_ppm
        moved = [rate * (unix_s - self.seen.b) / PPM for rate in rates]
        return low + min(moved), high + max(moved)

    @property
    def since_s(self) -> tuple[float, float] | None:
        """Between when and when it happened; of a drift, since when it goes on."""
        if self.before is None or self.before.last_s is None:
            return None
        return float(self.before.last_s), float(self.seen.b)


def clock(device: Device, logins: Sequence[Login], asked: Asked, fit: Fit, allowance: Allowance) -> Clock:
    """`logins`: accepted ones, oldest first. `fit`: where the codes fit with the seed on record."""
    seen = observation_of_asked(device, asked, fit, allowance)
    model = model_for(device, logins, allowance)
    earlier = [observation(device, login, allowance) for login in logins]
    before = present(model, earlier, diagnose(model, earlier)) if earlier else None
    if before is None or not before.is_feasible:
        return _unknown_before(device, seen, asked.at_s, model)
    beside_s = jump(before, seen)
    if holds(beside_s):
        both = before.given([seen])
        now = both if both.is_feasible else _alone(model, seen)  # it aged
        zone = _zone(seen_offset(seen)) if before.last_s is not None and seen.b - before.last_s > YEAR_S else None
        if zone is not None:
            return Clock(
                STEP_OR_RATE,
                f"{drifted(seen_offset(seen))}, or {zone[1]}",
                Certainty.UNDECIDED,
                seen,
                before,
                now,
                beside_s,
                "two codes in a month: a clock that drifts will have gone further",
            )
        offset_s = seen_offset(seen) if now is None else now.offset_at(seen.b)
        return Clock(DRIFT, drifted(offset_s), Certainty.CERTAIN, seen, before, now, beside_s)
    alone = _alone(model, seen)
    if holds(with_rate(before, model.rate_error_ppm, seen)):
        return Clock(
            STEP_OR_RATE,
            f"its clock is {_size(beside_s)} beside what it did before: either it was moved a little, or it runs "
            "otherwise than it did (heat, cold, age)",
            Certainty.UNDECIDED,
            seen,
            before,
            alone,
            beside_s,
            "two codes in a week: a clock that was moved stays where it is, another rate goes further",
        )
    name, what = _jumped(beside_s, _place(seen, asked.at_s, device.registered_s), fit, logins)
    return Clock(name, what, Certainty.LIKELY, seen, before, alone, beside_s)


def drifted(offset_s: Interval) -> str:
    middle = (offset_s[0] + offset_s[1]) / 2
    return f"its clock is {'fast' if middle > 0 else 'slow'}, by {_size(offset_s)}"


def _alone(model: Model, seen: Observation) -> Estimate | None:
    """What one look says of a clock; None of one that is further off than any that drifts."""
    estimate = Estimate.of(model, [seen])
    return estimate if estimate.is_feasible else None


def _unknown_before(device: Device, seen: Observation, at_s: float, model: Model) -> Clock:
    """The first that is seen of this clock: what its place on the time line says."""
    now = _alone(model, seen)
    offset_s, age_s = seen_offset(seen), Fraction(max(at_s - device.registered_s, 0.0))
    slowest, fastest = (rate * age_s / PPM for rate in model.rate_error_ppm)
    wander_s = model.wander_s
    if offset_s[0] <= fastest + wander_s and offset_s[1] >= slowest - wander_s:
        return Clock(DRIFT, drifted(offset_s), Certainty.LIKELY, seen, None, now)
    place = _place(seen, at_s, device.registered_s)
    if place.reason == "near-now":
        return Clock(
            STEP_OR_RATE,
            f"{drifted(offset_s)}: it was set wrong, or drifted before it was registered",
            Certainty.UNDECIDED,
            seen,
            None,
            now,
            decides="two codes in a month: a clock that drifts will have gone further",
        )
    if place.reason in (WRONG, "stopped") and offset_s[1] < 0:
        return Clock(LOST_TIME, _LOST.format(_size(offset_s)), Certainty.LIKELY, seen, None, now)
    return Clock(place.reason, place.what, Certainty.LIKELY, seen, None, now)


def _place(seen: Observation, at_s: float, born_s: float) -> Place:
    """The likeliest that holds the time that it shows."""
    for place in likely(int(at_s), int(born_s)):
        is_date_by_chance = place.reason == "wrong-date" and seen.lo >= born_s and not _keeps_the_time(seen)
        if place.begin_s <= seen.lo < place.end_s and not is_date_by_chance:
            return place
    return near(int(at_s))


def _keeps_the_time(seen: Observation) -> bool:
    """Whether it shows the time of day of some zone. Whoever sets a wrong date sets the right time; a clock that began
    anew within its life shows some date and some time."""
    low, high = seen_offset(seen)
    return (low - _SET_TO_S) // _IN_USE_S != (high + _SET_TO_S) // _IN_USE_S


def _jumped(jump_s: Interval, place: Place, fit: Fit, logins: Sequence[Login]) -> tuple[str, str]:
    """Of a clock that no rate brings where it is."""
    if (zone := _zone(jump_s)) is not None:
        return zone
    # A clock that stood still shows nothing earlier than before; the date that it shows now is mere chance.
    went_back = fit.step < logins[-1][1]
    if jump_s[1] < 0 and (not went_back or fit.name in ("near-now", WRONG, "stopped")):
        return LOST_TIME, _LOST.format(_size(jump_s))
    if fit.name in ("near-now", "stopped"):
        return WRONG, f"it was set to a wrong time, {_size(jump_s)} ahead"
    return (place.reason, place.what) if fit.name == "wrong-date" else (fit.name, fit.what)


def _zone(jump_s: Interval) -> tuple[str, str] | None:
    """The difference between two zones that it may be."""
    if jump_s[1] < -_WIDEST_ZONE_S or jump_s[0] > _WIDEST_ZONE_S:
        return None
    found = [one for one in named(jump_s, Fraction(0)) if one.name in _ZONE_NAMES and one.size_s % _IN_USE_S == 0]
    return (found[0].name, "; or ".join(one.what for one in found)) if found else None


def _size(bounds: Interval) -> str:
    """By how much, without its sign: "1 to 58 s", "3 d 4 h"."""
    low, high = sorted(abs(float(bound)) for bound in bounds)
    if holds(bounds):
        return f"up to {max(low, high):.0f} s"
    if high < 2 * 3600:
        return f"{low:.0f} to {high:.0f} s"
    days, rest = divmod(int(low), DAY_S)
    return f"{days} d {rest // 3600} h" if days else f"{rest // 3600}:{rest // 60 % 60:02d} h"
