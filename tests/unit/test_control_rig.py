"""Every operation of the control channel on a real token, in this process, on a port that only remembers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from firmware_sim.clocks import ManualClock, SystemClock
from firmware_sim.control.errors import ControlError
from firmware_sim.control.ops import OPS, perform
from firmware_sim.control.rig import Rig
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash, Supply
from firmware_sim.links.cable import Instruction, parse_instruction
from firmware_sim.links.port import Lines, PortError
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import DeviceLink, FlashError
from provision.wire.framing import Decoder, ErrorReply, Frame, FrameErrorCode, HelloReply, Kind, encode_frame

START = 1_767_225_600.0
SELECT = bytes.fromhex("00A4040007A0000005272101")
GET_TIME = bytes.fromhex("0054000000")
LIST = bytes.fromhex("00A1000000")
SET_PIN = bytes.fromhex("00B40000088006313233343536")
MANAGEMENT = bytes.fromhex("00A4040009F06877746F6B656E01")


class MemoryPort:
    """A Port that carries frames by method call. `hung_up`: what `after_reply` was asked to do."""

    def __init__(self, link: DeviceLink) -> None:
        self.link = link
        self.plugged = False
        self.plugs = 0
        self.after: Callable[[], None] | None = None
        self.sequence = 0

    @property
    def address(self) -> str:
        return f"memory:{self.plugs}"

    @property
    def noticed(self) -> bool:
        return self.plugged

    def plug(self) -> None:
        self.plugged = True
        self.plugs += 1

    def unplug(self) -> None:
        self.plugged = False
        self.link.disconnect()

    def after_reply(self, action: Callable[[], None]) -> None:
        self.after = action

    def frame(self, kind: int, payload: bytes, sequence: int) -> Frame | None:
        """The reply to one frame, None if the line stayed silent; then what waited for the reply happens."""
        found = list(Decoder().feed(b"".join(self.link.receive(encode_frame(kind, sequence, 1, payload)))))
        if self.after is not None:
            self.after()
            self.after = None
        assert all(isinstance(frame, Frame) for frame in found)
        return found[0] if found else None  # type: ignore[return-value]

    def hello(self) -> HelloReply | None:
        self.sequence = 0
        frame = self.frame(Kind.HELLO, b"\x01", 0)
        return None if frame is None else HelloReply.decode(frame.payload)

    def apdu(self, command: bytes) -> bytes | None:
        self.sequence += 1
        frame = self.frame(Kind.APDU, command, self.sequence)
        if frame is None:
            return None
        assert frame.kind == Kind.APDU_REPLY
        return frame.payload


class Bench:
    def __init__(self, clock: ManualClock | SystemClock | None = None) -> None:
        self.clock = clock or ManualClock(START)
        self.supply = Supply()
        self.flash = MemoryFlash(supply=self.supply)
        self.oscillator = QuartzOscillator(OscillatorState.start(self.clock.now(), rate_error_ppm=10))
        self.token = Token(
            family=family("reference"),
            serial="SIM1",
            flash=self.flash,
            oscillator=self.oscillator,
            clock=self.clock,
            random=random.Random(1),
        )
        self.stops: list[bool] = []
        self.rig = Rig(
            self.token,
            self.oscillator,
            self.flash,
            self.supply,
            self.clock,
            lambda: self.stops.append(True),
        )
        self.port = MemoryPort(None)  # type: ignore[arg-type]  # replaced at once

        def make_port(lines: Lines) -> MemoryPort:
            self.port = MemoryPort(lines.framed())
            return self.port

        self.rig.connect(make_port)

    def do(self, op: str, **fields: Any) -> dict[str, Any]:
        reply = perform(self.rig, {"op": op, **fields})
        json.dumps(reply)
        return reply

    def refuses(self, op: str, **fields: Any) -> str:
        with pytest.raises(ControlError) as caught:
            self.do(op, **fields)
        return str(caught.value)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_ping(bench: Bench) -> None:
    assert bench.do("ping") == {}


def test_stop(bench: Bench) -> None:
    assert bench.do("stop") == {}
    assert bench.stops == [True]


class TestPerson:
    def test_a_pin_typed_twice_is_set_and_never_shown(self, bench: Bench) -> None:
        assert bench.do("type-pin", pin="271828") == {"screen": "again"}
        assert bench.do("type-pin", pin="271828") == {"screen": "PIN set"}
        assert bench.do("screen") == {"screen": "PIN set"}
        assert "271828" not in json.dumps(bench.do("inspect"))

    @pytest.mark.parametrize("pin", ["", "12", "abcdef", "1" * 60_000, "١٢٣٤٥٦", "\ud800\ud800\ud800"])
    def test_what_is_no_pin_is_shown_as_such(self, bench: Bench, pin: str) -> None:
        assert bench.do("type-pin", pin=pin) == {"screen": "6 to 16 digits"}

    def test_pressing_shows_something(self, bench: Bench) -> None:
        assert bench.do("press")["screen"]

    def test_nobody_can_use_a_token_without_power(self, bench: Bench) -> None:
        bench.do("power", state="off")
        assert "no power" in bench.refuses("press")
        assert "no power" in bench.refuses("type-pin", pin="123456")
        assert bench.do("screen") == {"screen": ""}


class TestPower:
    def test_off_is_silent_and_on_has_another_boot_id(self, bench: Bench) -> None:
        first = bench.port.hello()
        assert bench.do("power", state="off") == {"powered": False}
        assert bench.port.hello() is None
        assert bench.port.link.poll() == ([], None)
        assert bench.do("power", state="on") == {"powered": True}
        second = bench.port.hello()
        assert first is not None
        assert second is not None
        assert first.boot_id != second.boot_id
        assert "has power already" in bench.refuses("power", state="on")

    def test_the_button_held_at_power_on_is_a_factory_reset(self, bench: Bench) -> None:
        bench.do("type-pin", pin="123456")
        bench.do("type-pin", pin="123456")
        bench.do("power", state="off")
        bench.do("power", state="on", hold_button=True)
        assert bench.do("inspect")["token"]["pin"] == "unset"

    def test_a_cut_in_the_next_flash_operation(self, bench: Bench) -> None:
        bench.port.hello()
        bench.port.apdu(SELECT)
        bench.do("power", state="cut", in_operation=1, moment="before")
        assert bench.port.apdu(SET_PIN) is None
        assert bench.do("inspect")["cable"]["powered"] is False
        assert bench.port.hello() is None
        bench.do("age", seconds=5)
        bench.do("power", state="on")
        bench.port.hello()
        assert bench.do("inspect")["token"]["pin"] == "unset"

    def test_a_cut_while_somebody_types(self, bench: Bench) -> None:
        bench.do("type-pin", pin="123456")
        bench.do("power", state="cut", in_operation=1)
        assert "failed as it was told" in bench.refuses("type-pin", pin="123456")
        bench.do("power", state="on")

    @pytest.mark.parametrize("how", ["off", "cut by itself"])
    def test_no_session_outlives_the_power(self, bench: Bench, how: str) -> None:
        """Not even to give an answer again: the token has started anew, and its host has to notice."""
        bench.port.hello()
        bench.port.apdu(SELECT)
        if how == "off":
            bench.do("power", state="off")
        else:
            bench.do("type-pin", pin="123456")
            bench.do("power", state="cut", in_operation=1)
            bench.refuses("type-pin", pin="123456")
        bench.do("power", state="on")
        again = bench.port.frame(Kind.APDU, SELECT, bench.port.sequence)
        assert again is not None
        assert again.kind == Kind.ERROR
        assert ErrorReply.decode(again.payload).code == FrameErrorCode.NO_SESSION

    def test_cut_without_more_is_now(self, bench: Bench) -> None:
        assert bench.do("power", state="cut") == {"powered": False}


class TestCable:
    def test_unplugged_the_token_has_no_power(self, bench: Bench) -> None:
        assert bench.do("cable", action="unplug") == {"plugged": False}
        assert not bench.port.plugged
        assert bench.do("inspect")["cable"] == {"plugged": False, "address": None, "powered": False}
        assert "unplugged already" in bench.refuses("cable", action="unplug")
        assert "no supply" in bench.refuses("power", state="on")
        assert bench.do("cable", action="plug") == {"plugged": True, "address": "memory:2"}
        assert "plugged in already" in bench.refuses("cable", action="plug")
        assert bench.port.hello() is not None

    def test_it_has_power_when_the_port_begins_and_none_where_the_port_refuses(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        powered = []

        def refuse() -> None:
            powered.append(bench.rig.powered)
            raise PortError("no port is free")

        bench.do("cable", action="unplug")
        monkeypatch.setattr(bench.port, "plug", refuse)
        assert "no port is free" in bench.refuses("cable", action="plug")
        assert powered == [True]
        assert not bench.rig.powered

    def test_it_drops_after_the_reply_to_the_instruction(self, bench: Bench) -> None:
        bench.port.hello()
        bench.do("cable", action="unplug", after="get-time")
        assert bench.port.apdu(MANAGEMENT) == b"\x90\x00"
        assert bench.port.plugged
        reply = bench.port.apdu(GET_TIME)
        assert reply is not None
        assert reply.endswith(b"\x90\x00")
        assert not bench.port.plugged
        bench.do("cable", action="plug")
        bench.port.hello()
        assert bench.port.apdu(MANAGEMENT) == b"\x90\x00"
        assert bench.port.apdu(GET_TIME) is not None, "the trap springs once"
        assert bench.port.plugged

    def test_it_drops_in_place_of_the_reply_but_the_command_ran(self, bench: Bench) -> None:
        bench.port.hello()
        bench.port.apdu(SELECT)
        bench.do("cable", action="unplug", after="B4", before_reply=True)
        assert bench.port.apdu(SET_PIN) is None
        assert not bench.port.plugged
        bench.do("cable", action="plug")
        assert bench.do("inspect")["token"]["pin"] == "set"

    def test_a_cable_that_was_plugged_in_again_is_not_pulled_late(self, bench: Bench) -> None:
        """The host leaves the reply unread; a hand is faster than the port gives it up."""
        later: list[Callable[[], None]] = []
        bench.port.after_reply = later.append  # type: ignore[method-assign]
        bench.port.hello()
        bench.do("cable", action="unplug", after="SELECT")
        bench.port.apdu(SELECT)
        bench.do("cable", action="unplug")
        bench.do("cable", action="plug")
        (pull,) = later
        pull()
        assert bench.port.plugged

    def test_select_is_not_calculate_all(self, bench: Bench) -> None:
        bench.port.hello()
        bench.do("cable", action="unplug", after="CALCULATE ALL")
        bench.port.apdu(SELECT)
        assert bench.port.plugged

    def test_unknown_instructions_are_named(self, bench: Bench) -> None:
        assert "'FLY'" in bench.refuses("cable", action="unplug", after="FLY")
        assert "'A'" in bench.refuses("cable", action="unplug", after="A")

    def test_names_and_numbers(self) -> None:
        def parsed(text: str) -> Instruction:
            return parse_instruction(text, family("reference"))

        assert parsed("set_time") == parsed("SET TIME") == parsed("55")
        assert parsed("select") == Instruction(0xA4, 4)
        for name in ("PUT", "PUT KEY", "VERIFY PIN", "INITIALIZE UPDATE", "RESET RETRY COUNTER"):
            assert parsed(name)


class TestTime:
    def test_advance_moves_true_time(self, bench: Bench) -> None:
        assert bench.do("advance", duration="2 days") == {"true_time_s": START + 172_800}
        assert bench.do("advance", seconds=0.5) == {"true_time_s": START + 172_800.5}

    def test_the_real_clock_is_not_advanced(self) -> None:
        assert "real clock" in Bench(SystemClock()).refuses("advance", seconds=1)

    def test_age_moves_only_the_error(self, bench: Bench) -> None:
        assert bench.do("age", duration="1000000 s") == {"aged_s": 1e6}
        truth = bench.do("inspect")["truth"]
        assert truth["true_time_s"] == START
        assert truth["offset_s"] == pytest.approx(10.0, abs=1e-5)

    def test_the_oscillator_can_be_changed(self, bench: Bench) -> None:
        truth = bench.do("oscillator", temperature_c=0, rate_error_ppm="2.5", offset_s=-3)
        assert truth["temperature_c"] == 0.0
        assert truth["rate_error_ppm"] == 2.5 - 21.25
        assert truth["offset_s"] == -3.0
        bench.do("oscillator", profile="pocket")
        assert bench.do("inspect")["truth"]["temperature_c"] == 30.0
        bench.do("advance", duration="17 h")
        assert bench.do("inspect")["truth"]["temperature_c"] == 20.0

    def test_what_an_oscillator_cannot_do(self, bench: Bench) -> None:
        before = bench.oscillator.state
        assert "nothing to change" in bench.refuses("oscillator")
        assert "not both" in bench.refuses("oscillator", profile="car", temperature_c=1)
        assert "'moon'" in bench.refuses("oscillator", profile="moon")
        assert "celsius" in bench.refuses("oscillator", temperature_c=5000)
        assert "rate_error_ppm" in bench.refuses("oscillator", rate_error_ppm=10**9)
        assert bench.oscillator.state == before

    def test_a_change_that_cannot_be_kept_is_undone(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        def full() -> None:
            raise FlashError("the state file could not be written: No space left on device")

        monkeypatch.setattr(bench.flash, "sync", full)
        before = bench.oscillator.state
        assert "No space left" in bench.refuses("age", duration="1 year")
        assert bench.oscillator.state == before

    def test_the_battery(self, bench: Bench) -> None:
        assert bench.do("battery", event="low") == {"battery": "low"}
        assert bench.do("battery", event="dead") == {"battery": "dead"}
        assert bench.do("inspect")["truth"]["offset_s"] is None
        assert bench.do("battery", event="replace") == {"battery": "good"}


class TestBadRequests:
    @pytest.mark.parametrize(
        ("request_", "named"),
        [
            ({}, "'op' is missing"),
            ({"op": 5}, "unknown op"),
            ({"op": "explode"}, "unknown op"),
            ({"op": "type-pin"}, "'pin' is missing"),
            ({"op": "type-pin", "pin": 123456}, "'pin' has to be a text"),
            ({"op": "power"}, "'state' is missing"),
            ({"op": "power", "state": "maybe"}, "one of on, off, cut"),
            ({"op": "power", "state": []}, "one of on, off, cut"),
            ({"op": "power", "state": "on", "hold_button": "yes"}, "true or false"),
            ({"op": "power", "state": "off", "hold_button": True}, "unknown field hold_button"),
            ({"op": "power", "state": "cut", "in_operation": 0}, "whole number from 1"),
            ({"op": "power", "state": "cut", "in_operation": True}, "whole number from 1"),
            ({"op": "cable", "action": "bend"}, "one of plug, unplug"),
            ({"op": "advance"}, "'duration' is missing"),
            ({"op": "advance", "seconds": "soon"}, "'seconds' has to be a number"),
            ({"op": "advance", "seconds": -1}, "0 or more"),
            ({"op": "advance", "seconds": float("inf")}, "'seconds' has to be a number"),
            ({"op": "advance", "seconds": "1e999999999"}, "'seconds' has to be a number"),
            ({"op": "oscillator", "offset_s": {}}, "'offset_s' has to be a number"),
            ({"op": "battery", "event": "spicy"}, "one of low, dead, replace"),
            ({"op": "ping", "zebra": 1, "ant": 2}, "unknown field ant, zebra"),
        ],
    )
    def test_each_names_the_thing(self, bench: Bench, request_: dict[str, Any], named: str) -> None:
        with pytest.raises(ControlError, match=named) as caught:
            perform(bench.rig, request_)
        assert caught.value.exit_code == 2

    def test_a_refused_request_never_repeats_a_value(self, bench: Bench) -> None:
        assert "31415926" not in bench.refuses("type-pin", pin=31415926)
        assert "31415926" not in bench.refuses("type-pin", pni="31415926")

    def test_every_op_refuses_what_it_does_not_know(self, bench: Bench) -> None:
        needed = {
            "advance": {"seconds": 0},
            "age": {"seconds": 0},
            "type-pin": {"pin": "1"},
            "power": {"state": "off"},
            "cable": {"action": "unplug"},
            "battery": {"event": "low"},
        }
        for op in OPS:
            assert "unknown field surprise" in bench.refuses(op, surprise=1, **needed.get(op, {}))
