"""A Molto2's clock, in whole seconds, and its screen, which can be locked."""

from __future__ import annotations

import pytest

from provision.errors import InputError, NotSupported
from provision.model import OtpParameters
from provision.otp import code_at
from provision.station.timing import measure
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Sw
from tests.families.molto2.bench import KEY, SEED, Bench, credential
from tests.families.sm4_bench import require_time_written_at_once


def test_the_clock_is_read_in_whole_seconds_and_found_to_a_fraction(bench, session):
    bench.oscillator.offset_us = -41_300_000
    reading = session.read_clock()
    assert reading.resolution_s == 1.0
    assert reading.device_s == int(bench.clock.now() - 41.3)
    found = measure(session, bench.clock)
    assert found.lo_ms <= -41_300 <= found.hi_ms
    assert found.hi_ms - found.lo_ms < 50


def test_setting_the_clock_keeps_the_seeds(bench, admin):
    admin.put(credential("a"))
    admin.put(credential("b"))
    bench.oscillator.offset_us = 3_600_000_000
    admin.write_clock(1_800_000_000)
    assert bench.token.inspect()["device_time_us"] == 1_800_000_000_000_000
    assert bench.code_of("b") == code_at(SEED, OtpParameters(), 60_000_000)
    with pytest.raises(InputError):
        admin.write_clock(1 << 32)


# The screen


def test_a_locked_screen_shows_no_codes(bench, admin):
    admin.put(credential())
    admin.lock_screen(True)
    bench.token.press_button()
    assert bench.token.screen() == "locked"
    bench.token.power_off()
    bench.token.power_on()
    bench.token.press_button()
    assert bench.token.screen() == "locked"
    session = bench.session()
    session.authenticate(None)
    session.lock_screen(False)
    assert bench.code_of("VPN").isdigit()


def test_no_lock_before_firmware_2_1():
    session = Bench(firmware="2.0.0").session()
    session.authenticate(None)
    with pytest.raises(NotSupported, match="2\\.1"):
        session.lock_screen(True)


def test_no_title_can_command_the_screen(bench, admin):
    admin.put(credential())
    body = sm4_secure.encrypt(KEY, sm4_secure.pad(b"\n\x1b[2J\xff x"))
    assert bench.sw(sm4_secure.secured(KEY, molto2.Ins.TITLE, 0, 0, body)) == Sw.OK
    bench.token.press_button()
    assert bench.token.screen().rpartition(" ")[0] == "0.\ufffd\ufffd[2J\ufffd x"


@pytest.mark.parametrize("device_s", [-1, 1 << 32])
def test_the_clock_has_32_bits(bench, admin, device_s):
    admin.put(credential())
    bench.oscillator.offset_us = (device_s - int(bench.clock.now())) * 1_000_000
    seconds = device_s % (1 << 32)
    assert admin.read_clock().device_s == seconds
    assert bench.code_of("VPN") == code_at(SEED, OtpParameters(), seconds // 30)


def test_the_screen_goes_dark(bench, admin):
    admin.put(credential())
    bench.token.press_button()
    assert bench.token.screen().startswith("0.VPN ")
    bench.clock.wait_until(bench.clock.now() + 30)
    assert bench.token.screen() == ""


def test_the_time_is_written_at_once(bench, admin, monkeypatch):
    admin.put(credential())
    require_time_written_at_once(admin, monkeypatch, sm4_secure.Ins.CONFIG)
