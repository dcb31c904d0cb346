"""Everything that can go wrong with Ann's codes, each made to happen in the office; and what its right name is."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyotp

from firmware_sim.oscillator_state import BatteryEvent
from firmware_sim.temperature import TemperatureProfile
from provision.model import Algorithm, OtpParameters
from provision.station.explain.case import Explanation
from tests.explain.office import ANN, COLLEAGUES, DAY, START, TOTP, WEEK, WEEKS, MachineClock, Office, Token

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


def _server_off(least_s: float, most_s: float, *, who_else: int = 5) -> Trouble:
    def trouble(office: Office) -> Explanation:
        _usual(office)
        office.pass_time(DAY)
        office.server_clock.error_s = office.rng.uniform(least_s, most_s)
        for user in COLLEAGUES[:who_else]:
            office.login(user)
            office.pass_time(30)
        while not office.await_refusal(60):  # it is not far enough off to shut her out
            office.server_clock.error_s += 5 if least_s > 0 else -5
        assert not office.login(ANN, typing_s=0)
        return office.ask()

    return trouble


# the account


def disabled(office: Office) -> Explanation:
    _usual(office)
    office.server.disable(office.devices[ANN].device_id)
    return _then(office)


def sent_to_the_old_way(office: Office) -> Explanation:
    _usual(office)
    office.server.set_cutover(office.true.now() + WEEKS * WEEK)
    office.server.set_fallback(ANN, office.true.now() + DAY)
    return _then(office)


def never_proved(office: Office) -> Explanation:
    """Enrolled by herself, and the first code was never typed."""
    office.hire(ANN)
    enrolment = office.server.enrol(ANN, "phone")
    office.devices["phone"] = enrolment.device
    office.tokens["phone"] = Token(
        office.tokens[ANN].oscillator, pyotp.parse_uri(enrolment.otpauth.reveal().decode()).byte_secret()
    )
    office.pass_time(600)
    assert not office.login(ANN, token="phone")
    return office.ask(enrolment.device.device_id, "phone")


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
    return office.ask(str(office.devices[ANN].serial), "ann's other")


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


def mistyped_and_the_desk_is_wrong(office: Office) -> Explanation:
    """Its clock is: what it says of the server's is nothing to go by."""
    _usual(office)
    office.desk_clock = MachineClock(office.true)  # of its own, also where it has none to compare the server's with
    office.desk_clock.error_s = office.rng.choice((-1, 1)) * office.rng.uniform(60, 4000)
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
    return office.ask(misread=True)


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
    assert office.await_refusal(60)
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
        wrong = {"year": now_s - 365 * DAY, "next-year": now_s + 365 * DAY, "month": now_s - 30 * DAY}[date]
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
    assert office.await_refusal(60)
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


def _as_it_is(seed: bytes) -> bytes:
    return seed


