"""The language of `@pytest.mark.token(...)`: what is declared is what the token is, or the test fails in words."""

from __future__ import annotations

import itertools
import tempfile
from collections import ChainMap
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provision.errors import PinIncorrect
from provision.model import PinState, Secret
from pytest_hwtoken.clocks import START_S, MovedClock
from pytest_hwtoken.declared import Declared, declared
from pytest_hwtoken.making import bench_token
from pytest_hwtoken.report import IN_PROCESS
from pytest_hwtoken.token import BenchToken

YEAR_S = 31_557_600
UNITS = {
    "s": 1,
    "seconds": 1,
    "min": 60,
    "hours": 3600,
    "h": 3600,
    "day": 86_400,
    "weeks": 604_800,
    "months": YEAR_S // 12,
    "years": YEAR_S,
}


@dataclass
class Item:
    """As much of a test as the plugin looks at. `markers`: keyword arguments, nearest first."""

    markers: list[dict[str, Any]]
    nodeid: str = "test_it.py::test_it"
    user_properties: list[tuple[str, object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stash = pytest.Stash()

    def iter_markers(self, name: str) -> Iterator[pytest.Mark]:
        assert name == "token"
        return (pytest.mark.token(**one).mark for one in self.markers)


def item(*markers: dict[str, Any]) -> pytest.Item:
    return cast("pytest.Item", Item(list(markers)))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def made(folder: Path, **said: Any) -> Any:
    """Context manager: the token that the `token` fixture makes of these words."""
    numbers = itertools.count()
    clock = MovedClock(folder / "clock")
    return bench_token(item(said), None, IN_PROCESS, clock, lambda name: folder / f"{next(numbers)}-{name}")


@st.composite
def durations(draw: st.DrawFn) -> tuple[str, int]:
    """(as people say it, seconds) up to some 40 years."""
    parts = draw(
        st.lists(st.tuples(st.integers(0, 9), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4).filter(
            lambda parts: sum(number * UNITS[unit] for number, unit in parts) < 40 * YEAR_S
        )
    )
    between = draw(st.sampled_from([" ", ", ", " and "]))
    space = draw(st.sampled_from(["", " "]))
    said = between.join(f"{number}{space}{unit}" for number, unit in parts)
    return said, sum(number * UNITS[unit] for number, unit in parts)


def thousandths(limit: int) -> st.SearchStrategy[float]:
    return st.integers(-limit * 1000, limit * 1000).map(lambda number: number / 1000)


@given(aged=durations(), offset_s=thousandths(10_000), rate=thousandths(200), ageing=thousandths(10))
@example(aged=("18 months", 18 * YEAR_S // 12), offset_s=0.0, rate=-4.0, ageing=0.0)
def test_the_clock_errs_by_what_was_declared(
    folder: Path, aged: tuple[str, int], offset_s: float, rate: float, ageing: float
) -> None:
    """The closed form, in whole numbers: offset + (rate t + ageing t^2 / 2 years) / 10^6, while no time goes by."""
    said, seconds = aged
    error_ppm_s = Fraction(str(rate)) * seconds + Fraction(str(ageing)) * seconds**2 / (2 * YEAR_S)
    expected = Fraction(str(offset_s)) + error_ppm_s / 1_000_000
    with made(
        folder, aged=said, offset_s=offset_s, rate_error_ppm=rate, ageing_ppm_per_year=ageing, temperature_c=25
    ) as token:
        truth = token.inspect()["truth"]
        assert truth["offset_s"] == pytest.approx(float(expected), abs=3e-6)
        assert truth["true_time_s"] == token.clock.now() == START_S


@given(pin=st.from_regex(r"[0-9]{6,16}", fullmatch=True), other=st.from_regex(r"[0-9]{6,16}", fullmatch=True))
def test_the_pin_is_the_declared_one_and_no_other(folder: Path, pin: str, other: str) -> None:
    with made(folder, pin=pin) as token:
        session = token.session()
        assert session.info().pin_state is PinState.LOCKED
        if other != pin:
            with pytest.raises(PinIncorrect):
                session.verify_pin(Secret(other.encode()))
        session.verify_pin(Secret(pin.encode()))


KNOWN = [one.name for one in fields(Declared)]
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.binary(max_size=8),
    st.just([1]),
    st.just({}),
    st.sampled_from(["reference", "yubikey", "5.7.4", "desk", "1/3", "-0", "1e9", "200 years", "SN-1", "271828"]),
)


@given(said=st.dictionaries(st.sampled_from(KNOWN), ANYTHING, max_size=3))
@example(said={"pin": 271828})
@example(said={"family": [1]})
@example(said={"aged": [1]})
@example(said={"aged": True})
@example(said={"aged": float("nan")})
@example(said={"serial": "\n"})
@example(said={"temperature_c": 20, "profile": "car"})
def test_whatever_is_declared_there_is_such_a_token_or_a_failure_in_words(folder: Path, said: dict[str, Any]) -> None:
    failure = None
    try:
        with made(folder, **said) as token:
            assert isinstance(token, BenchToken)
            view, info = token.inspect(), token.session().info()
            assert info.serial == said.get("serial") or said.get("serial") is None
            assert info.family == said.get("family", "reference")
            assert view["cable"]["plugged"]
    except pytest.fail.Exception as error:
        failure = error
    if failure is not None:
        assert failure.pytrace is False
        assert failure.msg
        assert "\n" not in failure.msg


@pytest.mark.parametrize(
    "said",
    [
        {"offset_s": -1},
        {"rate_error_ppm": 0.1},
        {"ageing_ppm_per_year": 1},
        {"temperature_c": 0},
        {"profile": "pocket"},
        {"jitter_us": 1},
        {"aged": "1 day"},
    ],
)
def test_each_clock_that_no_real_token_can_be_given(said: dict[str, Any]) -> None:
    assert Declared(**said).clock_is_wrong
    assert not Declared(family="yubikey", serial="1", pin="271828").clock_is_wrong


SAYABLE = {"serial": ["A", "B"], "pin": ["111111", "222222"], "offset_s": [1, 2], "aged": ["1 day"], "family": ["x"]}


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in SAYABLE.items()}),
        max_size=4,
    )
)
def test_the_nearest_marker_wins_name_by_name(markers: list[dict[str, Any]]) -> None:
    assert declared(item(*markers)) == Declared(**ChainMap(*markers))
