"""The order in which causes are looked at: those that everybody shares, then the account's, then the token's.

What is found further down stays hidden behind what was found above it: nobody gets in through a locked account, however
right the clock is. Where the desk has codes, what they say of the clock is told in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from provision.drift.history import Allowance
from provision.drift.moments import iso
from provision.drift.observation import PPM
from provision.drift.outlook import Server, outlook
from provision.drift.profiles import Memory, Profile
from provision.errors import UsageError
from provision.servers.backend import AttemptOutcome, Device
from provision.station.desk import Asked, Desk
from provision.station.explain.advice import advised
from provision.station.explain.case import LATELY_S, Case, Certainty, Explanation, seen_offset
from provision.station.explain.clock import DRIFT, Clock, drifted
from provision.station.explain.codes import Read, are_taken, read, surely_taken
from provision.station.explain.crowd import Crowd, crowd
from provision.station.explain.refusals import Fault, at_fault
from provision.station.explain.server_clock import (
    about_the_server,
    agrees_with_the_station,
    may_be_the_servers,
    server_clock,
)

UNDECIDED = "undecided"
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
    or token, or it has no clock, and Throttled."""
    devices = desk.devices()
    meant = _meant(devices, who)
    if not meant:
        if counting := _meant(desk.counters(), who):
            raise UsageError(
                f"the codes of {_called(counting[0])} come from a counter, not from a clock",
                hint=f"`provision server resync {counting[0].device_id}` finds a counter that has run ahead",
            )
        if desk.knows(who):
            raise UsageError(
                f"{who!r} has no device at this server",
                hint="`provision server report` says how they log in: by the old way, or not at all",
            )
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
        fallback_until_s=None if person is None else desk.fallback_until_s(person),
    )
    others = crowd(
        person,
        {one.device_id: one for one in devices},
        desk.logins_of_all(),
        case.attempts,
        now_s,
        case.window_steps,
        allowance,
    )
    token = read(desk, case)
    if asked is not None and token.fits_nowhere and (second := ask(True)) is not None:
        case = replace(case, asked=second, now_s=desk.now())
        token = replace(read(desk, case), is_second=True)
    found = _behind(case, others, token)
    if case.asked is None:
        unknown = _NO_CODES if desk.can_match else _NO_SEED
        found = found.left_open(unknown)
    return advised(_with_clock(found, token, profile, case), case, profile)


def _meant(devices: Sequence[Device], who: str) -> list[Device]:
    return [device for device in devices if who in (device.serial, device.device_id)] or [
        device for device in devices if device.user == who
    ]


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


def _behind(case: Case, others: Crowd, token: Read) -> Explanation:
    """The first cause in the order, with what was excluded on the way to it."""
    device, made = token.device, token.clock
    moved = server_clock(case, others, token)
    if moved is not None:
        return replace(moved, device=device)
    so_far = Explanation(UNDECIDED, Certainty.UNDECIDED, "", device, odds=None if token.fit is None else token.fit.odds)
    so_far = about_the_server(so_far, case, others)
    if device.disabled:
        return so_far.named("disabled", f"{_called(device)} is disabled")
    if device.locked:
        what = f"the account is locked after {device.consecutive_failures} wrong codes in a row"
        return so_far.named("locked", what, since_s=_began(case))
    if case.fallback_until_s is not None and case.fallback_until_s > case.now_s:
        what = f"the person is sent to the old way until {iso(int(case.fallback_until_s))}: no code is looked at"
        return so_far.named("fallback", what)
    if device.pending:
        return so_far.named("pending", f"{_called(device)} waits for its first code, and lets nobody in before")
    so_far = so_far.without("the account: neither disabled nor locked")
    if device not in case.meant:
        meant = " or ".join(map(_called, case.meant))
        return so_far.named("other-device", f"the codes are those of {_called(device)}, not of {meant}")
    if case.asked is None:
        return _without_codes(case, device, so_far)
    if token.fit is None or made is None:
        return _seed(case, token, so_far)
    so_far = so_far.without("the seed: the codes are this token's own")
    if are_taken(case, token) and (harmless := _harmless(case, device, others, made, so_far)) is not None:
        return harmless
    so_far = replace(so_far, since_s=made.since_s)
    if not agrees_with_the_station(case) and may_be_the_servers(case, token, made):
        if others.limps:
            return replace(so_far, what=f"{made.what}; but others were refused today, too")
        is_unsaid = case.server_ahead_s is not None or not others.fitting
        if is_unsaid and made.name != DRIFT and made.jump_s is not None:
            return replace(so_far, what=f"{made.what}; or it is the server's clock that moved")
    if made.name == DRIFT and not _drifted_far(case, token, made):
        what = f"{made.what}, which drift alone does not explain: it was moved a little, or somebody typed late"
        return replace(so_far, what=what).left_open(_TOMORROW if made.is_close else _CHANGE)
    if made.certainty is Certainty.UNDECIDED:
        return replace(so_far, what=made.what).left_open(made.decides)
    return so_far.named(made.name, made.what, _certainty(case, token, made))


