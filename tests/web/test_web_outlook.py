"""How somebody logs in, in words: each of the ways, and what makes the difference between two of them."""

from __future__ import annotations

import dataclasses

import pytest

from provision.model import OtpParameters
from provision.servers.backend import Device, Person
from provision.servers.web.outlook import Outlook
from provision.servers.web.words import moment

NOW_S = 1_767_225_600.0  # 1 January 2026
LATER_S, CUTOVER_S = NOW_S + 3600, NOW_S + 86_400
PHONE = Device(
    device_id="1",
    user="anna",
    name="phone",
    serial=None,
    parameters=OtpParameters(),
    disabled=False,
    drift_steps=0,
    last_step=None,
    consecutive_failures=0,
    locked=False,
    open_from_s=0.0,
    registered_s=0.0,
)
NAMESAKE = dataclasses.replace(PHONE, device_id="2")
LOCKED = dataclasses.replace(PHONE, consecutive_failures=100, locked=True)
OFF = dataclasses.replace(PHONE, device_id="3", name="switched off", disabled=True)
PENDING = dataclasses.replace(PHONE, device_id="4", name="unfinished", pending_until_s=LATER_S)


def outlook(*devices: Device, fallback_s: float | None = None, cutover_s: float | None = CUTOVER_S) -> Outlook:
    return Outlook(Person("anna", fallback_s), devices, cutover_s, NOW_S)


@pytest.mark.parametrize(
    ("now", "oneself", "desk", "words"),
    [
        (
            outlook(PHONE, OFF, PENDING),
            None,
            f"Not used. It could be opened until {moment(CUTOVER_S)}.",
            "logging in works with phone.",
        ),
        (
            outlook(PHONE, NAMESAKE, cutover_s=None),
            None,
            "There is none.",
            "logging in works with phone or phone.",
        ),
        (
            outlook(LOCKED, cutover_s=None),
            "No code is looked at, after too many wrong ones. Ask your support desk.",
            "There is none.",
            "no code is looked at, after too many wrong ones.",
        ),
        (
            outlook(PHONE, cutover_s=NOW_S),
            None,
            f"Closed since {moment(NOW_S)}.",
            "logging in works with phone.",
        ),
        (
            outlook(PHONE, OFF, fallback_s=LATER_S),
            (
                f"Until {moment(LATER_S)} you log in the old way, as the support desk arranged. "
                "Then these devices count again."
            ),
            f"Used until {moment(LATER_S)}, opened by the support desk.",
            (
                f"logging in works the old way, with what was used before, until {moment(LATER_S)}. "
                "Then the other devices count again."
            ),
        ),
        (
            outlook(OFF, fallback_s=LATER_S),
            (
                f"You still log in the old way, until {moment(LATER_S)}. Add a device before then: "
                "afterwards the old way is closed."
            ),
            f"Used until {moment(LATER_S)}, for want of a device.",
            (
                f"logging in works the old way, with what was used before, until {moment(LATER_S)}. "
                "Then the old way is closed: add a device before then."
            ),
        ),
        (
            outlook(PENDING),
            (
                f"You still log in the old way, until {moment(CUTOVER_S)}. Add a device before then: "
                "afterwards the old way is closed."
            ),
            f"Used until {moment(CUTOVER_S)}, for want of a device.",
            (
                f"logging in works the old way, with what was used before, until {moment(CUTOVER_S)}. "
                "Then the old way is closed: add a device before then."
            ),
        ),
        (
            outlook(OFF),
            "No code lets you in now: you have no device that works, and the old way is not open to you.",
            f"Not used. It could be opened until {moment(CUTOVER_S)}.",
            "anna is locked out: no device that works, and no old way is open now.",
        ),
    ],
)
def test_each_way(now: Outlook, oneself: str | None, desk: str, words: str) -> None:
    assert (now.for_oneself(), now.for_the_desk(), now.in_words("anna is")) == (oneself, desk, words)


def test_without_a_device_all_others_are_left() -> None:
    assert outlook(PHONE, NAMESAKE).without(PHONE).devices == [NAMESAKE]


def test_whoever_is_not_known_has_no_way() -> None:
    nobody = Outlook(None, [], CUTOVER_S, NOW_S)
    assert nobody.in_words("you are").startswith("you are locked out")
    assert nobody.old_until_s is None
