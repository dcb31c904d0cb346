"""What to do: at once, with a person on the phone, and for good, at this server."""

from __future__ import annotations

from dataclasses import replace

from provision.drift.moments import iso
from provision.drift.profiles import Profile
from provision.servers.backend import Device
from provision.station.explain.case import Case, Explanation
from provision.station.explain.clock import DRIFT, LOST_TIME, WRONG

_SET_CLOCK = "set the token's clock (`provision token set-time`), or replace the token where it cannot be set"
_LET_IN = "let the person in another way: no code of this token is taken"
_GOOD = "nothing is to be mended"
_RESYNC_REACH_S = 86_400
# cause -> (now, for good); {serial} and {device} are filled in.
_ADVICE = {
    "server-clock": (
        "leave the tokens alone: whatever is learnt of them now is wrong when the clock is right again",
        "set the server's clock and let NTP keep it; then ask `provision explain --all` again",
    ),
    "disabled": (
        "find out who disabled it and why, before anything else",
        "if it was a mistake, an administrator gives `provision server enable {device}`",
    ),
    "locked": (
        "find out who tried: the person, a forgotten program, or a stranger",
        "once that is known, an administrator gives `provision server enable {device}`",
    ),
    "waiting": ("wait until then, and use a new code", "tell the person to wait for the next code after a mistake"),
    "fallback": ("log in by the old way", "`provision server fallback {user} --end`, when the token is well again"),
    "pending": (
        "the person proves it by the code that it shows, on their page or with `provision server prove {device}`",
        _GOOD,
    ),
    "replayed": ("wait for the token's next code, and use it once", _GOOD),
    "other-device": (
        "use the code of the device that is asked for",
        "give the person's devices names that tell them apart",
    ),
    "typing": ("log in once more, with a code that has just appeared", _GOOD),
    "was-disabled": ("log in once more", _GOOD),
    "no-attempt": ("see which name, which server and which factor the person tries", _GOOD),
    "neighbour": (
        "see which token the person holds: its serial against the label",
        "exchange the two tokens, or their records on the server; another token of the box has the counterpart",
    ),
    "algorithm": (_LET_IN, "register the token anew, with the hash that it has"),
    "time-step": (_LET_IN, "register the token anew, with the time step that it has"),
    "time-step-and-algorithm": (_LET_IN, "register the token anew, with the time step and the hash that it has"),
    "digits": (_LET_IN, "register the token anew, with the number of digits that it has"),
    "undecided": ("let the person in another way until that is known", "what would decide it stands under UNKNOWN"),
}
CAUSES = frozenset(_ADVICE)  # those with an advice of their own: the others are clocks, below, and mistakes in a seed
_SEED = (
    _LET_IN,
    "read the seed file again, in the right way, and register the token anew; look at the rest of its box",
)
CLOCK_CAUSES = frozenset(
    {DRIFT, LOST_TIME, WRONG, "daylight-saving", "time-zone", "wrong-date", "epoch-1970", "epoch-2000", "epoch-birth"}
)


def advised(found: Explanation, case: Case, profile: Profile) -> Explanation:
    """The same, with what to do."""
    device = found.device or case.meant[0]
    if found.cause in CLOCK_CAUSES:
        now, for_good = _clock(found, device, profile, case.now_s)
    else:
        now, for_good = _ADVICE.get(found.cause, _SEED)
    called = {"user": device.user, "serial": device.serial or device.name, "device": device.serial or device.device_id}
    return replace(found, now=now.format(**called), for_good=for_good.format(**called))


def _clock(found: Explanation, device: Device, profile: Profile, now_s: float) -> tuple[str, str]:
    assert found.offset_s is not None
    slow_s, fast_s = map(float, found.offset_s)
    if max(-slow_s, fast_s) > _RESYNC_REACH_S:
        return f"{_LET_IN}: no server looks that far", _SET_CLOCK
    if (
        device.last_step is not None
        and (resumes_s := device.parameters.step_start(device.last_step + 1) - slow_s) > now_s
    ):
        return f"{_LET_IN} up to {iso(int(resumes_s))}: they are older than one that was used", _SET_CLOCK
    now = f"two new codes, and {profile.remedy.replace('DEVICE', '{device}')}"
    dates = None if found.ahead is None or not found.ahead.follows else found.ahead.dates
    before = None if dates is None else dates.first_possible_failure_s
    if found.cause == DRIFT and dates is not None and before is not None and before > dates.from_s:
        return now, f"log in again before {iso(before)}, and so on; or {_SET_CLOCK}"
    return now, _SET_CLOCK
