"""A year of logins of fifty drifting tokens at a server, with the window of each profile: the dates hold every time.

Every token is the simulator's oscillator, whose truth nobody looks at; the server is the embedded one on a clock that
is moved by hand. Where a profile does not follow, what the server has learnt is written back to 0 after each login.
After some logins the dates are computed from the server's own history, and logins are made at the worst and the best
moments of a step that the dates allow: one second before the first date nothing is refused, after the second date what
can be refused is, after the third everything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from random import Random
from uuid import UUID

import pytest

from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from provision.clock import ManualClock
from provision.drift import document
from provision.drift.diagnosis import diagnose
from provision.drift.history import Allowance, document_of
from provision.drift.outlook import Server, outlook
from provision.drift.prediction import Forecast
from provision.drift.profiles import PROFILES, Memory
from provision.errors import CodeMismatch
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.policy import Policy
from tests.drift.strategies import TREF

TOKENS = 50
LOGINS = 12
STEP_S = 30
TOTP = OtpParameters()
# The embedded server moves by whole steps, as most do; privacyIDEA's seconds are imitated in test_drift_profiles.
WINDOWS = {"slapd-otp": (3, 3), "duo": (2, 2)}  # as somebody set them: the default is none, and unknown
FOLLOWING = {name for name, profile in PROFILES.items() if profile.memory is Memory.FOLLOWS}


@dataclass
class Owner:
    """Somebody with a token: logs in, and remembers whether the server let them."""

    number: int
    rate_ppm: float
    oscillator: QuartzOscillator
    secret: Secret

    @property
    def name(self) -> str:
        return f"user{self.number}"

    @property
    def device_id(self) -> str:
        return str(UUID(int=self.number + 1))

    def code(self, now_s: float) -> str:
        device_us = self.oscillator.device_time_us(now_s)
        assert device_us is not None
        return code_at(self.secret, TOTP, device_us // 1_000_000 // STEP_S)


class Year:
    """A server with its clock. Each token has the years for itself: the clock only goes forward."""

    def __init__(self, path: Path, steps: tuple[int, int], follows: bool, seed: int) -> None:
        self.rng, self.clock, self.follows = Random(seed), ManualClock(float(TREF)), follows
        self.server = EmbeddedServer.init(path, self.clock, self.rng.randbytes, Policy(*steps))
        self.steps = steps

    def owner(self, number: int) -> Owner:
        rate_ppm = self.rng.choice((-1, 1)) * self.rng.uniform(3, 30)
        now_s = self.clock.now()
        state = OscillatorState.start(now_s, offset_s=self.rng.randint(-9, 9), rate_error_ppm=Fraction(rate_ppm))
        owner = Owner(number, rate_ppm, QuartzOscillator(state), Secret(self.rng.randbytes(20)))
        registration = Registration(UUID(int=number + 1), owner.name, "token", f"SN{number}", owner.secret, TOTP)
        self.server.register(registration)
        return owner

    def login(self, owner: Owner, at_s: float) -> bool:
        self.clock.wait_until(at_s)
        try:
            self.server.check(owner.name, owner.code(self.clock.now()))
        except CodeMismatch:
            return False
        if not self.follows:
            self.server.set_drift(owner.device_id, 0)
        return True

    def dates(self, owner: Owner, server: Server) -> Forecast:
        """From what the server has seen of that token."""
        history = self.server.history(owner.device_id)
        logins = [(Fraction(entry.at_s), entry.step) for entry in history if entry.step is not None]
        found = document.of_json(document_of(logins, STEP_S, 0, Allowance(Fraction(0), Fraction(0), Fraction(0))))
        diagnosis = diagnose(found.model, found.observations)
        assert diagnosis.feasible
        low, high = diagnosis.estimate.rate_error_ppm
        assert low <= owner.rate_ppm <= high
        dates = outlook(diagnosis.estimate, server, server.window(found)).dates
        assert dates is not None
        return dates


def worst_phase(at_s: float, fast: bool, *, before: bool) -> float:
    """The nearest moment, not after (or not before) `at_s`, at which a clock that is off is furthest off in steps: a
    slow one as the server's step begins, a fast one as it ends."""
    steps = at_s // STEP_S if before else -(-at_s // STEP_S)
    return steps * STEP_S - 0.001 if fast and before else steps * STEP_S + (STEP_S - 0.001 if fast else 0)


@pytest.fixture
def years() -> Iterator[type[Year]]:
    memory = Path("/dev/shm")
    opened: list[Year] = []
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:

        def make(steps: tuple[int, int], follows: bool) -> Year:
            opened.append(Year(Path(directory) / f"{len(opened)}.db", steps, follows, 4))
            return opened[-1]

        yield make
        for year in opened:
            year.server.close()


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_the_dates_bracket_the_first_refused_login(name: str, years) -> None:
    follows = name in FOLLOWING
    # What the server here remembers after a login is what the embedded one does, whatever the profile's own spelling.
    window = PROFILES[name].window(STEP_S, steps=WINDOWS.get(name))
    steps = (window.back_steps, window.forward_steps)
    server = Server(PROFILES["embedded"] if follows else PROFILES["keycloak"], steps)
    year = years(steps, follows)
    accepted = refused = 0
    for number in range(TOKENS):
        owner = year.owner(number)
        fast = owner.rate_ppm > 0
        start_s = year.clock.now()
        lasts_s = min(steps) * STEP_S / abs(owner.rate_ppm) * 1e6 * 0.6
        moments = sorted(year.rng.uniform(0, lasts_s) for _ in range(LOGINS))
        assert all(year.login(owner, start_s + moment) for moment in moments)
        dates = year.dates(owner, server)
        first_s, certain_s, total_s = (
            dates.first_possible_failure_s,
            dates.certain_failure_s,
            dates.total_failure_s,
        )
        assert first_s is not None
        if number % 3 == 0:  # the last moment at which nothing may be refused, unless that is past
            last_s = worst_phase(first_s - 1, fast, before=True)
            if last_s > year.clock.now():
                assert year.login(owner, last_s)
                accepted += 1
            continue
        if certain_s is None or total_s is None:
            continue
        if number % 3 == 1:
            assert not year.login(owner, worst_phase(certain_s + 1, fast, before=False))
        else:
            assert not year.login(owner, total_s + 1 + year.rng.uniform(0, STEP_S))
        refused += 1
    assert accepted >= TOKENS // 6, "a dozen logins say how long it will go well"
    assert refused >= TOKENS // 3, "and when it will not"


@pytest.mark.parametrize("name", ["keycloak", "freeipa"])
def test_a_login_a_day_until_it_is_refused(name: str, years) -> None:
    """As people do it: whenever it happens, every date that was computed along the way had said so."""
    profile = PROFILES[name]
    window = profile.window(STEP_S)
    year = years((window.back_steps, window.forward_steps), False)
    for number in range(8):
        owner = year.owner(number)
        assert year.login(owner, year.clock.now() + 60)
        forecasts, logins = [], 0
        while year.login(owner, year.clock.now() + 86_400 * year.rng.uniform(0.5, 6)):
            logins += 1
            assert logins < 2000
            if logins % 20 == 0 or logins < 4:
                forecasts.append(year.dates(owner, Server(profile)))
        refused_s = year.clock.now()
        for dates in forecasts:
            assert dates.first_possible_failure_s is not None
            assert dates.first_possible_failure_s <= refused_s
            assert dates.total_failure_s is None or dates.total_failure_s > dates.from_s
