"""An office with a server, people and tokens, half a year of logins, and everything that can go wrong with one of them.

Tokens are the simulator's oscillators and its own HOTP, whose truth nobody at the desk sees; the server is the embedded
one. Each trouble is made to happen; `VERDICTS` says which names would be right for it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from random import Random
from uuid import UUID

from firmware_sim.core import otp
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import BatteryEvent, OscillatorState
from firmware_sim.temperature import TemperatureProfile
from provision.clock import ManualClock
from provision.drift.history import Allowance
from provision.drift.profiles import PROFILES
from provision.errors import Rejected, VerificationError
from provision.model import Algorithm, OtpParameters, Secret
from provision.servers.backend import Device, Registration
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.desk import Desk
from provision.station.explain.case import Explanation
from provision.station.explain.judge import explain

START = 1_767_225_600  # 2026-01-01 UTC
DAY, WEEK = 86_400, 7 * 86_400
WEEKS = 26
ANN, COLLEAGUES = "ann", ("ben", "cleo", "dan", "eve", "fay")
TOTP = OtpParameters()


class ServerClock:
    """The server's: true time, but for what is wrong with it."""

    def __init__(self, true: ManualClock) -> None:
        self.true, self.error_s = true, 0.0

    def now(self) -> float:
        return self.true.now() + self.error_s

    def monotonic(self) -> float:
        return self.true.monotonic()

    def wait_until(self, t: float) -> None:
        self.true.wait_until(t - self.error_s)


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
    server_clock: ServerClock
    rng: Random
    tokens: dict[str, Token] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, seed: int) -> Office:
        true, rng = ManualClock(float(START)), Random(seed)
        clock = ServerClock(true)
        return cls(true, EmbeddedServer.init(path, clock, rng.randbytes), clock, rng)

    def hire(
        self, user: str, name: str = "token", *, rate_ppm: float | None = None, record: bytes | None = None
    ) -> None:
        """A token for somebody. `record`: what the server gets for its seed, if not that."""
        who = user if name == "token" else f"{user}'s {name}"
        if rate_ppm is None:
            rate_ppm = self.rng.uniform(-9, 6)
        state = OscillatorState.start(
            self.true.now(),
            offset_s=self.rng.uniform(-2, 2),
            rate_error_ppm=Fraction(rate_ppm),
            restart_s=int(self.true.now()) + self.rng.randrange(-3600, 3600),
        )
        key = self.rng.randbytes(20)
        self.tokens[who] = Token(QuartzOscillator(state), key)
        number = len(self.tokens)
        self.devices[who] = self.server.register(
            Registration(UUID(int=number), user, name, f"SN{number:03}", Secret(record or key), TOTP)
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

    def codes(self, token: str = ANN) -> tuple[str, ...]:
        """Two in a row, as somebody reads them out."""
        mine = self.tokens[token]
        first = mine.code(self.true.now())
        step_s = mine.parameters.time_step_s
        self.pass_time(step_s - mine.device_s(self.true.now()) % step_s + self.rng.uniform(0, 5))
        second = mine.code(self.true.now())
        self.pass_time(self.rng.uniform(2, 12))
        return first, second

    def ask(self, who: str = ANN, codes: tuple[str, ...] | None = None) -> Explanation:
        desk = Desk(self.server, self.server_clock)
        given = codes or self.codes()
        return explain(desk, who, lambda: given, PROFILES["embedded"], Allowance())


Trouble = Callable[[Office], Explanation]


def _usual(office: Office, **ann: float) -> Token:
    for user in COLLEAGUES[:3]:
        office.hire(user)
    office.hire(ANN, **ann)
    for user in COLLEAGUES[3:]:
        office.hire(user)
    office.weeks(WEEKS)
    return office.tokens[ANN]


def _then(office: Office, *, refused: int = 1) -> Explanation:
    office.refused(times=refused)
    office.today()
    return office.ask()


# the server's clock


def _server_off(least_s: float, most_s: float) -> Trouble:
    def trouble(office: Office) -> Explanation:
        _usual(office)
        office.pass_time(DAY)
        office.server_clock.error_s = office.rng.uniform(least_s, most_s)
        for user in COLLEAGUES:
            office.login(user)
            office.pass_time(30)
        office.refused()
        return office.ask()

    return trouble


# the account


def disabled(office: Office) -> Explanation:
    _usual(office)
    office.server.disable(office.devices[ANN].device_id)
    return _then(office)


def locked(office: Office) -> Explanation:
    _usual(office)
    for number in range(100):
        office.pass_time(600)
        office.type(ANN, f"{number:06}")
    return _then(office)


def waiting(office: Office) -> Explanation:
    _usual(office)
    for number in range(12):  # in one go
        office.type(ANN, f"{number:06}", 0)
        office.pass_time(5 * number + 1 if number < 11 else 0)
    office.refused()
    return office.ask()


def replayed(office: Office) -> Explanation:
    _usual(office)
    code = office.tokens[ANN].code(office.true.now())
    office.type(ANN, code)
    office.type(ANN, code)
    office.today()
    return office.ask()


def disabled_then_enabled(office: Office) -> Explanation:
    _usual(office)
    office.server.disable(office.devices[ANN].device_id)
    office.refused()
    office.server.enable(office.devices[ANN].device_id)
    office.today()
    return office.ask()


# the person


def other_device(office: Office) -> Explanation:
    _usual(office)
    office.hire(ANN, "other")
    office.today()
    return office.ask(str(office.devices[ANN].serial), office.codes("ann's other"))


def neighbour(office: Office) -> Explanation:
    """Two tokens of a box, handed out the wrong way round."""
    for user in COLLEAGUES:
        office.hire(user)
    office.hire(ANN)
    office.tokens[ANN], office.tokens["fay"] = office.tokens["fay"], office.tokens[ANN]
    for _ in range(3):
        office.pass_time(DAY)
        office.today()
    return _then(office)


def late_typist(office: Office) -> Explanation:
    _usual(office)
    assert not office.login(ANN, typing_s=150)
    office.today()
    return office.ask()


def mistyped_at_login(office: Office) -> Explanation:
    _usual(office)
    office.type(ANN, "000000")
    office.today()
    return office.ask()


def elsewhere(office: Office) -> Explanation:
    """She types them into another server."""
    _usual(office)
    office.today()
    return office.ask()


def misread_at_the_desk(office: Office) -> Explanation:
    token = _usual(office)
    token.oscillator.change(office.true.now(), offset_s=-400)
    office.refused()
    office.today()
    first, second = office.codes()
    return office.ask(codes=(first, f"{(int(second) + 1) % 10**6:06}"))


# the clock


def slow(office: Office) -> Explanation:
    _usual(office, rate_ppm=-office.rng.uniform(15, 45))
    office.weeks(36, without=ANN)
    return _then(office, refused=2)


def fast(office: Office) -> Explanation:
    _usual(office, rate_ppm=office.rng.uniform(12, 35))
    office.weeks(40, without=ANN)
    return _then(office, refused=2)


def slow_and_ageing(office: Office) -> Explanation:
    token = _usual(office, rate_ppm=-office.rng.uniform(15, 30))
    token.oscillator.change(office.true.now(), ageing_ppm_per_year=-2)
    office.weeks(52, without=ANN)
    return _then(office, refused=2)


def at_the_edge(office: Office) -> Explanation:
    """A clock that is let in at some moments of a step and not at others."""
    token = _usual(office, rate_ppm=-office.rng.uniform(16, 24))
    device = office.server.list(ANN)[0]

    def behind_s() -> float:
        offset_s = token.oscillator.offset_s(office.true.now())
        assert offset_s is not None
        return device.drift_steps * 30 - offset_s

    while behind_s() < 42:
        office.weeks(1, without=ANN)
    while int(token.device_s(office.true.now())) // 30 - office.true.now() // 30 - device.drift_steps >= -1:
        office.pass_time(1)
    assert not office.login(ANN, typing_s=0)
    office.today()
    return office.ask()


def from_a_drawer(office: Office) -> Explanation:
    """Registered, and then not used for eighteen months."""
    for user in COLLEAGUES:
        office.hire(user)
    office.hire(ANN, rate_ppm=-office.rng.uniform(8, 40))
    office.weeks(78, without=ANN)
    return _then(office)


def _moved(seconds: int | None) -> Trouble:
    def trouble(office: Office) -> Explanation:
        token = _usual(office)
        office.pass_time(DAY)
        offset_s = token.oscillator.offset_s(office.true.now())
        assert offset_s is not None
        size_s = office.rng.randrange(DAY, 6 * DAY) if seconds is None else seconds
        token.oscillator.change(office.true.now(), offset_s=offset_s + size_s)
        office.weeks(office.rng.randrange(1, 4), without=ANN)
        return _then(office)

    return trouble


def _set_to(date: str) -> Trouble:
    def trouble(office: Office) -> Explanation:
        token = _usual(office)
        now_s = int(office.true.now())
        wrong = {"year": now_s - 365 * DAY, "next-year": now_s + 365 * DAY}[date]
        token.oscillator.set_device_time(office.true.now(), wrong)
        office.weeks(office.rng.randrange(1, 4), without=ANN)
        return _then(office)

    return trouble


def _new_battery(restart_s: int | None) -> Trouble:
    """It dies, lies about, and gets a new one; the clock begins at `restart_s`, or goes on where it stopped."""

    def trouble(office: Office) -> Explanation:
        token = _usual(office)
        now_s = office.true.now()
        begins = int(token.device_s(now_s)) if restart_s is None else restart_s
        token.oscillator.state = replace(token.oscillator.state, restart_s=begins)
        token.oscillator.battery(now_s, BatteryEvent.DIED)
        office.weeks(office.rng.randrange(1, 30), without=ANN)
        token.oscillator.battery(office.true.now(), BatteryEvent.REPLACED)
        office.weeks(office.rng.randrange(1, 9), without=ANN)
        return _then(office)

    return trouble


def tai(office: Office) -> Explanation:
    """37 s, in the direction in which it matters, and at a moment when it does."""
    token = _usual(office)
    device, now_s = office.server.list(ANN)[0], office.true.now()
    offset_s = token.oscillator.offset_s(now_s)
    assert offset_s is not None
    ahead = offset_s >= device.drift_steps * 30
    token.oscillator.change(now_s, offset_s=offset_s + (37 if ahead else -37))
    office.pass_time(DAY)
    while -1 <= int(token.device_s(office.true.now())) // 30 - office.true.now() // 30 - device.drift_steps <= 1:
        office.pass_time(1)
    assert not office.login(ANN, typing_s=0)
    office.today()
    return office.ask()


def cold(office: Office) -> Explanation:
    """From a warm pocket into an unheated shed."""
    token = _usual(office)
    token.oscillator.change(office.true.now(), temperature=TemperatureProfile.constant(-8))
    office.weeks(office.rng.randrange(4, 9), without=ANN)
    return _then(office)


# the seed


def _seed(record: Callable[[bytes], bytes]) -> Trouble:
    """The server has something else on record than the token has."""

    def trouble(office: Office) -> Explanation:
        for user in COLLEAGUES:
            office.hire(user)
        office.hire(ANN)
        office.server.delete(office.devices[ANN].device_id)
        token = office.tokens[ANN]
        office.devices[ANN] = office.server.register(
            Registration(UUID(int=99), ANN, "token", "SN099", Secret(record(token.key)), TOTP)
        )
        for _ in range(3):
            office.pass_time(DAY)
            office.today()
        return _then(office)

    return trouble


def _parameters(**wrong: object) -> Trouble:
    """The token hashes, counts or shows otherwise than the server thinks."""

    def trouble(office: Office) -> Explanation:
        for user in COLLEAGUES:
            office.hire(user)
        office.hire(ANN)
        office.tokens[ANN].parameters = replace(TOTP, **wrong)  # type: ignore[arg-type]
        for _ in range(3):
            office.pass_time(DAY)
            office.today()
        return _then(office)

    return trouble


# trouble -> (how it comes about, the name that is right for it; None: nobody could tell)
TROUBLES: dict[str, tuple[Trouble, str | None]] = {
    "the server's clock is minutes or hours off": (_server_off(150, 5000), "server-clock"),
    "the server's clock is a minute ahead": (_server_off(65, 90), "server-clock"),
    "the server's clock is a minute behind": (_server_off(-90, -65), "server-clock"),
    "the device is disabled": (disabled, "disabled"),
    "it was disabled, and is no more": (disabled_then_enabled, "was-disabled"),
    "the account is locked after 100 wrong codes": (locked, "locked"),
    "a dozen tries in a minute": (waiting, "waiting"),
    "a code is used twice": (replayed, "replayed"),
    "the code of another of her devices": (other_device, "other-device"),
    "two tokens of a box are exchanged": (neighbour, "neighbour"),
    "a code is typed two minutes late": (late_typist, "typing"),
    "a code is mistyped at the login": (mistyped_at_login, "typing"),
    "the codes go to another server": (elsewhere, "no-attempt"),
    "a slow clock": (slow, "clock-drift"),
    "a fast clock": (fast, "clock-drift"),
    "a slow clock that ages": (slow_and_ageing, "clock-drift"),
    "eighteen months in a drawer": (from_a_drawer, "clock-drift"),
    "summer time is added": (_moved(3600), "daylight-saving"),
    "summer time is taken off": (_moved(-3600), "daylight-saving"),
    "set to local time, +5:30 h": (_moved(19_800), "time-zone"),
    "set to local time, -8 h": (_moved(-8 * 3600), "time-zone"),
    "set to a time that is days ahead": (_moved(None), "set-wrong"),
    "set to last year": (_set_to("year"), "wrong-date"),
    "set to next year": (_set_to("next-year"), "wrong-date"),
    "begins anew at 1970": (_new_battery(0), "epoch-1970"),
    "begins anew at 2000": (_new_battery(946_684_800), "epoch-2000"),
    "begins anew at its first day": (_new_battery(START), "epoch-birth"),
    "stands still with an empty battery": (_new_battery(None), "lost-time"),
    "a seed in hex, taken for text": (_seed(lambda key: key.hex().encode()), "text-as-hex"),
    "a seed in base32, taken for text": (_seed(base64.b32encode), "text-as-base32"),
    "a seed in base64, taken for text": (_seed(base64.b64encode), "text-as-base64"),
    "a seed without its last byte": (_seed(lambda key: key + b"\n"), "trimmed"),
    "a seed with its bytes reversed": (_seed(lambda key: key[::-1]), "byte-reversed"),
    "a seed with the digits of each byte swapped": (
        _seed(lambda key: bytes(byte >> 4 | (byte & 15) << 4 for byte in key)),
        "digits-swapped",
    ),
    "SHA-256 instead of SHA-1": (_parameters(algorithm=Algorithm.SHA256), "algorithm"),
    "60 s instead of 30 s": (_parameters(time_step_s=60), "time-step"),
    "8 digits instead of 6": (_parameters(digits=8), "digits"),
    "another seed altogether": (_seed(lambda key: key[::-1] + b"x"), None),
    "a code is misread at the desk": (misread_at_the_desk, None),
    "a shed in winter": (cold, None),
    "the clock is set to TAI": (tai, None),
}
