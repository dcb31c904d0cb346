"""Commands that wait for the button, and whom it serves."""

from __future__ import annotations

import pytest

from firmware_sim.testing import START_S, Bench, Host
from provision.wire import oath, reference, reference_oath
from provision.wire.apdu import Command, Sw, decode_response, encode_command
from provision.wire.oath import Ins, OathKind
from provision.wire.reference_oath import Flag, Timing
from tests.unit.core.oath_host import put, record, verify


def ask(host: Host, name: str = "a") -> bytes | None:
    return host.channel.transmit(encode_command(Command(0, Ins.CALCULATE, 0, 1, oath.Calculate(name).encode(), 256)))


def test_a_command_waits_for_the_button(bench: Bench, host: Host) -> None:
    put(host, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    assert ask(host) is None
    assert bench.token.screen() == "touch? a"
    assert host.channel.poll() is None
    assert host.channel.deadline == bench.clock.now() + 15
    bench.clock.advance(10)
    bench.token.press_button()
    reply = host.channel.poll()
    assert reply is not None
    assert reference_oath.CalculateReply.decode(reply[:-2]).device_time_us == int((START_S + 10) * 1_000_000), (
        "the time of the touch"
    )
    assert host.channel.poll() is None
    assert host.channel.deadline is None
    assert ask(host) is None, "one touch is for one command"


def test_nobody_touches(bench: Bench, host: Host) -> None:
    put(host, kind=OathKind.HOTP, touch=True)
    assert ask(host) is None
    bench.clock.advance(14.75)
    assert host.channel.poll() is None
    bench.clock.advance(0.25)
    bench.token.press_button()
    assert host.channel.poll() == bytes.fromhex("6985")
    assert record(host).counter == 0
    assert bench.token.screen() == "no codes", "too late for that command, the button was only a button"


def test_the_pin_comes_before_the_touch(host: Host) -> None:
    put(host, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.PIN | Flag.TOUCH))
    assert ask(host) == bytes.fromhex("6982")
    verify(host)
    assert ask(host) is None


def test_another_command_and_a_reset_abandon_the_wait(bench: Bench, host: Host) -> None:
    put(host, kind=OathKind.HOTP, touch=True)
    for abandon in (host.select, host.channel.reset, bench.token.power_off):
        bench.token.power_on()
        host.select()
        assert ask(host) is None
        abandon()
        bench.token.press_button()
        assert host.channel.poll() is None
    bench.token.power_on()
    host.select()
    assert record(host).counter == 0


@pytest.mark.parametrize("turn", [1, -1], ids=["the older channel first", "the younger channel first"])
def test_the_touch_is_for_whoever_waits_longest(bench: Bench, host: Host, turn: int) -> None:
    for name in "ab":
        put(host, name, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    other = Host(bench.token.open_channel())
    other.select()
    (first, its_name), (second, its_other) = [(host, "a"), (other, "b")][::turn]
    assert ask(first, its_name) is None
    bench.clock.advance(1)
    assert ask(second, its_other) is None
    assert bench.token.screen() == f"touch? {its_name}"
    bench.token.press_button()
    assert second.channel.poll() is None
    assert first.channel.poll() is not None
    assert bench.token.screen() == f"touch? {its_other}"
    bench.token.press_button()
    assert second.channel.poll() is not None


def test_a_reply_that_nobody_fetched_is_not_the_next_commands(bench: Bench, host: Host) -> None:
    put(host, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    assert ask(host) is None
    bench.token.press_button()
    assert ask(host) is None
    assert host.channel.poll() is None
    bench.token.press_button()
    host.channel.reset()
    assert host.channel.poll() is None


def test_what_changed_while_it_waited_counts(bench: Bench, host: Host) -> None:
    put(host, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    other = Host(bench.token.open_channel())
    other.open()
    assert ask(host) is None
    other.secure(Ins.DELETE, data=oath.Name("a").encode())
    bench.token.press_button()
    assert host.channel.poll() == bytes.fromhex("6984")
    put(other, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    assert ask(host) is None
    other.open(reference.MANAGEMENT_AID)
    other.secure(reference.Ins.FACTORY_RESET, 0xDE, 0xAD)
    assert host.channel.poll() == bytes.fromhex("6985")


def test_a_touch_inside_the_secure_channel(bench: Bench, host: Host) -> None:
    put(host, timing=Timing(30, 0, Flag.OWN_CLOCK | Flag.TOUCH))
    wrapped = host.wrap(Ins.CALCULATE, 0, 1, oath.Calculate("a").encode())
    assert host.channel.transmit(encode_command(wrapped)) is None
    bench.token.press_button()
    reply = host.channel.poll()
    assert reply is not None
    answer = host.unwrap(decode_response(reply))
    assert reference_oath.CalculateReply.decode(answer.data).device_time_us is not None
    assert host.secure(Ins.LIST).sw == Sw.OK
