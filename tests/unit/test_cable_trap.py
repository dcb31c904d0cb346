"""The trap that pulls the cable at an instruction, around commands that wait for a person."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from firmware_sim.clocks import ManualClock
from firmware_sim.links.cable import Cable, Instruction

CALCULATE = bytes.fromhex("00A2000100")
VALIDATE = bytes.fromhex("00A3000000")
LIST = bytes.fromhex("00A1000000")
DONE = b"\x90\x00"


class Chip:
    """An ApduChannel whose CALCULATE and VALIDATE wait until somebody touches it."""

    deadline = None

    def __init__(self) -> None:
        self._waits = self._touched = False

    def transmit(self, apdu: bytes) -> bytes | None:
        self._waits = apdu in (CALCULATE, VALIDATE)
        return None if self._waits else DONE

    def touch(self) -> None:
        self._touched = self._waits

    def poll(self) -> bytes | None:
        if not self._touched:
            return None
        self._waits = self._touched = False
        return DONE

    def reset(self) -> None:
        self._waits = self._touched = False


class Line:
    """A DeviceLink that carries an APDU as it is."""

    def __init__(self, channel) -> None:
        self.channel = channel

    def receive(self, data: bytes) -> list[bytes]:
        return [reply for reply in [self.channel.transmit(data)] if reply is not None]

    def poll(self) -> tuple[list[bytes], float | None]:
        return [reply for reply in [self.channel.poll()] if reply is not None], None

    def disconnect(self) -> None:
        self.channel.reset()


class Bench:
    def __init__(self) -> None:
        self.chip = Chip()
        token = SimpleNamespace(open_channel=lambda: self.chip, powered=True)
        self.cable = Cable(token, ManualClock(0.0), lambda: None)
        self.line = self.cable.line(Line)
        self.sprung: list[int] = []

    def set(self, apdu: bytes) -> None:
        self.cable.trap.set(Instruction(apdu[1]), lambda: self.sprung.append(apdu[1]))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_waits_for_the_touch_as_the_instruction_does(bench: Bench) -> None:
    bench.set(CALCULATE)
    assert bench.line.receive(CALCULATE) == []
    assert bench.line.poll() == ([], None)
    assert bench.sprung == [], "the instruction has not been executed"
    bench.chip.touch()
    assert bench.line.poll() == ([DONE], None)
    assert bench.sprung == [CALCULATE[1]]
    bench.line.receive(CALCULATE)
    bench.chip.touch()
    assert bench.line.poll() == ([DONE], None)
    assert bench.sprung == [CALCULATE[1]], "once"


def test_in_place_of_the_reply_to_a_touch(bench: Bench) -> None:
    bench.cable.trap.set(Instruction(CALCULATE[1]), bench.cable.cut)
    bench.line.receive(CALCULATE)
    bench.chip.touch()
    assert bench.line.poll() == ([], None)
    assert not bench.cable.whole


@pytest.mark.parametrize("abandon", [lambda line: line.receive(LIST), lambda line: line.disconnect()])
def test_an_instruction_that_was_abandoned_was_not_executed(bench: Bench, abandon: Callable[[Line], object]) -> None:
    bench.set(CALCULATE)
    bench.line.receive(CALCULATE)
    abandon(bench.line)
    bench.chip.touch()
    assert bench.line.poll() == ([], None)
    assert bench.sprung == []
    bench.line.receive(CALCULATE)
    bench.chip.touch()
    bench.line.poll()
    assert bench.sprung == [CALCULATE[1]]


def test_the_touch_of_what_came_instead_is_not_that_of_the_abandoned_one(bench: Bench) -> None:
    bench.set(CALCULATE)
    bench.line.receive(CALCULATE)
    bench.line.receive(VALIDATE)
    bench.chip.touch()
    assert bench.line.poll() == ([DONE], None)
    assert bench.sprung == []


def test_a_trap_that_was_set_anew_while_one_waited_is_for_the_new_instruction(bench: Bench) -> None:
    bench.set(CALCULATE)
    bench.line.receive(CALCULATE)
    bench.set(LIST)
    bench.chip.touch()
    assert bench.line.poll() == ([DONE], None)
    assert bench.sprung == []
    bench.line.receive(LIST)
    assert bench.sprung == [LIST[1]]
