"""What went wrong: planted in a clock that is known, and named."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.drift.diagnosis import diagnose
from provision.drift.estimate import Model
from provision.drift.jumps import named
from provision.drift.observation import Observation
from tests.drift.strategies import TREF, Truth, truths

MODEL = Model(Fraction(TREF), rate_error_ppm=(Fraction(-200), Fraction(200)))
WEEK = 604_800


def year(truth: Truth, jump_s: int = 0, since: int = 10**9) -> list[Observation]:
    """A login a week, a different second each time; from the week `since` on the clock is `jump_s` ahead."""
    after = Truth(truth.offset_s + jump_s, truth.rate_error_ppm)
    none = Fraction(0)
    return [
        (truth if i < since else after).login(Fraction(TREF + i * WEEK + i * 7919 % 3600), none, none)
        for i in range(52)
    ]


@given(truths)
def test_a_clock_that_only_drifts_is_well(truth: Truth) -> None:
    found = diagnose(MODEL, year(truth))
    assert found.feasible
    assert (found.dropped, found.runs, found.causes) == ((), (), ())


@given(truths, st.integers(1, 50), st.integers(90, 170))
def test_one_late_typist_is_found_and_left_out(truth: Truth, which: int, late_s: int) -> None:
    """Late by three steps or more: of two codes a minute apart, either may be the odd one."""
    seen = year(truth)
    typed = seen[which]
    seen[which] = Observation(typed.a + late_s, typed.b + late_s, typed.lo, typed.hi)
    found = diagnose(MODEL, seen)
    assert not found.feasible
    assert found.dropped == (which,)
    (cause,) = found.causes
    assert cause.name == "late-typing"
    assert cause.evidence["late_s"] <= late_s
    assert found.estimate.is_feasible


@given(
    truths,
    st.integers(3, 48),
    st.sampled_from(
        [
            (3600, "daylight-saving"),
            (-3600, "daylight-saving"),
            (19_800, "time-zone"),
            (-7 * 3600, "time-zone"),
            (-100_000, "stopped"),
            (123_456, "set-wrong"),
        ]
    ),
)
def test_a_jump_is_named_by_its_size(truth: Truth, since: int, jump: tuple[int, str]) -> None:
    found = diagnose(MODEL, year(truth, jump[0], since))
    assert not found.feasible
    assert found.runs == (tuple(range(since)), tuple(range(since, 52)))
    assert found.causes[0].name == jump[1]
    evidence = found.causes[0].evidence
    assert evidence["least_s"] <= jump[0] <= evidence["greatest_s"]


def test_the_published_jump() -> None:
    vectors = json.loads((Path(__file__).parents[1] / "vectors" / "drift.json").read_text("utf-8"))
    (vector,) = (one for one in vectors if one["name"] == "TV5")
    seen = [Observation(*(Fraction(one[name]) for name in ("a", "b", "lo", "hi"))) for one in vector["observations"]]
    found = diagnose(MODEL, seen)
    assert found.runs == ((0, 1, 2, 3, 4, 5), (6, 7, 8, 9, 10, 11, 12))
    evidence = found.causes[0].evidence
    assert (round(float(evidence["least_s"]), 2), round(float(evidence["greatest_s"]), 2)) == (3585.00, 3625.31)
    assert [cause.name for cause in found.causes] == ["daylight-saving", "time-zone"]


@pytest.mark.parametrize(
    ("size", "at", "name"),
    [
        ((36, 38), TREF, "leap-seconds"),
        ((-19, -17), TREF, "leap-seconds"),
        ((-TREF - 5, -TREF + 5), TREF, "epoch-1970"),
        ((946_684_800 - TREF - 5, 946_684_800 - TREF + 5), TREF, "epoch-2000"),
        ((20, 60), TREF, "set-wrong"),
        ((890, 910), TREF, "time-zone"),
    ],
)
def test_the_names_of_jumps(size: tuple[int, int], at: int, name: str) -> None:
    assert named((Fraction(size[0]), Fraction(size[1])), Fraction(at))[0].name == name


def test_noise_is_no_clock() -> None:
    seen = [
        Truth(Fraction(i * i * 977 % 5000), Fraction(0)).login(Fraction(TREF + i * WEEK), Fraction(0), Fraction(0))
        for i in range(20)
    ]
    found = diagnose(MODEL, seen)
    assert [cause.name for cause in found.causes] == ["no-clock"]
