"""The order in which causes are looked at: those that everybody shares, then the account's, then the token's.

What is found further down stays hidden behind what was found above it: nobody gets in through a locked account, however
right the clock is. Where the desk has codes, what they say of the clock is told in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from provision.drift.estimate import Interval
from provision.drift.history import Allowance
from provision.drift.moments import iso
from provision.drift.observation import PPM
from provision.drift.outlook import Server, outlook
from provision.drift.profiles import Memory, Profile
from provision.errors import UsageError
from provision.servers.backend import AttemptOutcome, Device
from provision.station.desk import Asked, Desk, Fit, Login
from provision.station.explain.advice import advised
from provision.station.explain.case import LATELY_S, Case, Certainty, Explanation, holds, seen_offset
from provision.station.explain.clock import DRIFT, Clock, clock, drifted
from provision.station.explain.crowd import Crowd, crowd
from provision.station.explain.refusals import Fault, at_fault

UNDECIDED, SERVER_CLOCK = "undecided", "server-clock"
REACH_S = 86_400  # a server that is further off is no riddle
_FAR_OFF_S = 15  # two clocks that differ by less are no reason to refuse a code that is typed at once
_NO_SEED = "the clock and the seed: this server does not say where codes would fit"
_NO_CODES = "the clock and the seed: for them, two codes in a row are needed"
_CHANGE = "ask again, and press Enter at the moment when the code changes: that shows the clock to a few seconds"
_FRESH = "a login with a code that has just appeared: if it is refused, it is the clock"
_TOMORROW = "two codes tomorrow: whether the clock is where it is now"
_ANOTHER_SEED = "another seed, or a clock at a date that nobody would expect"
_FIND_CLOCK = "`provision drift find-clock`, where the seed is: it searches every date"


def explain(
    desk: Desk, who: str, ask: Callable[[bool], Asked | None], profile: Profile, allowance: Allowance
) -> Explanation:
    """Why codes of `who`, a user or a serial, are refused. `ask`: for two in a row, None if nobody has any; once it is
    known whom it is about, and again (True) if the first ones fit nowhere. Raises UsageError if there is no such person
    or token, Throttled."""
    devices = desk.devices()
    meant = [device for device in devices if who in (device.serial, device.device_id)] or [
        device for device in devices if device.user == who
    ]
    if not meant:
        raise UsageError(
            f"the server knows neither a user nor a token {who!r}", hint="`provision server list` shows both"
        )
    person = meant[0].user
    asked = ask(False) if desk.can_match else None
    now_s = desk.now()
    case = Case(
        person=person,
        owned=[device for device in devices if device.user == person] if person is not None else meant,
        meant=meant,
        asked=asked,
        attempts=desk.attempts(now_s - LATELY_S),
        now_s=now_s,
        window_steps=desk.window_steps,
        follows=profile.memory is Memory.FOLLOWS,
        allowance=allowance,
        server_ahead_s=desk.server_ahead_s(),
    )
    others = crowd(
        person,
        {one.device_id: one for one in devices},
        desk.logins_of_all(),
        case.attempts,
        now_s,
        desk.window_steps,
        allowance,
    )
    token = _token(desk, case)
    if asked is not None and token.fits_nowhere and (second := ask(True)) is not None:
        case = replace(case, asked=second, now_s=desk.now())
        token = replace(_token(desk, case), is_second=True)
    found = _behind(case, others, token)
    if case.asked is None:
        unknown = _NO_CODES if desk.can_match else _NO_SEED
        found = replace(found, unknown=(*found.unknown, unknown))
    return advised(_with_clock(found, token, profile, case), case, profile)


def everybody(desk: Desk, allowance: Allowance) -> tuple[Crowd, list[Device]]:
    """What can be said without anybody's codes: has the server's clock moved, and who is shut out."""
    devices, now_s = desk.devices(), desk.now()
    others = crowd(
        None,
        {one.device_id: one for one in devices},
        desk.logins_of_all(),
        desk.attempts(now_s - LATELY_S),
        now_s,
        desk.window_steps,
        allowance,
    )
    return others, [device for device in devices if device.disabled or device.locked or device.consecutive_failures]


@dataclass(frozen=True, slots=True)
class _Token:
    """What the codes say. `device`: whose they are, or the one that is meant. `clock`: None where they fit nowhere with
    its own seed. `seeds`: other seeds with which they fit. `is_second`: the first ones fitted nowhere."""

    device: Device
    logins: Sequence[Login]
    fit: Fit | None = None
    clock: Clock | None = None
    seeds: Sequence[Fit] = ()
    is_second: bool = False

    @property
    def fits_nowhere(self) -> bool:
        return self.fit is None and not self.seeds


def _token(desk: Desk, case: Case) -> _Token:
    first = case.meant[0]
    if case.asked is None:
        return _Token(first, desk.logins(first))
    for device in sorted(case.owned, key=lambda one: one not in case.meant):
        logins = desk.logins(device)
        for fit in desk.near(device, case.asked):
            return _Token(device, logins, fit, clock(device, logins, case.asked, fit, case.allowance))
    seeds: list[tuple[Device, Fit]] = []
    for device in case.meant:
        far, others = desk.elsewhere(device, case.asked)
        if far is not None:
            logins = desk.logins(device)
            return _Token(device, logins, far, clock(device, logins, case.asked, far, case.allowance))
        seeds += [(device, fit) for fit in others]
    device = seeds[0][0] if seeds else first
    return _Token(device, desk.logins(device), seeds=[fit for one, fit in seeds if one is device])


def _behind(case: Case, others: Crowd, token: _Token) -> Explanation:
    """The first cause in the order, with what was excluded on the way to it."""
    device, made = token.device, token.clock
    are_taken = _are_taken(case, token)
    moved = _server_clock(case, others, token, are_taken)
    if moved is not None:
        return replace(moved, device=device)
    so_far = Explanation(UNDECIDED, Certainty.UNDECIDED, "", device, odds=None if token.fit is None else token.fit.odds)
    if _agrees_with_the_station(case):
        so_far = _without(so_far, "the server's clock: it is where this station's clock is")
    elif others.fitting and not others.limps:
        people = "one other person" if others.fitting == 1 else f"{others.fitting} other people"
        so_far = _without(so_far, f"the server's clock: {people} got in within a day, with clocks as expected")
    elif others.limps:
        what = (
            f"the server's clock: {others.stumbled} of {others.tried} other people who logged in within a day were "
            "refused at first, too; compare it with NTP"
        )
        so_far = replace(so_far, unknown=(what,))
    else:
        what = "the server's clock: nobody else whose clock is known got in within a day; compare it with NTP"
        so_far = replace(so_far, unknown=(what,))
    if device.disabled:
        return _named(so_far, "disabled", f"{_called(device)} is disabled")
    if device.locked:
        what = f"the account is locked after {device.consecutive_failures} wrong codes in a row"
        return _named(so_far, "locked", what, since_s=_began(case))
    so_far = _without(so_far, "the account: neither disabled nor locked")
    if device not in case.meant:
        meant = " or ".join(map(_called, case.meant))
        return _named(so_far, "other-device", f"the codes are those of {_called(device)}, not of {meant}")
    if case.asked is None:
        return _without_codes(case, device, so_far)
    if token.fit is None or made is None:
        return _seed(case, token, so_far)
    so_far = _without(so_far, "the seed: the codes are this token's own")
    if are_taken and (harmless := _harmless(case, device, others, made, so_far)) is not None:
        return harmless
    so_far = replace(so_far, since_s=made.since_s)
    if not _agrees_with_the_station(case) and _may_be_the_servers(case, token, made):
        if others.limps:
            return replace(so_far, what=f"{made.what}; but others were refused today, too")
        if not others.fitting and made.name != DRIFT and made.jump_s is not None:
            return replace(so_far, what=f"{made.what}; or it is the server's clock that moved")
    if made.name == DRIFT and not _drifted_far(case, token, made):
        what = f"{made.what}, which drift alone does not explain: it was moved a little, or somebody typed late"
        return replace(so_far, what=what, unknown=(*so_far.unknown, _TOMORROW if made.is_close else _CHANGE))
    if made.certainty is Certainty.UNDECIDED:
        return replace(so_far, what=made.what, unknown=(*so_far.unknown, made.decides))
    return _named(so_far, made.name, made.what, _certainty(case, token, made))


def _server_clock(case: Case, others: Crowd, token: _Token, are_taken: bool | None) -> Explanation | None:
    """If it moved, and this token does not contradict it."""
    made = token.clock
    seen_s = None if made is None or made.jump_s is None else (-made.jump_s[1], -made.jump_s[0])
    if _agrees_with_the_station(case):
        return None
    if case.server_ahead_s is not None:
        return _two_of_three(case.server_ahead_s, seen_s, others)
    if others.moved_s is not None:
        low, high = others.moved_s
        if seen_s is not None:
            low, high = max(low, seen_s[0]), min(high, seen_s[1])
        if low > high:
            return None
        what = f"the server's clock moved by {_between((low, high))}: everybody is shifted"
        return Explanation(SERVER_CLOCK, Certainty.CERTAIN, what, since_s=others.since_s)
    if not others.shut_out or made is None or seen_s is None or are_taken is not False:
        return None
    if not _may_be_the_servers(case, token, made):
        return None
    # A clock that was put ahead skips time: there is less of it since all was well than it moved.
    if others.since_s is not None and seen_s[0] > others.since_s[1] - others.since_s[0]:
        return None
    what = (
        f"the server's clock seems to have moved by {_between(seen_s)}: {others.refused} other people are refused, "
        "and nobody else has got in since"
    )
    return Explanation(SERVER_CLOCK, Certainty.LIKELY, what, since_s=others.since_s)


def _agrees_with_the_station(case: Case) -> bool:
    return case.server_ahead_s is not None and max(map(abs, case.server_ahead_s)) < _FAR_OFF_S


def _two_of_three(ahead_s: Interval, seen_s: Interval | None, others: Crowd) -> Explanation | None:
    """The server's clock and the station's differ: what the token's, or everybody's, was until now, decides."""
    what = f"the server's clock is {_between(ahead_s)} ahead of this station's"
    witnesses = [one for one in (seen_s, others.moved_s) if one is not None and not holds(one)]
    if any(low <= ahead_s[1] and ahead_s[0] <= high for low, high in witnesses):
        return Explanation(SERVER_CLOCK, Certainty.CERTAIN, f"{what}, and so the tokens say", since_s=others.since_s)
    if seen_s is None or (seen_s[0] <= ahead_s[1] and ahead_s[0] <= seen_s[1]):
        return Explanation(SERVER_CLOCK, Certainty.LIKELY, f"{what}, if it is not this station's that is wrong")
    return None


def _without_codes(case: Case, device: Device, so_far: Explanation) -> Explanation:
    if device.open_from_s > case.now_s:
        what = f"too many tries: nothing is looked at before {iso(int(device.open_from_s))}"
        return _named(so_far, "waiting", what, since_s=_began(case))
    what = "nothing is wrong with the account; the rest cannot be told without codes"
    return replace(so_far, what=what, since_s=_began(case))


def _harmless(case: Case, device: Device, others: Crowd, made: Clock, so_far: Explanation) -> Explanation | None:
    """The codes would be taken now: what happened to those that were not? None if it is the clock all the same."""
    refusals = case.refusals()
    last = refusals[-1].outcome if refusals else None
    so_far = replace(so_far, since_s=_began(case))
    taken = _without(so_far, "the clock: these codes are within what the server takes")
    if last in (AttemptOutcome.THROTTLED, AttemptOutcome.LOCKED) or device.open_from_s > case.now_s:
        what = (
            f"too many tries: after {device.consecutive_failures} wrong codes in a row the server looks at none before "
            f"{iso(int(device.open_from_s))}"
        )
        return _named(taken, "waiting", what)
    if last is AttemptOutcome.REPLAYED:
        return _named(taken, "replayed", "a code was used twice, or an older one after it: each is taken once")
    if last is AttemptOutcome.DISABLED:
        return _named(taken, "was-disabled", "the device was disabled when it was tried; now it is not")
    if others.limps:
        return replace(so_far, what="these codes are good now, and others were refused today, too")
    if last is None:
        what = (
            "these codes are good, and no refused login of this person has reached this server lately: another name, "
            "another server, or another factor"
        )
        return _named(taken, "no-attempt", what, Certainty.LIKELY)
    fault = at_fault(refusals, device, made, case.window_steps, case.allowance.server_error_s)
    if fault is Fault.CLOCK:
        return None
    if fault is Fault.EITHER:
        what = "these codes are good now, but the clock may be at the edge of what the server takes; or it was mistyped"
        decides = _FRESH if made.is_close else _CHANGE
        return replace(so_far, what=what, unknown=(*so_far.unknown, decides))
    if len(case.owned) > len(case.meant):
        taken = replace(taken, unknown=(*taken.unknown, "whether it was the code of another of the person's devices"))
    what = "the codes of this token are good: what was typed was mistyped, or typed after it had gone"
    return _named(taken, "typing", what, Certainty.LIKELY)


def _seed(case: Case, token: _Token, so_far: Explanation) -> Explanation:
    names = {fit.name for fit in token.seeds}
    so_far = replace(so_far, since_s=_began(case))
    if len(names) == 1:
        fit = token.seeds[0]
        so_far = replace(_without(so_far, "the clock: with that seed it is right within a day"), odds=fit.odds)
        return _named(so_far, fit.name, f"{fit.what}, against what the server has on record")
    if names:
        what = "several mistakes would explain the codes: " + "; or ".join(fit.what for fit in token.seeds)
        decides = "a third code in a row"
    else:
        what = "the codes fit no likely clock and no known mistake in the seed: "
        what += _ANOTHER_SEED if token.is_second else f"mistyped, not in a row, or {_ANOTHER_SEED}"
        decides = _FIND_CLOCK if token.is_second else f"two new codes; if they fit nowhere either: {_FIND_CLOCK}"
    return replace(so_far, what=what, unknown=(*so_far.unknown, decides))


def _are_taken(case: Case, token: _Token) -> bool | None:
    """Whether the server would take these codes now. None where there is nothing to say it of."""
    device, fit, made = token.device, token.fit, token.clock
    if fit is None or made is None or case.asked is None:
        return None
    back, forward = case.window_steps
    expected = device.parameters.step_at(case.asked.at_s) + device.drift_steps
    is_spent = device.last_step is not None and fit.step <= device.last_step
    return expected - back <= fit.step <= expected + forward and not is_spent


def _certainty(case: Case, token: _Token, made: Clock) -> Certainty:
    """Drift is certain where it had to come, and only likely where the clock might as well still be good."""
    if made.name != DRIFT or made.before is None:
        return made.certainty
    (low, high), (least, greatest) = made.before.offset_at(made.seen.b), _surely_taken(case, token)
    return Certainty.LIKELY if least <= high and low <= greatest else made.certainty


def _may_be_the_servers(case: Case, token: _Token, made: Clock) -> bool:
    """Whether a server whose clock moved explains what this token shows."""
    if made.before is None or made.jump_s is None:
        return True
    (low, high), (least, greatest) = made.before.offset_at(made.seen.b), _surely_taken(case, token)
    is_refused_by_a_right_clock = high < least or low > greatest
    is_in_the_open = min(map(abs, made.jump_s)) > REACH_S and not holds(made.jump_s)  # somebody would have seen it
    return not is_refused_by_a_right_clock and not is_in_the_open


def _drifted_far(case: Case, token: _Token, made: Clock) -> bool:
    """Whether drift alone can have brought the clock out of the window, and it is out of it for certain."""
    (low, high), (least, greatest) = made.offset_s, _surely_taken(case, token)
    if least <= high and low <= greatest:
        return False
    return _drift_since_login_s(case, made) >= token.device.parameters.time_step_s


def _drift_since_login_s(case: Case, made: Clock) -> Fraction:
    """How far the clock may have drifted since the server last learnt where it is."""
    if made.before is None or made.before.last_s is None or not case.follows:
        return max(map(abs, made.offset_s))
    return max(map(abs, made.before.rate_error_ppm)) * (made.seen.b - made.before.last_s) / PPM


def _surely_taken(case: Case, token: _Token) -> Interval:
    """Offsets at which every code is taken, whatever its phase."""
    (back, forward), step_s = case.window_steps, token.device.parameters.time_step_s
    drift_steps = token.device.drift_steps
    return Fraction((drift_steps - back) * step_s), Fraction((drift_steps + forward) * step_s)


def _with_clock(found: Explanation, token: _Token, profile: Profile, case: Case) -> Explanation:
    """What is known of the clock, told whatever the cause is, and what lies ahead of it at this server."""
    made = token.clock
    if made is None:
        return found
    told = replace(found, offset_s=made.offset_s)
    if made.now is not None and token.fit is not None:
        parameters = token.device.parameters
        learnt_s = (token.fit.step - parameters.step_at(case.now_s)) * parameters.time_step_s
        server = Server(profile, case.window_steps)
        window = profile.window(
            parameters.time_step_s,
            shift_s=Fraction(0 if profile.memory is Memory.NONE else learnt_s),
            steps=case.window_steps,
        )
        told = replace(told, rate_error_ppm=made.now.rate_error_ppm, ahead=outlook(made.now, server, window))
    if found.cause in ("locked", "disabled", "other-device") and _are_taken(case, token) is False:
        told = replace(told, evidence=(*told.evidence, f"behind it: {drifted(seen_offset(made.seen))}"))
    return told


def _named(
    so_far: Explanation,
    cause: str,
    what: str,
    certainty: Certainty = Certainty.CERTAIN,
    *,
    since_s: tuple[float, float] | None = None,
) -> Explanation:
    return replace(so_far, cause=cause, what=what, certainty=certainty, since_s=since_s or so_far.since_s)


def _without(so_far: Explanation, excluded: str) -> Explanation:
    return replace(so_far, excluded=(*so_far.excluded, excluded))


def _began(case: Case) -> tuple[float, float] | None:
    """The first refused login since the last accepted one."""
    refusals = case.refusals()
    return (refusals[0].at_s, refusals[0].at_s) if refusals else None


def _between(bounds: Interval) -> str:
    return f"{float(bounds[0]):+.0f} to {float(bounds[1]):+.0f} s"


def _called(device: Device) -> str:
    return f"{device.name!r}" + (f" ({device.serial})" if device.serial else "")
