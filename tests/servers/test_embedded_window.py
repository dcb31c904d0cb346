"""The pure part that judges codes, against a brute reading of its rules. Codes are few on purpose: they collide."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provision.model import OathType, OtpParameters
from provision.servers.embedded.policy import Policy
from provision.servers.embedded.window import Window, expected_step, judge, judge_pair, login_window, resync_window

TOTP = OtpParameters()
HOTP = OtpParameters(OathType.HOTP, counter=5)


def few_codes(step: int) -> str:
    """Seven codes only, so that a window holds the same one several times."""
    return str(step * step % 7)


def test_the_window_is_one_step_to_each_side_of_now_and_the_drift() -> None:
    expected = expected_step(TOTP, now_s=3000.0, drift_steps=-4, last_step=None)
    assert expected == 96
    window = login_window(TOTP, Policy(), expected, None)
    assert [step for step in range(200) if window.is_fresh(step)] == [95, 96, 97]


def test_both_sides_of_the_window_are_set_apart() -> None:
    window = login_window(TOTP, Policy(back_steps=3, forward_steps=0), 50, None)
    assert [step for step in range(100) if window.is_fresh(step)] == [47, 48, 49, 50]


def test_hotp_looks_ahead_only() -> None:
    assert expected_step(HOTP, now_s=0, drift_steps=0, last_step=None) == 5
    assert expected_step(HOTP, now_s=0, drift_steps=0, last_step=8) == 9
    window = login_window(HOTP, Policy(), 9, 8)
    assert [step for step in range(100) if window.is_fresh(step)] == list(range(9, 20))


def test_resynchronisation_searches_a_day_to_either_side() -> None:
    assert resync_window(TOTP, Policy(), 10_000, None) == Window(10_000 - 2880, 10_000 + 2880, None)
    assert resync_window(HOTP, Policy(), 500, 499) == Window(400, 1500, 499)


windows = st.builds(
    lambda first, width, last_step, recall: Window(first, first + width, last_step, recall),
    st.integers(-10, 40),
    st.integers(0, 12),
    st.none() | st.integers(0, 50),
    st.integers(0, 4),
)


@given(windows, st.integers(0, 6).map(str) | st.text(max_size=3))
def test_a_code_is_judged_by_the_rules(window: Window, code: str) -> None:
    fits = [step for step in range(100) if few_codes(step) == code]
    fresh = [
        step
        for step in fits
        if window.first <= step <= window.last and (window.last_step is None or step > window.last_step)
    ]
    verdict = judge(window, code, few_codes)
    assert verdict.step == (max(fresh) if fresh else None)
    if verdict.replayed:
        assert not fresh
        assert any(window.last_step is not None and step <= window.last_step for step in fits)
    elif not fresh and window.last_step is not None:
        assert few_codes(window.last_step) != code


@given(windows, st.integers(0, 6).map(str))
def test_an_accepted_code_is_not_accepted_again(window: Window, code: str) -> None:
    step = judge(window, code, few_codes).step
    if step is not None:
        again = judge(Window(window.first, window.last, step, window.recall), code, few_codes)
        assert again.step is None
        assert again.replayed


@given(windows)
def test_every_step_is_computed_whichever_is_right(window: Window) -> None:
    def steps_asked(code: str) -> tuple[bool, list[int]]:
        asked: list[int] = []

        def code_at(step: int) -> str:
            asked.append(step)
            return few_codes(step)

        return judge(window, code, code_at).step is None, asked

    answers = [steps_asked(str(code)) for code in range(8)]
    for accepted_or_refused in (True, False):
        assert len({tuple(asked) for refused, asked in answers if refused is accepted_or_refused}) <= 1
    assert all(step >= 0 for _, asked in answers for step in asked)


@given(windows, st.integers(0, 60))
def test_two_codes_place_a_device(window: Window, step: int) -> None:
    def code_at(at: int) -> str:  # all different
        return str(at)

    verdict = judge_pair(window, code_at(step), code_at(step + 1), code_at)
    inside = window.first <= step and step + 1 <= window.last
    if inside and (window.last_step is None or step > window.last_step):
        assert verdict.step == step + 1
    else:
        assert verdict.step is None
    assert judge_pair(window, code_at(step), code_at(step + 2), code_at).step is None
    assert judge_pair(window, code_at(step + 1), code_at(step), code_at).step is None
    assert judge_pair(window, code_at(step), code_at(step), code_at).step is None


@given(windows)
def test_two_places_that_fit_are_no_answer(window: Window) -> None:
    fits = [step for step in range(max(0, window.first), window.last) if not window.is_spent(step) and step % 3 == 0]
    verdict = judge_pair(window, "0", "1", lambda step: str(step % 3))
    assert verdict.step == (fits[0] + 1 if len(fits) == 1 else None)


def test_a_pair_that_touches_the_last_accepted_step_is_a_replay() -> None:
    assert judge_pair(Window(0, 100, 40), "40", "41", str).replayed
    assert judge_pair(Window(0, 100, 40), "41", "42", str).step == 42
