"""Measuring a token's rate: the truth lies within the bounds, and they are as narrow as was asked for."""

from __future__ import annotations

import json
import sys
import types
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.links.inprocess import serial_line
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from provision.cli.main import main
from provision.clock import FileClock, ManualClock
from provision.errors import VerificationError
from provision.links import link
from provision.links.inprocess import open_device
from provision.model import ClockReading
from provision.station import discipline
from provision.station.edges import measure_rate

START_S = 1_767_225_600.0


class Station(ManualClock):
    """A clock that is up to `error_s` beside the truth, now here, now there. `true_s` is where it really is."""

    def __init__(self, error_s: float, rng: Random) -> None:
        super().__init__(START_S)
        self.error_s, self.rng = error_s, rng

    @property
    def true_s(self) -> float:
        return super().now()

    def now(self) -> float:
        return self.true_s + self.rng.uniform(-self.error_s, self.error_s)


class Remote:
    """A clock at the end of a wire whose crossings take up to `longest_s`."""

    def __init__(self, station: Station, offset_s: float, rate_ppm: float, resolution_s: float, longest_s: float):
        self.station, self.offset_s, self.rate_ppm = station, offset_s, rate_ppm
        self.resolution_s, self.longest_s = resolution_s, longest_s

    def device_s(self, true_s: float) -> float:
        return true_s + self.offset_s + self.rate_ppm * 1e-6 * (true_s - START_S)

    def cross(self) -> None:
        self.station.advance(self.station.rng.uniform(0, self.longest_s))

    def read_clock(self) -> ClockReading:
        sent_s = self.station.now()
        self.cross()
        device_s = self.device_s(self.station.true_s)
        unit = self.resolution_s or 1e-6
        shown_s = int(device_s / unit) * unit
        self.cross()
        return ClockReading(shown_s, sent_s, max(sent_s, self.station.now()), self.resolution_s)


def measured(remote: Remote, accuracy_ppm: int, longest_s: float, reports=lambda rate: None):
    return measure_rate(
        remote,
        remote.station,
        error_s=lambda: remote.station.error_s,
        accuracy_ppm=Fraction(accuracy_ppm),
        longest_s=longest_s,
        report=reports,
    )


@given(
    seed=st.integers(0, 2**32),
    offset_s=st.floats(-1e5, 1e5),
    rate_ppm=st.floats(-200, 200),
    coarse=st.booleans(),
    longest_s=st.floats(0, 0.3),
    error_s=st.sampled_from((0.0, 0.005, 0.2)),
)
def test_the_truth_lies_within(
    seed: int, offset_s: float, rate_ppm: float, coarse: bool, longest_s: float, error_s: float
) -> None:
    station = Station(error_s, Random(seed))
    remote = Remote(station, offset_s, rate_ppm, 1.0 if coarse else 0.0, longest_s)
    rate = measured(remote, 5, 3600)
    low, high = rate.estimate.rate_error_ppm
    assert low - Fraction(1, 1000) <= rate_ppm <= high + Fraction(1, 1000)
    low, high = rate.estimate.offset_at(Fraction(station.true_s))
    assert low - Fraction(1, 10**5) <= remote.device_s(station.true_s) - station.true_s <= high + Fraction(1, 10**5)
    if rate.remaining_s == 0:
        low, high = rate.estimate.rate_error_ppm
        assert high - low <= 10
    else:
        assert rate.elapsed_s >= 3600


def test_5_ms_give_a_ppm_or_two_in_an_hour() -> None:
    """drift.md 4.3: edges timed to +-5 ms give +-2.8 ppm in 1 h."""
    remote = Remote(Station(0.0, Random(1)), 12.3, -20, 0.0, 0.01)
    rate = measured(remote, 3, 4 * 3600)
    assert rate.remaining_s == 0
    assert rate.elapsed_s < 4000


def test_it_says_how_much_longer() -> None:
    told = []
    remote = Remote(Station(0.0, Random(2)), 0, 15, 1.0, 0.004)
    rate = measured(remote, 2, 86_400, told.append)
    assert told[-1] == rate
    assert rate.remaining_s == 0
    for earlier in told[:-1]:
        assert rate.elapsed_s <= earlier.elapsed_s + 2 * earlier.remaining_s  # never far too optimistic
    widths = [one.estimate.rate_error_ppm[1] - one.estimate.rate_error_ppm[0] for one in told]
    assert widths == sorted(widths, reverse=True)


def test_a_clock_set_meanwhile_is_noticed() -> None:
    remote = Remote(Station(0.0, Random(3)), 0, 0, 0.0, 0.001)

    def meddle(rate) -> None:
        remote.offset_s += 7

    with pytest.raises(VerificationError, match="constant rate"):
        measured(remote, 1, 3600, meddle)


class Simulated:
    """The reference token with an oscillator whose truth is known, and the command line beside it."""

    def __init__(self, folder, rate_ppm: int) -> None:
        path = folder / "clock"
        path.write_text(f"{START_S}\n")
        self.clock = FileClock(path)
        state = OscillatorState.start(START_S, offset_s=Fraction(23, 7), rate_error_ppm=rate_ppm)
        reference = family("reference")
        token = Token(
            family=reference,
            serial="HT000001",
            flash=MemoryFlash(reference.flash.page_size, reference.flash.page_count),
            oscillator=QuartzOscillator(state),
            clock=self.clock,
            random=Random(1),
        )
        token.power_on()
        self.device = serial_line(token, self.clock)
        self.arguments = ["drift", "measure", "--token", "inprocess:1", "--clock", f"file:{path}"]


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    made = Simulated(tmp_path, -17)
    module = types.SimpleNamespace(open_address=lambda rest, options: open_device(made.device, options))
    monkeypatch.setitem(sys.modules, "in_this_process", module)
    monkeypatch.setitem(link.LINKS, "inprocess", "in_this_process:open_address")
    return made


def test_the_simulator_is_the_oracle(simulated, capsys) -> None:
    assert main([*simulated.arguments, "--accuracy-ppm", "0.1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    low, high = result["rate_error_ppm"]
    assert low <= -17 <= high
    assert high - low <= 0.2
    assert result["remaining_s"] == 0
    low, high = result["offset_s"]
    assert low <= 23 / 7 - 17e-6 * (simulated.clock.now() - START_S) <= high


def test_on_a_screen(simulated, capsys) -> None:
    assert main([*simulated.arguments, "--accuracy-ppm", "1/1000", "--for-s", "8"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("token HT000001: rate -")
    lines = captured.err.splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "2", "4", "8"]
    assert all("s more for +-0.001 ppm" in line for line in lines)


def test_an_undisciplined_station_is_refused(simulated, monkeypatch, capsys) -> None:
    monkeypatch.setattr(discipline, "discipline", lambda clock: discipline.Discipline(False, None, "it is a sundial"))
    assert main(simulated.arguments) == 7
    assert "cannot be trusted to measure" in capsys.readouterr().err
    assert main([*simulated.arguments, "--undisciplined-clock-ok"]) == 0
    assert "against this station's clock, which is not trustworthy" in capsys.readouterr().err


def test_nothing_is_known_to_nothing(simulated, capsys) -> None:
    assert main([*simulated.arguments, "--accuracy-ppm", "0"]) == 2
    assert "0 ppm" in capsys.readouterr().err
