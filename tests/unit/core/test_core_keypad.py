"""The keypad, the button and the screen of one line: docs/PROTOCOL.md section 5."""

from __future__ import annotations

import pytest

from firmware_sim.flash import MemoryFlash, Moment, PowerCut
from firmware_sim.seams import Battery, PowerLost
from firmware_sim.testing import Bench, Host, make_bench
from provision.wire import oath, reference, reference_oath
from provision.wire.apdu import Sw
from provision.wire.oath import HashKind, Ins, OathKind
from provision.wire.reference_oath import Flag, Timing

PIN = "271828"
SECRET = b"12345678901234567890"


def put(host: Host, name: str, flags: Flag = Flag.OWN_CLOCK, *, t0_s: int = 0) -> None:
    new = reference_oath.Put(name, OathKind.TOTP, HashKind.SHA1, 6, SECRET, timing=Timing(30, t0_s, flags))
    assert host.secure(Ins.PUT, data=new.encode()).sw == Sw.OK


def type_pin(bench: Bench, pin: str) -> str:
    bench.token.type_pin(pin)
    return bench.token.screen()


def press(bench: Bench) -> str:
    bench.token.press_button()
    return bench.token.screen()


def test_the_same_pin_typed_twice_is_set(bench: Bench) -> None:
    assert type_pin(bench, PIN) == "again"
    assert type_pin(bench, "999999") == "not the same"
    assert bench.token.inspect()["pin"] == "unset"
    assert type_pin(bench, PIN) == "again"
    assert type_pin(bench, PIN) == "PIN set"
    assert type_pin(bench, PIN) == "PIN ok"


@pytest.mark.parametrize("pin", ["12345", "1" * 17, "12a456", "", "１２３４５６", "\ud800"], ids=ascii)
def test_a_pin_of_wrong_form(bench: Bench, pin: str) -> None:
    assert type_pin(bench, PIN) == "again"
    assert type_pin(bench, pin) == "6 to 16 digits"
    assert type_pin(bench, PIN) == "PIN set"


def test_attempts_are_charged_as_anywhere(bench: Bench, host: Host) -> None:
    type_pin(bench, PIN)
    type_pin(bench, PIN)
    assert type_pin(bench, "000000") == "wrong PIN, 7 left"
    assert reference_oath.SelectReply.decode(host.select().data).attempts_remaining == 7
    assert [type_pin(bench, "000000") for _ in range(7)][-2:] == ["wrong PIN, 1 left", "PIN blocked"]
    assert type_pin(bench, PIN) == "PIN blocked"
    assert host.send(Ins.VERIFY_PIN, data=reference_oath.Pin(PIN.encode()).encode()).sw == Sw.AUTHENTICATION_BLOCKED


def test_a_code_stays_for_thirty_seconds(bench: Bench, host: Host) -> None:
    assert bench.token.screen() == "hwtoken reference"
    put(host, "desk token")
    shown = press(bench)
    told = reference_oath.CalculateReply.decode(
        host.send(Ins.CALCULATE, 0, 1, oath.Calculate("desk token").encode()).data
    ).code
    assert shown == f"desk token {told}"
    bench.clock.advance(29.75)
    assert bench.token.screen() == shown
    bench.clock.advance(0.25)
    assert bench.token.screen() == "hwtoken reference"


def test_the_button_goes_round(bench: Bench, host: Host) -> None:
    assert press(bench) == "no codes"
    put(host, "a")
    put(host, "host's time", Flag(0))
    put(host, "b")
    put(host, "c", t0_s=2**39)
    assert [press(bench).split()[0] for _ in range(4)] == ["a", "b", "c", "a"]
    press(bench)
    assert press(bench) == "c no time"
    bench.oscillator.battery = Battery.STOPPED
    assert press(bench) == "a no time"


def test_a_code_that_demands_the_pin(bench: Bench, host: Host) -> None:
    put(host, "a", Flag.OWN_CLOCK | Flag.PIN)
    type_pin(bench, PIN)
    type_pin(bench, PIN)
    assert press(bench) == "PIN?"
    assert host.send(Ins.VERIFY_PIN, data=reference_oath.Pin(PIN.encode()).encode()).sw == Sw.OK
    assert press(bench) == "PIN?", "the keypad is a channel of its own"
    type_pin(bench, PIN)
    assert press(bench).startswith("a ")
    type_pin(bench, "000000")
    assert press(bench) == "PIN?"
    type_pin(bench, PIN)
    bench.token.power_off()
    bench.token.power_on()
    assert press(bench) == "PIN?"


def test_a_factory_reset_clears_the_screen(bench: Bench, host: Host) -> None:
    put(host, "a")
    press(bench)
    host.open(reference.MANAGEMENT_AID)
    host.secure(reference.Ins.FACTORY_RESET, 0xDE, 0xAD)
    assert bench.token.screen() == "hwtoken reference"


def test_without_power_nothing_happens(bench: Bench) -> None:
    bench.token.power_off()
    bench.token.press_button()
    bench.token.type_pin(PIN)
    assert bench.token.screen() == ""
    view = bench.token.inspect()
    assert not view["powered"]
    assert "pin" not in view


def test_the_power_fails_while_a_pin_is_typed(bench: Bench) -> None:
    type_pin(bench, PIN)
    bench.supply.arm(PowerCut(bench.supply.operations, Moment.BEFORE))
    with pytest.raises(PowerLost):
        bench.token.type_pin(PIN)
    assert not bench.token.powered


def test_a_worn_out_flash_is_told() -> None:
    bench = make_bench(flash=MemoryFlash(wear_limit=0))
    bench.token.power_on()
    type_pin(bench, PIN)
    type_pin(bench, PIN)
    while (shown := type_pin(bench, PIN)) == "PIN ok":
        pass
    assert shown == "memory failed"
