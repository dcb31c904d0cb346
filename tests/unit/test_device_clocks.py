"""The simulator's clocks move forward only, and the one in a file is the host's as well."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import provision.clock
from firmware_sim.clocks import ClockError, ClockFileError, FileClock, ManualClock, SystemClock, parse_clock

SECONDS = st.floats(0, 2**39, allow_nan=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "clock"
    path.write_text("1767225600.5\n")
    return path


def test_the_file_is_read_and_moved_by_both_packages(path: Path) -> None:
    ours, theirs = FileClock(path), provision.clock.FileClock(path)
    ours.advance(0.25)
    assert theirs.now() == ours.now() == 1767225600.75
    theirs.wait_until(1767225700)
    assert ours.now() == 1767225700
    assert sorted(file.name for file in path.parent.iterdir()) == ["clock", "clock.lock"]


@given(SECONDS, SECONDS)
@settings(max_examples=25)  # each one waits for the disk eight times
def test_what_goes_by_is_added_to_the_last_bit(
    tmp_path_factory: pytest.TempPathFactory, first: float, second: float
) -> None:
    path = tmp_path_factory.getbasetemp() / "moving-clock"
    path.write_text("0")
    for clock in (FileClock(path), ManualClock()):
        clock.advance(first)
        assert clock.now() == first
        clock.advance(second)
        assert clock.now() == first + second


def test_no_move_is_lost(path: Path) -> None:
    clock = FileClock(path)
    movers = [threading.Thread(target=lambda: [clock.advance(1) for _ in range(20)]) for _ in range(4)]
    for mover in movers:
        mover.start()
    for mover in movers:
        mover.join()
    assert clock.now() == 1767225680.5


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_no_clock_goes_back(path: Path, seconds: float) -> None:
    for clock in (FileClock(path), ManualClock(5)):
        before = clock.now()
        with pytest.raises(ClockError):
            clock.advance(seconds)
        assert clock.now() == before


def test_the_real_clock_is_not_moved() -> None:
    with pytest.raises(ClockError, match="--clock file:PATH"):
        SystemClock().advance(1)


def test_a_file_that_a_shell_has_emptied_to_write_it_shows_the_time_before(path: Path) -> None:
    clock = FileClock(path)
    path.write_text("")
    assert clock.now() == 1767225600.5
    with pytest.raises(ClockFileError, match="does not hold"):
        clock.advance(1)  # what is being written would be lost
    path.write_text("1767225700\n")
    assert clock.now() == 1767225700


@pytest.mark.parametrize("text", ["", "noon", "1e400", "-1", "NaN", "1 2", "\u0661\u0662"])
def test_a_file_that_holds_no_time_is_refused(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ClockFileError, match="clock"):
        FileClock(path)


def test_a_file_that_cannot_be_moved_says_so(path: Path) -> None:
    clock = FileClock(path)
    path.with_name("clock.lock").mkdir()
    with pytest.raises(ClockFileError, match="cannot be moved"):
        clock.advance(1)
    with pytest.raises(ClockFileError, match="cannot be read"):
        FileClock(path.parent)


def test_clocks_by_name(path: Path) -> None:
    assert isinstance(parse_clock(None), SystemClock)
    assert isinstance(parse_clock("system"), SystemClock)
    assert parse_clock(f"file:{path}").now() == 1767225600.5
    with pytest.raises(ClockFileError, match="does not exist"):
        parse_clock(f"file:{path}.missing")
    for text in ("file:", "sundial", "ntp:pool"):
        with pytest.raises(ClockError, match="unknown clock"):
            parse_clock(text)
