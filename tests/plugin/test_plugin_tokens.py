"""What the fixtures give: this file is an ordinary user of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.control.client import ControlClient
from firmware_sim.control.errors import ControlError
from provision.errors import LinkError, OutcomeUnknown, PinIncorrect
from provision.model import NewCredential, OtpParameters, PinState, Secret
from provision.otp import code_at
from pytest_hwtoken.clocks import START_S, MovedClock, TokenClock
from pytest_hwtoken.declared import Declared
from pytest_hwtoken.process import TokenProcess
from pytest_hwtoken.server import BenchServer
from pytest_hwtoken.token import BenchToken

PIN = "271828"
SECRET = Secret(b"12345678901234567890")
YEARS_AND_A_HALF_S = 18 * 31_557_600 / 12
_SEEN: list[str] = []


def provision(*arguments: str, stdin: str = "") -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "provision", *arguments, "--json"],
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize("again", [1, 2])
def test_each_test_gets_a_token_out_of_its_box(token: BenchToken, again: int) -> None:
    info = token.session().info()
    assert (info.serial, info.family) == (token.serial, "reference")
    assert (info.pin_state, info.factory_keys, info.credentials_used) == (PinState.UNSET, True, 0)
    assert token.inspect()["truth"]["offset_s"] == 0
    session = token.session()
    session.authenticate(None)
    session.put(NewCredential("left behind", SECRET))  # for the next one to find, if it could


@pytest.mark.parametrize("again", [1, 2])
def test_each_test_has_a_serial_and_a_time_of_its_own(token: BenchToken, token_clock: TokenClock, again: int) -> None:
    assert token.serial not in _SEEN
    _SEEN.append(token.serial)
    assert token_clock.now() == START_S
    token_clock.advance("1 year")


@pytest.mark.token(pin=PIN)
class TestDeclared:
    def test_a_pin_is_set(self, token: BenchToken) -> None:
        assert token.session().info().attempts_remaining == 8
        token.session().verify_pin(Secret(PIN.encode()))

    @pytest.mark.token(aged="18 months", rate_error_ppm=-4)
    def test_a_method_adds_to_its_class(self, token: BenchToken, token_clock: TokenClock) -> None:
        assert token.inspect()["truth"]["offset_s"] == pytest.approx(-4e-6 * YEARS_AND_A_HALF_S, abs=1e-5)
        assert token_clock.now() == START_S
        token.session().verify_pin(Secret(PIN.encode()))

    @pytest.mark.token(pin="999999")
    def test_the_nearest_marker_wins(self, token: BenchToken) -> None:
        session = token.session()
        with pytest.raises(PinIncorrect):
            session.verify_pin(Secret(PIN.encode()))
        session.verify_pin(Secret(b"999999"))


@pytest.mark.token(offset_s=-2.5, ageing_ppm_per_year=1, temperature_c=25, jitter_us=100)
def test_the_whole_quartz_can_be_declared(token: BenchToken, token_process: BenchToken) -> None:
    truths = [one.inspect()["truth"] for one in (token, token_process)]
    for truth in truths:
        assert truth["offset_s"] != -2.5
        assert truth["offset_s"] == pytest.approx(-2.5, abs=2e-4)
        assert truth["ageing_ppm_per_year"] == 1


def test_true_time_is_one_for_token_server_and_programs(
    token_process: BenchToken, token_server: BenchServer, token_clock: TokenClock, token_address: str
) -> None:
    token_clock.advance("2 days")
    assert token_process.inspect()["truth"]["true_time_s"] == START_S + 2 * 86_400
    info = provision("info", "--token", token_address, "--clock", token_clock.option)
    assert info["serial"] == token_process.serial
    listed = provision("server", "list", "--server", token_server.address, "--clock", token_clock.option)
    assert listed["devices"] == []


def test_a_code_of_the_token_is_the_one_that_a_server_computes(token: BenchToken, token_clock: TokenClock) -> None:
    session = token.session()
    session.authenticate(None)
    session.put(NewCredential("anna", SECRET, pin=False))
    step = OtpParameters().step_at(token_clock.now())
    assert session.calculate("anna").value == code_at(SECRET, OtpParameters(), step)


@pytest.mark.parametrize("fixture", ["token", "token_process"])
class TestHands:
    """The same ones in this process and at the end of a control channel."""

    @pytest.fixture
    def held(self, request: pytest.FixtureRequest, fixture: str) -> BenchToken:
        held: BenchToken = request.getfixturevalue(fixture)
        return held

    def test_the_cable_carries_the_supply(self, held: BenchToken) -> None:
        session = held.session()
        held.unplug()
        with pytest.raises(LinkError, match=r"cable|gone|lost|closed"):
            session.info()
        held.plug()
        assert held.session().info().serial == held.serial

    def test_a_cable_is_pulled_at_the_very_instruction(self, held: BenchToken) -> None:
        session = held.session()
        held.control("cable", action="unplug", after="SET PIN", before_reply=True)
        with pytest.raises(OutcomeUnknown):
            session.set_pin(Secret(PIN.encode()))
        held.plug()
        assert held.session().info().attempts_remaining == 8  # it had happened

    def test_the_keypad_the_screen_and_the_button(self, held: BenchToken) -> None:
        assert held.type_pin(PIN) == held.screen()
        held.type_pin(PIN)
        assert held.session().info().attempts_remaining == 8
        assert held.press() == held.screen()

    def test_a_touch_is_awaited_and_given(self, held: BenchToken) -> None:
        session = held.session(on_pending=lambda _: held.press() and None)
        session.authenticate(None)
        session.put(NewCredential("anna", SECRET, pin=False, touch=True))
        assert len(session.calculate("anna").value) == 6

    def test_what_cannot_be_done_is_said(self, held: BenchToken) -> None:
        with pytest.raises(ControlError, match="plugged in already"):
            held.plug()

    def test_its_clock_errs_while_true_time_stands_still(self, held: BenchToken, token_clock: TokenClock) -> None:
        held.control("oscillator", rate_error_ppm="10")
        held.age("1 year")
        assert held.inspect()["truth"]["offset_s"] == pytest.approx(315.576)
        assert token_clock.now() == START_S


@pytest.mark.parametrize("token_process", ["tcp", "usbip"], indirect=True)
def test_a_test_names_its_link(token_process: BenchToken) -> None:
    assert token_process.address.partition(":")[0] in ("tcp", "usbip")
    assert token_process.session().info().serial == token_process.serial


@pytest.mark.token(family="yubikey", firmware="4.2.7")
def test_a_token_without_serial_line_has_another_link(token: BenchToken, token_process: BenchToken) -> None:
    for one in (token, token_process):
        assert (one.session().info().family, one.session().info().firmware) == ("yubikey", "4.2.7")
    assert token_process.address.startswith("usbip:")


@pytest.mark.token(family="yubikey", serial="SN-1")
def test_what_cannot_be_told_as_serial_is_nowhere_the_serial(token: BenchToken, token_process: BenchToken) -> None:
    for one in (token, token_process):
        assert one.serial == one.session().info().serial == one.inspect()["token"]["serial"] != "SN-1"


@pytest.mark.parametrize(
    "given",
    [pytest.param(name, marks=pytest.mark.token(family=name)) for name in ("reference", "yubikey", "molto2", "token2")],
)
def test_every_family_is_had_in_this_process(token: BenchToken, given: str) -> None:
    session = token.session()
    assert (session.info().family, session.info().serial) == (given, token.serial)
    session.authenticate(None)
    session.put(NewCredential("a" if given != "token2" else "", SECRET, own_clock=given != "yubikey", pin=False))


@pytest.mark.token(clock="system", rate_error_ppm=-4, aged="18 months")
def test_the_machines_clock_serves_too(token: BenchToken, token_clock: TokenClock) -> None:
    assert token_clock.option == "system"
    assert token_clock.now() > START_S
    assert token.inspect()["truth"]["offset_s"] == pytest.approx(-189, abs=1)


def test_two_tokens_of_a_test_are_two(token: BenchToken, token_process: BenchToken) -> None:
    assert token.serial != token_process.serial
    ids = {one.inspect()["token"]["device_id"] for one in (token, token_process)}
    assert len(ids) == 2


def test_seconds_may_be_as_few_as_a_float_can_say(token: BenchToken, token_clock: TokenClock) -> None:
    """Python writes the least of them with an exponent, which is no duration."""
    token_clock.advance(0.00005)
    assert token_clock.now() - START_S == pytest.approx(0.00005, abs=1e-6)
    token.age(1e-5)
    for refused in (-1, float("nan"), "-1 s"):
        with pytest.raises(ControlError):
            token_clock.advance(refused)


def test_a_process_that_cannot_be_had_keeps_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that it left open would fail this test as a ResourceWarning."""

    def refused(self: ControlClient, op: str, **fields: object) -> dict[str, Any]:
        raise ControlError("no")

    monkeypatch.setattr(ControlClient, "request", refused)
    with pytest.raises(ControlError, match="no"):
        TokenProcess(Declared(), MovedClock(tmp_path / "clock"), "SIM00001", 1, "tcp", tmp_path / "log")
