"""What the pages say of states and times."""

from __future__ import annotations

import dataclasses

import pytest

from provision.errors import AlreadyRegistered, CodeMismatch, CodeReplayed, InputError, Rejected, Throttled
from provision.model import OathType, OtpParameters
from provision.servers.backend import Device
from provision.servers.web import words

NOW_S = 1_767_225_600.0  # 1 January 2026
TOTP = OtpParameters()


def device(**more: object) -> Device:
    plain = Device(
        device_id="1",
        user="anna",
        name="phone",
        serial=None,
        parameters=TOTP,
        disabled=False,
        drift_steps=0,
        last_step=None,
        consecutive_failures=0,
        locked=False,
        open_from_s=0.0,
        registered_s=0.0,
    )
    return dataclasses.replace(plain, **more)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (3599.9, "60 minutes"),
        (3600, "1 hour"),
        (86_400, "1 day"),
        (86_400 * 40, "40 days"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.3, "1 second"),
        (4.2, "5 seconds"),
        (59.5, "60 seconds"),
        (61.0, "2 minutes"),
        (89.0, "2 minutes"),
        (495.0, "9 minutes"),
    ],
)
def test_who_waits_as_long_as_was_said_has_waited_enough(seconds: float, said: str) -> None:
    assert words.wait(seconds) == said
    assert f"Wait {said}, then" in words.refusal(Throttled("", retry_after_s=seconds))
    assert f"Wait {said}, then" in words.refusal_of_a_pair(Throttled("", retry_after_s=seconds))
    waiting = device(consecutive_failures=2, open_from_s=NOW_S + seconds)
    assert f"looked at in {said}." in words.standing([waiting], NOW_S)


def test_times_say_their_zone() -> None:
    assert words.moment(NOW_S) == "1 January 2026, 00:00 UTC"
    assert words.ago(NOW_S - 59, NOW_S) == "just now"
    assert words.ago(NOW_S - 7200, NOW_S) == "2 hours ago (31 December 2025, 22:00 UTC)"
    assert words.ago(NOW_S + 60, NOW_S) == "1 January 2026, 00:01 UTC"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "App"),
        ({"serial": "SN1"}, "Hardware token, serial number SN1"),
        ({"parameters": OtpParameters(OathType.HOTP)}, "App, a new code at each press"),
    ],
)
def test_kinds(change: dict[str, object], said: str) -> None:
    assert words.kind(device(**change)) == said


def test_last_use_is_when_a_code_was_accepted_whatever_its_step_says() -> None:
    spent = device(last_step=TOTP.step_at(NOW_S), drift_steps=7)
    assert words.last_used(spent, NOW_S) == "never"
    said = words.last_used(dataclasses.replace(spent, last_used_s=NOW_S - 7200), NOW_S)
    assert said == "2 hours ago (31 December 2025, 22:00 UTC)"


def test_what_counts_has_no_clock() -> None:
    assert words.clock(device(parameters=OtpParameters(OathType.HOTP))) is None


@pytest.mark.parametrize(
    ("drift_steps", "last_used_s", "said"),
    [
        (0, None, "not known before the first login"),
        (0, 9, "right"),
        (-2, 9, "about 1 minute slow; the server allows for that"),
        (1, 9, "about 30 seconds fast; the server allows for that"),
        (1, None, "about 30 seconds fast; the server allows for that"),
    ],
)
def test_clocks(drift_steps: int, last_used_s: float | None, said: str) -> None:
    assert words.clock(device(drift_steps=drift_steps, last_used_s=last_used_s, last_step=9)) == said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "No wrong codes since the last login."),
        ({"consecutive_failures": 1}, "1 wrong code in a row. A right one clears the count."),
        (
            {"consecutive_failures": 3, "open_from_s": NOW_S + 10},
            "3 wrong codes in a row. The next one is looked at in 10 seconds.",
        ),
        ({"consecutive_failures": 100, "locked": True}, "Locked after 100 wrong codes in a row: no code"),
    ],
)
def test_wrong_codes_in_a_row(change: dict[str, object], said: str) -> None:
    assert words.standing([device(**change)], NOW_S).startswith(said)


def test_whoever_has_no_device_has_no_wrong_codes() -> None:
    assert words.standing([], NOW_S) == "None can be checked without a device."


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "switched on"),
        ({"disabled": True}, "switched off: its codes are refused"),
        ({"pending_until_s": NOW_S}, "not finished: waits for its first code until 1 January 2026, 00:00 UTC"),
    ],
)
def test_states(change: dict[str, object], said: str) -> None:
    assert words.state(device(**change)) == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CodeMismatch("the code for 'anna' is wrong"), "This code is wrong."),
        (CodeReplayed("the code for 'anna' is used"), "This code was used before."),
        (Throttled("'anna' must wait", retry_after_s=4.2), "The code was not looked at"),
        (Throttled("'anna' is locked", retry_after_s=None), "After so many wrong codes"),
        (Rejected("there is no device '1'", code="unknown-device"), "This device is not there any more."),
        (InputError("the name is empty"), "The name is empty."),
        (AlreadyRegistered("'anna' has a device called 'x'", hint="choose another name"), "'anna' has a device called"),
    ],
)
def test_refusals_say_what_to_do(error: Exception, said: str) -> None:
    told = words.refusal(error)
    assert told.startswith(said)
    assert told.endswith(".")
    assert "None" not in told


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (CodeMismatch(""), "These are not two codes of this device"),
        (CodeReplayed(""), "If this form was sent twice, the first time has done it"),
        (Throttled("", retry_after_s=4.2), "Wait 5 seconds, then ask for two new ones."),
        (Throttled("", retry_after_s=None), "then an administrator can unlock"),
        (Rejected("there is no device '1'", code="unknown-device"), "This device is not there any more."),
    ],
)
def test_a_desk_is_not_sent_to_the_desk_nor_asked_for_one_code(error: Exception, said: str) -> None:
    told = words.refusal_of_a_pair(error)
    assert said in told
    assert "support desk" not in told
