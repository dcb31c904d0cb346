"""States, times and refusals as a person would say them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from provision.errors import (
    CodeMismatch,
    CodeReplayed,
    ProvisionError,
    Rejected,
    Throttled,
)
from provision.model import OathType
from provision.servers.backend import Device

LAST_WAY_IN = "This is the last way in, so nothing was deleted. Read below what a deletion would mean."

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def moment(at_s: float) -> str:
    """A Unix time, in UTC: a page knows no reader's time zone, and says which it means."""
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def duration(seconds: float) -> str:
    """Rounded to its largest unit: "40 seconds", "1 minute", "3 days"."""
    for size, unit in ((_DAY_S, "day"), (_HOUR_S, "hour"), (_MINUTE_S, "minute")):
        if seconds >= size:
            return _counted(round(seconds / size), unit)
    return _counted(round(seconds), "second")


def wait(seconds: float) -> str:
    """Rounded up: who has waited so long need not wait again."""
    if seconds <= _MINUTE_S:
        return _counted(max(1, math.ceil(seconds)), "second")
    return _counted(math.ceil(seconds / _MINUTE_S), "minute")


def ago(at_s: float, now_s: float) -> str:
    if now_s < at_s:  # this machine's clock was stepped back meanwhile
        return moment(at_s)
    if now_s - at_s < _MINUTE_S:
        return "just now"
    return f"{duration(now_s - at_s)} ago ({moment(at_s)})"


def kind(device: Device) -> str:
    """What it is, as far as a server knows: what has a serial came out of a box."""
    what = "App" if device.serial is None else f"Hardware token, serial number {device.serial}"
    return what if device.parameters.oath_type is OathType.TOTP else f"{what}, a new code at each press"


def last_used(device: Device, now_s: float) -> str:
    return "never" if device.last_used_s is None else ago(device.last_used_s, now_s)


def clock(device: Device) -> str | None:
    """How its clock stands, by the drift that the server remembers; None for what has no clock."""
    if device.parameters.oath_type is OathType.HOTP:
        return None
    if device.last_used_s is None and device.drift_steps == 0:
        return "not known before the first login"
    if device.drift_steps == 0:
        return "right"
    off = duration(abs(device.drift_steps) * device.parameters.time_step_s)
    return f"about {off} {'slow' if device.drift_steps < 0 else 'fast'}; the server allows for that"


def state(device: Device) -> str:
    if device.pending_until_s is not None:
        return f"not finished: waits for its first code until {moment(device.pending_until_s)}"
    return "switched off: its codes are refused" if device.disabled else "switched on"


def standing(devices: Sequence[Device], now_s: float) -> str:
    """What wrong codes in a row mean for a person, who has `devices`: they count for all of them together."""
    if not devices:
        return "None can be checked without a device."
    one = devices[0]
    if one.locked:
        return (
            f"Locked after {one.consecutive_failures} wrong codes in a row: no code is looked at any more. "
            "Find out who tried; then an administrator can unlock."
        )
    if one.consecutive_failures == 0:
        return "No wrong codes since the last login."
    wrong = f"{_counted(one.consecutive_failures, 'wrong code')} in a row."
    if now_s < one.open_from_s:
        return f"{wrong} The next one is looked at in {wait(one.open_from_s - now_s)}."
    return f"{wrong} A right one clears the count."


def refusal(error: ProvisionError) -> str:
    """Why something was not done, and what to do next."""
    match error:
        case Throttled(retry_after_s=None):
            return "After so many wrong codes no more are looked at. Ask your support desk."
        case Throttled(retry_after_s=float(seconds)):
            return (
                "The code was not looked at, because it came too soon after a wrong one. "
                f"Wait {wait(seconds)}, then type a new code."
            )
        case CodeReplayed():
            return "This code was used before. Wait until the next one shows, and type that."
        case CodeMismatch():
            return "This code is wrong. Type the code that shows now; each is good for about half a minute."
        case Rejected(code="unknown-device"):
            return "This device is not there any more."
        case _:
            return _sentence(error.message) + (f" {_sentence(error.hint)}" if error.hint else "")


def refusal_of_a_pair(error: ProvisionError) -> str:
    """The same to a support desk, which sent two codes."""
    match error:
        case Throttled(retry_after_s=None):
            return (
                "After so many wrong codes no more are looked at. Find out who tried; then an administrator can unlock."
            )
        case Throttled(retry_after_s=float(seconds)):
            return (
                "The codes were not looked at, because they came too soon after a wrong one. "
                f"Wait {wait(seconds)}, then ask for two new ones."
            )
        case CodeReplayed():
            return (
                "These codes were used before. If this form was sent twice, the first time has done it: "
                "the person's page says when the device was last used. If not, ask for two new codes."
            )
        case CodeMismatch():
            return (
                "These are not two codes of this device that follow each other. "
                "Read two codes, one right after the other."
            )
        case _:
            return refusal(error)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _counted(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
