"""`--token=ADDRESS`: the same tests on a token of hardware, only read, or erased before each if that was asked for."""

from __future__ import annotations

import json

import pytest

from pytest_hwtoken.token import BenchToken
from tests.plugin.runs import RERUNS, last_line

pytest_plugins = ["pytester"]

HARDWARE_TESTS = """
import subprocess, sys
import pytest
from provision.errors import TokenError
from provision.model import NewCredential, Secret

def test_reads(token):
    session = token.session()
    assert session.info().serial == token.serial
    session.credentials(), session.read_clock()

def test_writes(token):
    session = token.session()
    session.authenticate(None)
    session.put(NewCredential("anna", Secret(b"12345678901234567890"), pin=False))
    assert [one.name for one in session.credentials()] == ["anna"]
    assert abs(session.read_clock().device_s - token.clock.now()) < 5

def test_writes_again(token):
    test_writes(token)

@pytest.mark.token(pin="271828")
def test_pin(token_process):
    token_process.session().verify_pin(Secret(b"271828"))

def test_address(token_address):
    command = [sys.executable, "-m", "provision", "info", "--token", token_address]
    assert subprocess.run(command).returncode == 0

def test_code(token):
    with pytest.raises(TokenError):
        token.session().calculate("nobody")

def test_apdus(token):
    assert token.open().exchange(bytes.fromhex("00A4040007A0000005272101"))[-2:] == b"\\x90\\0"

# What only the simulator has
@pytest.mark.token(aged="18 months")
def test_aged(token): pass
def test_time(token, token_clock): token_clock.advance("1 day")
def test_hands(token): token.press()
@pytest.mark.token(family="yubikey")
def test_yubikey(token): pass
@pytest.mark.token(serial="SN-2")
def test_serial(token): pass
def test_two(token, token_process): pass
"""
_SIMULATED_ONLY = 6


@pytest.mark.parametrize("token_process", ["pty", "tcp"], indirect=True)
class TestHardware:
    """The simulator, at an address, stands for the token on somebody's desk."""

    @pytest.fixture
    def of_hardware(self, token_process: BenchToken, pytester: pytest.Pytester) -> list[str]:
        pytester.makepyfile(HARDWARE_TESTS)
        return ["-rs", "-p", "no:randomly", "--token", token_process.address, "--token-serial", token_process.serial]

    def test_it_is_only_read_unless_it_may_be_erased(
        self, token_process: BenchToken, pytester: pytest.Pytester, of_hardware: list[str]
    ) -> None:
        before = token_process.inspect()
        result = pytester.runpytest(*of_hardware)
        result.assert_outcomes(passed=1, skipped=6 + _SIMULATED_ONLY)
        assert last_line(result) == f"hwtoken: links run: hardware 1; skipped {6 + _SIMULATED_ONLY}"
        result.stdout.fnmatch_lines([f"hwtoken: token {token_process.serial} at *, only read"])
        after = token_process.inspect()
        for view in (before, after):
            del view["token"]["true_time_s"], view["token"]["device_time_us"], view["truth"]
        assert after == before  # nothing was written, no attempt spent

    def test_with_the_flag_each_test_gets_it_erased(
        self, token_process: BenchToken, pytester: pytest.Pytester, of_hardware: list[str]
    ) -> None:
        token_process.control("oscillator", offset_s=-3600)
        result = pytester.runpytest(*of_hardware, "--token-erase")
        result.assert_outcomes(passed=7, skipped=_SIMULATED_ONLY)
        result.stdout.fnmatch_lines(["hwtoken: token * erased before each test"])
        reasons = " ".join(result.outlines)
        for reason in (
            "clock of a real token",
            "cannot be moved",
            "a hand at the token",
            "of family yubikey",
            "second token",
        ):
            assert reason in reasons

    def test_keys_that_a_test_has_changed_stop_every_later_one_in_words(
        self, token_process: BenchToken, pytester: pytest.Pytester, of_hardware: list[str]
    ) -> None:
        pytester.makepyfile(
            """
from provision.model import Secret

def test_changes_them(token):
    session = token.session()
    session.authenticate(None)
    session.change_admin_key(Secret(bytes(32)))

def test_next(token): pass
def test_after_that(token): pass
"""
        )
        result = pytester.runpytest(*of_hardware, "--token-erase")
        result.assert_outcomes(passed=1, errors=2)
        refused = [line for line in result.outlines if "administrator" in line]
        assert len(refused) == 2, result.outlines

    def test_a_rerun_has_it_again(
        self, token_process: BenchToken, pytester: pytest.Pytester, of_hardware: list[str]
    ) -> None:
        pytester.makeconftest(RERUNS)
        pytester.makepyfile("seen = []\ndef test_flaky(token):\n    seen.append(token)\n    assert len(seen) == 2")
        result = pytester.runpytest(*of_hardware, "-p", "no:rerunfailures")
        assert result.parseoutcomes() == {"rerun": 1, "passed": 1}

    def test_another_token_is_not_touched(
        self, token_process: BenchToken, pytester: pytest.Pytester, of_hardware: list[str]
    ) -> None:
        before = json.dumps(token_process.inspect()["flash"])
        result = pytester.runpytest(*of_hardware[:-1], "SN-OTHER", "--token-erase")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert f"is {token_process.serial}, not SN-OTHER: nothing was done to it" in result.stderr.str()
        assert json.dumps(token_process.inspect()["flash"]) == before
