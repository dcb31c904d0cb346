"""An office with a server, people, tokens, and somebody at the support desk.

Tokens are the simulator's oscillators and its own HOTP, whose truth nobody at the desk sees; the server is the embedded
one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from random import Random
from uuid import UUID

from firmware_sim.core import otp
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from provision.clock import ManualClock
from provision.drift.history import Allowance
from provision.drift.profiles import PROFILES
from provision.errors import Rejected, VerificationError
from provision.model import OtpParameters, Secret
from provision.servers.backend import Device, Registration, ServerCapability
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.desk import Asked, Desk
from provision.station.explain.case import Explanation
from provision.station.explain.judge import explain

START = 1_767_225_600  # 2026-01-01 UTC
DAY, WEEK = 86_400, 7 * 86_400
WEEKS = 26
ANN, COLLEAGUES = "ann", ("ben", "cleo", "dan", "eve", "fay")
TOTP = OtpParameters()


class MachineClock:
    """The server's, or the desk's: true time, but for what is wrong with it."""

    def __init__(self, true: ManualClock) -> None:
        self.true, self.error_s = true, 0.0

    def now(self) -> float:
        return self.true.now() + self.error_s

    def monotonic(self) -> float:
        return self.true.monotonic()

    def wait_until(self, t: float) -> None:
        self.true.wait_until(t - self.error_s)


class FarServer(EmbeddedServer):
    """On another machine than the desk, which has a clock of its own."""

    @property
    def capabilities(self) -> frozenset[ServerCapability]:
        return frozenset(ServerCapability)


@dataclass
class Token:
    """What somebody carries. `key`, `parameters`: what it really has."""

    oscillator: QuartzOscillator
    key: bytes
    parameters: OtpParameters = TOTP

    def device_s(self, now_s: float) -> float:
        device_us = self.oscillator.device_time_us(now_s)
        assert device_us is not None
        return device_us / 1e6

    def code(self, now_s: float) -> str:
        step = self.parameters.step_at(self.device_s(now_s))
        return otp.code(self.key, step, self.parameters.algorithm.value.lower(), self.parameters.digits)


@dataclass
class Office:
    """`true`: the true time. `tokens`: by user, of Ann two: her own, and a second one by the name "ann's other"."""

    true: ManualClock
    server: EmbeddedServer
    server_clock: MachineClock
    desk_clock: MachineClock
    rng: Random
    tokens: dict[str, Token] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    watches: bool = True

    @classmethod
    def open(cls, path: Path, seed: int, *, watches: bool = True, has_a_clock: bool = True) -> Office:
        """`watches`: whether whoever is on the telephone says when the code changes. `has_a_clock`: the desk, of its
        own."""
        true, rng = ManualClock(float(START)), Random(seed)
        clock = MachineClock(true)
        server = (FarServer if has_a_clock else EmbeddedServer).init(path, clock, rng.randbytes)
        return cls(true, server, clock, MachineClock(true) if has_a_clock else clock, rng, watches=watches)

    def hire(
        self,
        user: str,
        name: str = "token",
        *,
        rate_ppm: float | None = None,
        key: bytes | None = None,
        parameters: OtpParameters = TOTP,
    ) -> None:
        """A token for somebody, and its record on the server."""
        who = user if name == "token" else f"{user}'s {name}"
        if rate_ppm is None:
            rate_ppm = self.rng.uniform(-9, 6)
        state = OscillatorState.start(
            self.true.now(),
            offset_s=self.rng.uniform(-2, 2),
            rate_error_ppm=Fraction(rate_ppm),
            restart_s=int(self.true.now()) + self.rng.randrange(-3600, 3600),
        )
        key = key or self.rng.randbytes(20)
        self.tokens[who] = Token(QuartzOscillator(state), key, parameters)
        number = len(self.tokens)
        self.devices[who] = self.server.register(
            Registration(UUID(int=number), user, name, f"SN{number:03}", Secret(key), parameters)
        )

    def login(self, user: str, *, typing_s: float | None = None, token: str | None = None) -> bool:
        code = self.tokens[token or user].code(self.true.now())
        return self.type(user, code, self.rng.uniform(2, 12) if typing_s is None else typing_s)

    def type(self, user: str, code: str, typing_s: float = 3) -> bool:
        self.true.advance(typing_s)
        try:
            self.server.check(user, code)
        except (VerificationError, Rejected):
            return False
        return True

    def pass_time(self, seconds: float) -> None:
        self.true.advance(seconds)

    def weeks(self, count: int, *, without: str | None = None) -> None:
        """Everybody logs in once a week."""
        for _ in range(count):
            for user in (ANN, *COLLEAGUES):
                self.pass_time(self.rng.uniform(600, 7200))
                if user != without and not self.login(user):
                    self.pass_time(40)
                    self.login(user)
            self.pass_time(WEEK - self.true.now() % WEEK)
        self.pass_time(self.rng.uniform(0, DAY))

    def today(self) -> None:
        """Colleagues log in as ever."""
        for user in COLLEAGUES:
            self.pass_time(self.rng.uniform(60, 900))
            if not self.login(user):
                self.pass_time(40)
                self.login(user)

    def refused(self, user: str = ANN, times: int = 1) -> None:
        """Somebody tries, and does not get in."""
        for _ in range(times):
            assert not self.login(user), "the trouble is none"
            self.pass_time(60)

    def await_refusal(self, patience_s: int) -> bool:
        """Let time pass until a code of Ann's, typed at once, is out of the window; whether that moment came."""
        device, mine = self.server.list(ANN)[0], self.tokens[ANN]
        for _ in range(patience_s):
            now_s = self.server_clock.now()
            step = device.parameters.step_at(mine.device_s(self.true.now()))
            if not -1 <= step - device.parameters.step_at(now_s) - device.drift_steps <= 1:
                return True
            self.pass_time(1)
        return False

    def codes(self, token: str = ANN, *, misread: bool = False) -> Asked:
        """Two in a row, as somebody reads them out; the first as it appears, if they watch for it."""
        mine = self.tokens[token]
        changed_s = None
        if self.watches:
            self._next_code(mine)
            self.pass_time(self.rng.uniform(0.5, 4))  # "now!"
            changed_s = self.server_clock.now()
        first = mine.code(self.true.now())
        self._next_code(mine)
        self.pass_time(self.rng.uniform(0, 5))
        second = mine.code(self.true.now())
        self.pass_time(self.rng.uniform(2, 12))
        if misread:
            second = f"{(int(second) + 1) % 10 ** len(second):0{len(second)}}"
        return Asked((first, second), self.server_clock.now(), changed_s)

    def _next_code(self, token: Token) -> None:
        step_s = token.parameters.time_step_s
        self.pass_time(step_s - token.device_s(self.true.now()) % step_s)

    def ask(self, who: str = ANN, token: str = ANN, *, misread: bool = False) -> Explanation:
        """`misread`: the first time; whoever is asked again takes care."""
        desk = Desk(self.server, self.desk_clock)

        def codes(again: bool) -> Asked:
            return self.codes(token, misread=misread and not again)

        return explain(desk, who, codes, PROFILES["embedded"], Allowance())
