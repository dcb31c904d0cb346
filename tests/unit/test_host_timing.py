"""Setting a clock: the interval is a guarantee, the edge is met, and an undisciplined station is refused."""

from __future__ import annotations

import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from provision.clock import ManualClock, SystemClock
from provision.errors import ClockUndisciplined, TokenRefused
from provision.model import ClockReading
from provision.station import discipline as judge
from provision.station.timing import HALVINGS, MAX_RATE_ERROR_PPM, READINGS, measure, residual, set_time

delays = st.floats(0, 0.5)


class Token:
    """A clock at the end of a wire: `delays` are the seconds that each crossing takes, out and back in turn."""

    def __init__(self, clock, offset_s=0.0, delays=(), stopped=False):
        self.clock = clock
        self.offset_s = offset_s
        self.delays = iter(delays)
        self.stopped = stopped
        self.writes = []

    def cross(self):
        self.clock.advance(next(self.delays, 0.001))

    def read_clock(self):
        if self.stopped:
            raise TokenRefused("it stands still", status_word=0x6985)
        sent_s = self.clock.now()
        self.cross()
        device_s = int((self.clock.now() + self.offset_s) * 1e6) / 1e6
        self.cross()
        return ClockReading(device_s, sent_s, self.clock.now())

    def write_clock(self, seconds):
        self.writes.append((self.clock.now(), seconds))
        sent_s = self.clock.now()
        self.cross()
        self.offset_s = seconds - self.clock.now()
        self.stopped = False
        self.cross()
        return ClockReading(float(seconds), sent_s, self.clock.now())


@given(start=st.floats(1e9, 2e9), crossings=st.lists(delays, max_size=20), offset_s=st.floats(-1e6, 1e6))
def test_the_truth_lies_in_the_interval(start, crossings, offset_s):
    token = Token(ManualClock(start), offset_s, crossings)
    found = measure(token, token.clock)
    assert found.lo_ms <= token.offset_s * 1e3 <= found.hi_ms
    assert found.hi_ms - found.lo_ms == pytest.approx(found.round_trip_ms + 0.004, abs=0.002)


@given(start=st.floats(1e9, 2e9), crossings=st.lists(delays, max_size=20))
def test_the_write_leaves_on_an_edge_and_the_residual_is_true(start, crossings):
    clock = ManualClock(start)
    token = Token(clock, 1234.5, crossings)
    done = set_time(token, clock)
    ((when, seconds),) = token.writes
    assert when == seconds == done.set_s
    assert done.residual.lo_ms <= token.offset_s * 1e3 <= done.residual.hi_ms
    assert done.before.lo_ms <= 1_234_500 <= done.before.hi_ms


def test_the_shortest_round_trip_counts():
    crossings = [0.2, 0.2] * READINGS
    crossings[6:8] = [0.001, 0.002]
    clock = ManualClock(1e9)
    assert measure(Token(clock, 0.0, crossings), clock).round_trip_ms == pytest.approx(3, abs=0.01)


class CoarseToken(Token):
    """Tells whole seconds."""

    def read_clock(self):
        reading = super().read_clock()
        return ClockReading(float(int(reading.device_s)), reading.sent_s, reading.received_s, 1.0)


@given(start=st.floats(1e9, 2e9), crossings=st.lists(delays, max_size=20), offset_s=st.floats(-1e6, 1e6))
def test_of_whole_seconds_the_turn_is_looked_for(start, crossings, offset_s):
    clock = ManualClock(start)
    token = CoarseToken(clock, offset_s, crossings)
    found = measure(token, clock)
    assert found.lo_ms <= offset_s * 1e3 + 0.001
    assert found.hi_ms >= offset_s * 1e3 - 0.001
    assert found.hi_ms - found.lo_ms <= 1000 / 2**HALVINGS + 4e3 * max([0.001, *crossings]) + 2
    assert clock.now() - start <= HALVINGS + 2 * sum([*crossings, *[0.001] * 20]) + 1


@given(offset_s=st.floats(-100, 100), rate_ppm=st.floats(-MAX_RATE_ERROR_PPM, MAX_RATE_ERROR_PPM))
@example(offset_s=0.0, rate_ppm=-150.0)
@example(offset_s=0.0, rate_ppm=150.0)
@example(offset_s=0.03065, rate_ppm=150.0)
def test_a_clock_that_drifts_while_it_is_measured(offset_s, rate_ppm):
    clock = ManualClock(1e9)
    token = CoarseToken(clock, offset_s, [0.0] * 40)  # an exchange of no time leaves no slack
    wait_until = clock.wait_until

    def drifting(t):
        token.offset_s += (t - clock.now()) * rate_ppm / 1e6
        wait_until(t)

    clock.wait_until = drifting
    found = measure(token, clock)
    assert found.lo_ms - 0.001 <= token.offset_s * 1e3 <= found.hi_ms + 0.001


def test_a_clock_set_while_it_is_measured_is_measured_as_it_is_now():
    clock = ManualClock(1e9)
    token = CoarseToken(clock, 10.0)
    wait_until = clock.wait_until

    def meddled(t):
        token.offset_s = -10.0
        wait_until(t)

    clock.wait_until = meddled
    found = measure(token, clock)
    assert found.lo_ms <= -10_000 <= found.hi_ms


def test_a_clock_that_stands_still_can_be_set():
    clock = ManualClock(1e9)
    done = set_time(Token(clock, stopped=True), clock)
    assert done.before is None


def test_a_residual_in_words():
    assert str(residual(ClockReading(100.0, 99.75, 100.5))) == "[-500.002, +250.002] ms"


@pytest.mark.parametrize(
    ("state", "status", "max_error_us", "good", "words"),
    [
        (0, 0x2001, 20_000, True, "20 ms"),
        (5, 0x0040, 16_000_000, False, "nothing synchronises"),
        (0, 0x0040, 20_000, False, "nothing synchronises"),
        (5, 0, 20_000, False, "nothing synchronises"),
        (0, 0, 1_500_000, False, "1.5 s off"),
        (-1, 0, 0, False, "does not tell"),
    ],
)
def test_verdicts(state, status, max_error_us, good, words):
    verdict = judge.judged(state, status, max_error_us)
    assert verdict.disciplined is good
    assert words in verdict.why


def test_a_manual_clock_is_true_by_definition():
    assert judge.require_discipline(ManualClock(), undisciplined_ok=False).disciplined


def test_an_undisciplined_station_is_refused(monkeypatch):
    monkeypatch.setattr(judge, "judged", lambda *_: judge.Discipline(False, None, "it is a sundial"))
    with pytest.raises(ClockUndisciplined, match="sundial") as caught:
        judge.require_discipline(SystemClock(), undisciplined_ok=False)
    assert caught.value.exit_code == 7
    assert not judge.require_discipline(SystemClock(), undisciplined_ok=True).disciplined


def test_no_kernel_to_ask(monkeypatch):
    monkeypatch.setattr(judge.sys, "platform", "win32")
    assert not judge.discipline(SystemClock()).disciplined


@pytest.mark.skipif(sys.platform != "linux", reason="adjtimex(2) is Linux's")
def test_the_kernels_own_word():
    """Whatever it is here, it must be readable without privileges and in range."""
    verdict = judge.discipline(SystemClock())
    assert verdict.max_error_s is None or 0 <= verdict.max_error_s < 1e6