def _without_codes(case: Case, device: Device, so_far: Explanation) -> Explanation:
    if device.open_from_s > case.now_s:
        what = f"too many tries: nothing is looked at before {iso(int(device.open_from_s))}"
        return so_far.named("waiting", what, since_s=_began(case))
    what = "nothing is wrong with the account; the rest cannot be told without codes"
    return replace(so_far, what=what, since_s=_began(case))


def _harmless(case: Case, device: Device, others: Crowd, made: Clock, so_far: Explanation) -> Explanation | None:
    """The codes would be taken now: what happened to those that were not? None if it is the clock all the same."""
    refusals = case.refusals()
    last = refusals[-1].outcome if refusals else None
    so_far = replace(so_far, since_s=_began(case))
    taken = so_far.without("the clock: these codes are within what the server takes")
    if last in (AttemptOutcome.THROTTLED, AttemptOutcome.LOCKED) or device.open_from_s > case.now_s:
        what = (
            f"too many tries: after {device.consecutive_failures} wrong codes in a row the server looks at none before "
            f"{iso(int(device.open_from_s))}"
        )
        return taken.named("waiting", what)
    if last is AttemptOutcome.REPLAYED:
        return taken.named("replayed", "a code was used twice, or an older one after it: each is taken once")
    if last is AttemptOutcome.DISABLED:
        return taken.named("was-disabled", "the device was disabled when it was tried; now it is not")
    if others.limps:
        return replace(so_far, what="these codes are good now, and others were refused today, too")
    if last is None:
        what = (
            "these codes are good, and no refused login of this person has reached this server lately: another name, "
            "another server, or another factor"
        )
        return taken.named("no-attempt", what, Certainty.LIKELY)
    fault = at_fault(refusals, device, made, case.window_steps, case.allowance.server_error_s)
    if fault is Fault.CLOCK:
        return None
    if fault is Fault.EITHER:
        what = "these codes are good now, but the clock may be at the edge of what the server takes; or it was mistyped"
        decides = _FRESH if made.is_close else _CHANGE
        return replace(so_far, what=what).left_open(decides)
    if len(case.owned) > len(case.meant):
        taken = taken.left_open("whether it was the code of another of the person's devices")
    what = "the codes of this token are good: what was typed was mistyped, or typed after it had gone"
    return taken.named("typing", what, Certainty.LIKELY)


def _seed(case: Case, token: Read, so_far: Explanation) -> Explanation:
    names = {fit.name for fit in token.seeds}
    so_far = replace(so_far, since_s=_began(case))
    if len(names) == 1:
        fit = token.seeds[0]
        so_far = replace(so_far.without("the clock: with that seed it is right within a day"), odds=fit.odds)
        return so_far.named(fit.name, f"{fit.what}, against what the server has on record")
    if names:
        what = "several mistakes would explain the codes: " + "; or ".join(fit.what for fit in token.seeds)
        decides = "a third code in a row"
    else:
        what = "the codes fit no likely clock and no known mistake in the seed: "
        what += _ANOTHER_SEED if token.is_second else f"mistyped, not in a row, or {_ANOTHER_SEED}"
        decides = _FIND_CLOCK if token.is_second else f"two new codes; if they fit nowhere either: {_FIND_CLOCK}"
    return replace(so_far, what=what).left_open(decides)


def _certainty(case: Case, token: Read, made: Clock) -> Certainty:
    """Drift is certain where it had to come, and only likely where the clock might as well still be good."""
    if made.name != DRIFT or made.before is None:
        return made.certainty
    (low, high), (least, greatest) = made.before.offset_at(made.seen.b), surely_taken(case, token)
    return Certainty.LIKELY if least <= high and low <= greatest else made.certainty


def _drifted_far(case: Case, token: Read, made: Clock) -> bool:
    """Whether drift alone can have brought the clock out of the window, and it is out of it for certain."""
    (low, high), (least, greatest) = seen_offset(made.seen), surely_taken(case, token)
    if least <= high and low <= greatest:
        return False
    return _drift_since_login_s(case, made) >= token.device.parameters.time_step_s


def _drift_since_login_s(case: Case, made: Clock) -> Fraction:
    """How far the clock may have drifted since the server last learnt where it is."""
    if made.before is None or made.before.last_s is None or not case.follows:
        return max(map(abs, made.offset_s))
    return max(map(abs, made.before.rate_error_ppm)) * (made.seen.b - made.before.last_s) / PPM


def _with_clock(found: Explanation, token: Read, profile: Profile, case: Case) -> Explanation:
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
    if found.cause in ("locked", "disabled", "other-device") and are_taken(case, token) is False:
        told = replace(told, evidence=(*told.evidence, f"behind it: {drifted(seen_offset(made.seen))}"))
    return told


def _began(case: Case) -> tuple[float, float] | None:
    """The first refused login since the last accepted one."""
    refusals = case.refusals()
    return (refusals[0].at_s, refusals[0].at_s) if refusals else None


def _called(device: Device) -> str:
    return f"{device.name!r}" + (f" ({device.serial})" if device.serial else "")
