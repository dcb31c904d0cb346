"""Delays, the limit, and names: pure functions."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.errors import InputError, UsageError
from provision.servers.backend import folded
from provision.servers.embedded.names import clean
from provision.servers.embedded.policy import Policy
from provision.servers.embedded.throttle import Failures

times = st.floats(0, 4e9)


def test_nobody_waits_without_a_failure() -> None:
    assert Failures().retry_after_s(0.0) == 0


def test_the_delay_grows_by_five_seconds_a_failure() -> None:
    failures = Failures()
    for count in range(1, 100):
        failures = failures.one_more(1000.0)
        assert failures.retry_after_s(1000.0) == 5 * count
        assert failures.retry_after_s(1000.0 + 5 * count) == 0
        assert not failures.locked
    assert failures.one_more(1000.0).locked


@given(st.integers(1, 99), times, times)
def test_a_wait_is_exact_and_never_longer_than_the_delay(count: int, failed_s: float, now_s: float) -> None:
    failures = Failures(count, failed_s).seen_at(now_s)
    wait_s = failures.retry_after_s(now_s)
    assert 0 <= wait_s <= 5 * count + 1e-6
    assert failures.retry_after_s(now_s + wait_s + 1e-3) == 0
    if now_s >= failed_s:
        assert failures == Failures(count, failed_s)
    else:  # the clock was stepped back: the delay starts again
        assert wait_s == pytest.approx(5 * count)


@pytest.mark.parametrize(
    "name", ["", " ", " x", "x ", "a\nb", "a\x00b", "a\u202eb", "a\u2028b", "\ud800", "a\u200bb", "x" * 65, "\t"]
)
def test_a_name_that_does_not_show_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="the name"):
        clean("name", name)


@given(st.text(max_size=70))
def test_a_clean_name_is_clean_and_stays_so(text: str) -> None:
    try:
        name = clean("name", text)
    except InputError:
        return
    assert clean("name", name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert folded(name) == folded(folded(name))


def test_names_that_look_alike_are_one() -> None:
    assert clean("name", "Zoe\u0308") == "Zo\u00eb"
    assert folded("DESK Token") == folded("desk token")
    assert folded("Stra\u00dfe") == folded("STRASSE")
    assert folded("Zo\u00eb") != folded("Zoe")


def test_a_policy_is_checked() -> None:
    with pytest.raises(UsageError):
        Policy(back_steps=-1)
    with pytest.raises(UsageError):
        Policy(resync_steps=10**6)
    for pending_s in (59, 30 * 86_400 + 1):
        with pytest.raises(UsageError):
            Policy(pending_s=pending_s)
    Policy(pending_s=60)
    Policy(pending_s=30 * 86_400)
