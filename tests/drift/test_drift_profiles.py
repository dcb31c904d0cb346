"""Servers as they are: their windows, imitated step by step, against what the profiles say of them."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drift.prediction import Window
from provision.drift.profiles import PROFILES, Memory, Unit
from provision.errors import UsageError
from provision.servers.embedded.policy import Policy
from tests.drift.strategies import TREF, fractions


@pytest.mark.parametrize(
    ("name", "time_step_s", "window"),
    [
        ("embedded", 30, (1, 1)),
        ("keycloak", 30, (1, 1)),
        ("privacyidea", 30, (6, 5)),
        ("privacyidea", 60, (3, 2)),
        ("linotp", 30, (6, 5)),
        ("entra", 30, (4, 4)),
        ("entra", 60, (2, 2)),
        ("freeipa", 30, (9, 9)),
        ("freeipa", 60, (4, 4)),
        ("pam-oath", 30, (2, 2)),
        ("google-authenticator", 30, (1, 1)),
        ("slapd-otp", 30, (0, 0)),
    ],
)
def test_the_windows(name: str, time_step_s: int, window: tuple[int, int]) -> None:
    found = PROFILES[name].window(time_step_s)
    assert (found.back_steps, found.forward_steps, found.time_step_s) == (*window, time_step_s)


def test_the_embedded_servers_own_numbers() -> None:
    window = PROFILES["embedded"].window(30)
    assert (window.back_steps, window.forward_steps) == (Policy().back_steps, Policy().forward_steps)


def test_a_window_that_nobody_publishes_is_asked_for() -> None:
    with pytest.raises(UsageError, match="does not publish"):
        PROFILES["duo"].window(30)
    assert PROFILES["duo"].window(30, steps=(2, 3)) == Window(2, 3)


def test_half_a_step_of_privacyidea_is_no_window() -> None:
    with pytest.raises(UsageError, match="no code"):
        PROFILES["privacyidea"].window(200)


def test_who_follows_says_what_it_learns() -> None:
    for profile in PROFILES.values():
        assert (profile.memory is Memory.FOLLOWS) == (profile.shift is not None)
        assert (profile.unit is None) == (profile.where == "")


moments = fractions(TREF, TREF + 1000)
offsets = fractions(-2000, 2000)
steps = st.sampled_from((30, 60))


@given(moments, offsets, steps)
def test_privacyideas_own_shift(received_s: Fraction, offset_s: Fraction, time_step_s: int) -> None:
    """Its source: timeShift = counter * step - int(now). A clock that is right seems up to a step slow, never fast."""
    counter = (received_s + offset_s) // time_step_s
    shift_s = PROFILES["privacyidea"].shift(received_s, Fraction(counter * time_step_s), time_step_s)
    assert shift_s == counter * time_step_s - int(received_s)
    assert -time_step_s < shift_s - offset_s < 1


@given(moments, offsets, steps)
def test_servers_that_count_steps(received_s: Fraction, offset_s: Fraction, time_step_s: int) -> None:
    counter = (received_s + offset_s) // time_step_s
    for name in ("embedded", "linotp"):
        shift_s = PROFILES[name].shift(received_s, Fraction(counter * time_step_s), time_step_s)
        assert shift_s == (counter - received_s // time_step_s) * time_step_s


@given(offsets)
def test_the_value_to_write(offset_s: Fraction) -> None:
    """In its unit, positive for a fast clock, the nearest there is."""
    for profile in PROFILES.values():
        value = profile.value(offset_s, 30)
        if profile.unit is None:
            assert value is None
        else:
            unit_s = 30 if profile.unit is Unit.STEPS else 1
            assert abs(value * unit_s - offset_s) <= Fraction(unit_s, 2)


@given(moments, moments, offsets, fractions(-400, 400), st.sampled_from(sorted(PROFILES)))
def test_the_limits_are_those_of_the_steps(
    last_s: Fraction, now_s: Fraction, offset_s: Fraction, moved_s: Fraction, name: str
) -> None:
    """A server that computes with whole steps, as they all do: inside the limits it accepts, a step beyond it does not,
    also around a shift that is no whole number of steps."""
    profile = PROFILES[name]
    shift_s = Fraction(0)
    if profile.shift is not None:
        shift_s = profile.shift(last_s, (last_s + offset_s) // 30 * Fraction(30), 30)
    window = profile.window(30, shift_s=shift_s, steps=None if profile.reach else (1, 1))
    token_s = shift_s + moved_s
    distance = (now_s + token_s) // 30 - (now_s + shift_s) // 30
    accepted = -window.back_steps <= distance <= window.forward_steps
    low, high = window.limits_s()
    lowest, highest = window.limits_s(more_steps=1)
    if low <= token_s <= high:
        assert accepted
    if not lowest < token_s < highest:
        assert not accepted