def _base64_as_base32(seed: bytes) -> bytes:
    """As apps read it, in capitals, and digits that base32 lacks taken for the letters they look like."""
    text = base64.b64encode(seed.hex().encode()).rstrip(b"=").upper().translate(bytes.maketrans(b"018", b"OLB"))
    return base64.b32decode(text + b"A" * (-len(text) % 8))[: len(text) * 5 // 8]


def _at_odds(
    *,
    record: Callable[[bytes], bytes] = _as_it_is,
    written: Callable[[bytes], bytes] = _as_it_is,
    agreed: OtpParameters = TOTP,
    **has: Any,
) -> Trouble:
    """From the first day on: the server has `record` of a seed and what was `agreed`, the token has `written` of that
    seed and parameters of its own."""

    def trouble(office: Office) -> Explanation:
        for user in COLLEAGUES:
            office.hire(user)
        seed = office.rng.randbytes(20)
        office.hire(ANN, key=record(seed), parameters=agreed)
        token = office.tokens[ANN]
        token.key, token.parameters = written(seed), replace(agreed, **has)
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
    "the server's clock is half a minute off": (_server_off(25, 45), "server-clock"),
    "the same, and nobody else has come": (_server_off(65, 5000, who_else=0), "server-clock"),
    "the device is disabled": (disabled, "disabled"),
    "it was disabled, and is no more": (disabled_then_enabled, "was-disabled"),
    "she is sent to the old way for a day": (sent_to_the_old_way, "fallback"),
    "a phone that was never proved": (never_proved, "pending"),
    "the account is locked after 100 wrong codes": (locked, "locked"),
    "a dozen tries in a minute": (waiting, "waiting"),
    "a code is used twice": (replayed, "replayed"),
    "the code of another of her devices": (other_device, "other-device"),
    "two tokens of a box are exchanged": (neighbour, "neighbour"),
    "a code is typed two minutes late": (late_typist, "typing"),
    "a code is mistyped at the login": (mistyped_at_login, "typing"),
    "the same, and the desk's own clock is off": (mistyped_and_the_desk_is_wrong, "typing"),
    "the codes go to another server": (elsewhere, "no-attempt"),
    "a slow clock": (slow, "clock-drift"),
    "a fast clock": (fast, "clock-drift"),
    "a slow clock that ages": (slow_and_ageing, "clock-drift"),
    "a clock at the edge of the window": (at_the_edge, "clock-drift"),
    "eighteen months in a drawer": (from_a_drawer, "clock-drift"),
    "summer time is added": (_moved(3600), "daylight-saving"),
    "summer time is taken off": (_moved(-3600), "daylight-saving"),
    "set to local time, +5:30 h": (_moved(19_800), "time-zone"),
    "set to local time, -8 h": (_moved(-8 * 3600), "time-zone"),
    "set to a time that is days ahead": (_moved(None), "set-wrong"),
    "set to last year": (_set_to("year"), "wrong-date"),
    "set to next year": (_set_to("next-year"), "wrong-date"),
    "set to last month": (_set_to("month"), "wrong-date"),
    "begins anew at 1970": (_new_battery(0), "epoch-1970"),
    "begins anew at 2000": (_new_battery(946_684_800), "epoch-2000"),
    "begins anew at its first day": (_new_battery(START), "epoch-birth"),
    "stands still with an empty battery": (_new_battery(None), "lost-time"),
    "a seed in hex, taken for text": (_at_odds(record=lambda seed: seed.hex().encode()), "text-as-hex"),
    "a seed in base32, taken for text": (_at_odds(record=base64.b32encode), "text-as-base32"),
    "a seed in base64, taken for text": (_at_odds(record=base64.b64encode), "text-as-base64"),
    "the letters of hex, written into the token": (_at_odds(written=lambda seed: seed.hex().encode()), "hex-as-text"),
    "the letters of base32, written into the token": (_at_odds(written=base64.b32encode), "base32-as-text"),
    "the letters of base64, written into the token": (_at_odds(written=base64.b64encode), "base64-as-text"),
    "hex, read as if it were base64": (_at_odds(written=lambda seed: base64.b64decode(seed.hex())), "hex-as-base64"),
    "base32, read as if it were base64": (
        _at_odds(written=lambda seed: base64.b64decode(base64.b32encode(seed))),
        "base32-as-base64",
    ),
    "base64 of letters, read as if it were base32": (
        _at_odds(record=lambda seed: seed.hex().encode(), written=_base64_as_base32),
        "base64-as-base32",
    ),
    "a seed without its last byte": (_at_odds(record=lambda seed: seed + b"\n"), "trimmed"),
    "a seed with its bytes reversed": (_at_odds(record=lambda seed: seed[::-1]), "byte-reversed"),
    "a seed with the digits of each byte swapped": (
        _at_odds(record=lambda seed: bytes(byte >> 4 | (byte & 15) << 4 for byte in seed)),
        "digits-swapped",
    ),
    "a seed that the token repeats for SHA-256": (
        _at_odds(written=lambda seed: (seed * 2)[:32], agreed=replace(TOTP, algorithm=Algorithm.SHA256)),
        "repeated",
    ),
    "SHA-256 instead of SHA-1": (_at_odds(algorithm=Algorithm.SHA256), "algorithm"),
    "60 s instead of 30 s": (_at_odds(time_step_s=60), "time-step"),
    "both at once": (_at_odds(algorithm=Algorithm.SHA256, time_step_s=60), "time-step-and-algorithm"),
    "8 digits instead of 6": (_at_odds(digits=8), "digits"),
    "another seed altogether": (_at_odds(record=lambda seed: seed[::-1] + b"x"), None),
    "a code is misread at the desk": (misread_at_the_desk, "lost-time"),
    "a shed in winter": (cold, None),
    "the clock is set to TAI": (tai, "set-wrong"),
}
