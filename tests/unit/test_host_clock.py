"""The clock seam: waiting moves a shared file forward, never back, whoever races whom."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.clock import FileClock, ManualClock, SystemClock, parse_clock
from provision.errors import InputError, UsageError


def test_waiting_moves_the_file_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text("1767225600")
    one, other = FileClock(path), FileClock(path)
    one.wait_until(1767225630.25)
    assert other.now() == 1767225630.25
    other.wait_until(1767225601)
    assert one.now() == 1767225630.25


def test_racing_waiters_never_move_it_back(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    path.write_text("0")
    seen: list[float] = []

    def mover(offset: int) -> None:
        clock = FileClock(path)
        for i in range(50):
            clock.wait_until(i * 10 + offset)
            seen.append(clock.now() - (i * 10 + offset))

    threads = [threading.Thread(target=mover, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(seen) >= 0
    assert FileClock(path).now() == 493


@pytest.mark.parametrize("content", ["", "yesterday", "-5", "nan", "inf", "1 2", "\xff", "1e300", "9" * 400])
def test_a_clock_file_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clock"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match="clock file"):
        FileClock(path)


def test_a_clock_file_that_cannot_be_read_or_moved(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        FileClock(tmp_path)
    path = tmp_path / "clock"
    path.write_text("0")
    clock = FileClock(path)
    (tmp_path / "clock.lock").mkdir()
    with pytest.raises(InputError, match="cannot be moved"):
        clock.wait_until(1)


def test_clock_addresses(tmp_path: Path) -> None:
    assert isinstance(parse_clock(None), SystemClock)
    assert isinstance(parse_clock("system"), SystemClock)
    with pytest.raises(InputError, match="does not exist"):
        parse_clock(f"file:{tmp_path / 'none'}")
    for wrong in ("file:", "wall", "/tmp/clock"):
        with pytest.raises(UsageError):
            parse_clock(wrong)


def test_the_system_clock_waits_for_a_past_time_not_at_all() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.wait_until(clock.now() - 10)
    assert clock.monotonic() - before < 1


def test_a_manual_clock_stands_until_moved() -> None:
    clock = ManualClock(100)
    clock.wait_until(160)
    clock.advance(5)
    assert (clock.now(), clock.monotonic()) == (165, 65)
    with pytest.raises(UsageError):
        clock.advance(-1)


@given(st.floats(0, 2**33, allow_nan=False))
def test_waiting_ends_at_that_time_and_not_a_moment_before(t: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clock"
        path.write_text("0")
        clock = FileClock(path)
        clock.wait_until(t)
        assert clock.now() == t
