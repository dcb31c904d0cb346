"""The reader's slot: every message of CCID 1.1 is answered as the specification says, in the order that hosts use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.clocks import ManualClock
from firmware_sim.links.ccid_slot import CcidSlot
from firmware_sim.seams import PowerLost
from provision.wire.ccid import (
    HEADER,
    Abort,
    Chain,
    Command,
    CommandStatus,
    DataBlock,
    Escape,
    EscapeReply,
    GetParameters,
    GetSlotStatus,
    IccPowerOff,
    IccPowerOn,
    IccStatus,
    Parameters,
    ResetParameters,
    Response,
    SetParameters,
    SlotError,
    SlotStatus,
    UnknownCommand,
    XfrBlock,
    decode_response,
    status,
)

ATR = bytes.fromhex("3B878001") + b"hwtoken" + b"\x62"
WAIT = b"\x00\xfe"  # the command for which the fake chip awaits a person
MAX_APDU = 300


class EchoChannel:
    """An ApduChannel that answers with what came."""

    def __init__(self) -> None:
        self.resets = 0
        self.heard: list[bytes] = []
        self.reply: bytes | None = None
        self.deadline: float | None = None

    def transmit(self, apdu: bytes) -> bytes | None:
        self.heard.append(apdu)
        if apdu == WAIT:
            self.deadline = 15.0
            return None
        return apdu + b"\x90\x00"

    def poll(self) -> bytes | None:
        reply, self.reply = self.reply, None
        return reply

    def reset(self) -> None:
        self.resets += 1
        self.deadline = None


class Reader:
    """A slot and its host."""

    def __init__(self) -> None:
        self.clock = ManualClock(0.0)
        self.channel = EchoChannel()
        self.slot = CcidSlot(self.channel, ATR, MAX_APDU, self.clock)

    def __call__(self, message: Command) -> Response:
        (reply,) = self.say(message)
        return reply

    def say(self, message: Command) -> list[Response]:
        """As the bus brings it: packets of 64, the last one short."""
        raw = message.encode()
        replies = []
        for start in range(0, len(raw) + 1, 64):
            replies += self.slot.receive(raw[start : start + 64])
        return [decode_response(reply) for reply in replies]

    def poll(self) -> list[Response]:
        return [decode_response(reply) for reply in self.slot.poll()[0]]

    def on(self) -> Reader:
        self(IccPowerOn(0, 0))
        return self


def failed(icc: IccStatus = IccStatus.ACTIVE) -> int:
    return status(icc, CommandStatus.FAILED)


def test_power() -> None:
    reader = Reader()
    assert reader(GetSlotStatus(0, 1)) == SlotStatus(0, 1, IccStatus.INACTIVE, clock=1)
    assert reader(XfrBlock(0, 2, data=b"\0")) == DataBlock(0, 2, failed(IccStatus.INACTIVE), SlotError.ICC_MUTE)
    assert reader(IccPowerOn(0, 3)) == DataBlock(0, 3, IccStatus.ACTIVE, data=ATR)
    assert reader(GetSlotStatus(0, 4)) == SlotStatus(0, 4, IccStatus.ACTIVE)
    assert reader(XfrBlock(0, 5, data=b"abc")) == DataBlock(0, 5, data=b"abc\x90\x00")
    assert reader(IccPowerOff(0, 6)) == SlotStatus(0, 6, IccStatus.INACTIVE, clock=1)
    assert reader(IccPowerOn(0, 7, power_select=4)).error == SlotError.BAD_POWER_SELECT
    assert reader.channel.heard == [b"abc"]


def test_powering_on_makes_the_channel_forget() -> None:
    reader = Reader().on()
    before = reader.channel.resets
    reader(IccPowerOn(0, 2))
    assert reader.channel.resets == before + 1


def test_a_command_in_parts() -> None:
    reader = Reader().on()
    for seq, (level, part) in enumerate([(Chain.FIRST, b"ab"), (Chain.MIDDLE, b"cd"), (Chain.MIDDLE, b"")]):
        assert reader(XfrBlock(0, seq, 0, level, part)) == DataBlock(0, seq, chain=Chain.CONTINUE)
    assert reader(XfrBlock(0, 9, 0, Chain.LAST, b"ef")) == DataBlock(0, 9, data=b"abcdef\x90\x00")
    assert reader.channel.heard == [b"abcdef"]


def test_parts_out_of_order_are_refused_and_forgotten() -> None:
    for levels in ([Chain.MIDDLE], [Chain.LAST], [Chain.CONTINUE], [0x77], [Chain.FIRST, Chain.FIRST]):
        reader = Reader().on()
        *before, last = [XfrBlock(0, seq, 0, level, b"x") for seq, level in enumerate(levels)]
        for part in before:
            reader(part)
        assert reader(last) == DataBlock(0, last.seq, failed(), SlotError.BAD_LEVEL)
        assert reader(XfrBlock(0, 8, data=b"y")).error == 0
        assert reader.channel.heard == [b"y"]


def test_parts_that_never_end_are_not_kept() -> None:
    reader = Reader().on()
    reader(XfrBlock(0, 0, 0, Chain.FIRST, bytes(MAX_APDU)))
    for _ in range(50):
        reader(XfrBlock(0, 1, 0, Chain.MIDDLE, bytes(MAX_APDU)))
    reader(XfrBlock(0, 2, 0, Chain.LAST, bytes(MAX_APDU)))
    assert [len(heard) for heard in reader.channel.heard] == [MAX_APDU + 1]  # the chip refuses that


def test_the_longest_command() -> None:
    reader = Reader().on()
    longest = bytes(MAX_APDU)
    assert reader(XfrBlock(0, 1, data=longest)) == DataBlock(0, 1, data=longest + b"\x90\x00")
    too_long = reader(XfrBlock(0, 2, data=longest + b"\0"))
    assert too_long == DataBlock(0, 2, failed(), SlotError.BAD_LENGTH)
    assert reader.channel.heard == [longest]
    reader(XfrBlock(0, 3, 0, Chain.FIRST, longest[1:]))
    assert reader(XfrBlock(0, 4, 0, Chain.LAST, b"\0")) == DataBlock(0, 4, data=longest + b"\x90\x00")


def test_a_person_is_awaited() -> None:
    reader = Reader().on()

    def extension(units: int) -> DataBlock:
        return DataBlock(0, 7, status(IccStatus.ACTIVE, CommandStatus.TIME_EXTENSION), error=units)

    assert reader(XfrBlock(0, 7, data=WAIT)) == extension(10)  # of 1.6 s: 15 s are left
    assert reader.slot.poll() == ([], 1.0)
    reader.clock.advance(1.0)
    assert reader.poll() == [extension(9)]
    assert reader.slot.poll() == ([], 2.0)
    reader.clock.advance(13.5)
    assert reader.poll() == [extension(1)]
    assert reader.slot.poll()[1] == 15.0  # when the command gives up by itself
    assert reader(XfrBlock(0, 8, data=b"x")) == DataBlock(0, 8, failed(), SlotError.SLOT_BUSY)
    assert reader(IccPowerOn(0, 9)).error == SlotError.SLOT_BUSY
    reader.channel.reply = b"\x90\x00"
    assert reader.poll() == [DataBlock(0, 7, data=b"\x90\x00")]
    assert reader.slot.poll() == ([], None)


def test_a_clock_that_is_set_back_does_not_silence_the_reader() -> None:
    reader = Reader().on()
    reader.clock.advance(100.0)
    reader(XfrBlock(0, 7, data=WAIT))
    reader.slot._clock = ManualClock(50.0)
    assert len(reader.poll()) == 1


def test_abort_in_both_orders() -> None:
    for control_first in (True, False):
        reader = Reader().on()
        reader(XfrBlock(0, 7, data=WAIT))
        before = reader.channel.resets
        done = SlotStatus(0, 8, IccStatus.ACTIVE)
        if control_first:
            assert reader.slot.abort(0, 8) == []
            assert reader(GetSlotStatus(0, 9)).error == SlotError.COMMAND_ABORTED
            assert reader(Abort(0, 5)).error == SlotError.COMMAND_ABORTED
            assert reader(Abort(0, 8)) == done
        else:
            assert reader.say(Abort(0, 8)) == []
            replies = reader.slot.abort(0, 8)
            assert replies is not None and [decode_response(reply) for reply in replies] == [done]
        assert reader.channel.resets == before + 1  # the waiting command was dropped
        assert reader.slot.poll() == ([], None)
        assert reader(XfrBlock(0, 9, data=b"x")).error == 0


def test_abort_of_a_slot_that_there_is_not() -> None:
    assert Reader().slot.abort(1, 8) is None


def test_parameters() -> None:
    reader = Reader().on()
    t1 = bytes.fromhex("1110004D00FE00")
    assert reader(GetParameters(0, 1)) == Parameters(0, 1, protocol=1, data=t1)
    other = bytes.fromhex("9610005500FE00")
    assert reader(SetParameters(0, 2, 1, other)) == Parameters(0, 2, protocol=1, data=other)
    assert reader(GetParameters(0, 3)) == Parameters(0, 3, protocol=1, data=other)
    assert reader(ResetParameters(0, 4)) == Parameters(0, 4, protocol=1, data=t1)
    assert reader(SetParameters(0, 5, 0, bytes.fromhex("1100000A00"))).protocol == 0  # type: ignore[union-attr]
    assert reader(SetParameters(0, 6, 2, other)) == Parameters(0, 6, failed(), SlotError.BAD_POWER_SELECT)
    assert reader(SetParameters(0, 7, 1, b"")) == Parameters(0, 7, failed(), SlotError.BAD_LENGTH)


def test_what_the_reader_does_not_have() -> None:
    reader = Reader().on()
    refused = failed(), SlotError.COMMAND_NOT_SUPPORTED
    assert reader(Escape(0, 1, b"x")) == EscapeReply(0, 1, *refused)
    for kind in (0x6A, 0x6E, 0x69, 0x71, 0x73, 0x00, 0xFF):
        assert reader(UnknownCommand(kind, 0, 2, b"\0\0\0", b"data")) == SlotStatus(0, 2, *refused)
    assert reader(XfrBlock(3, 3, data=b"x")) == DataBlock(3, 3, failed(IccStatus.ABSENT), SlotError.BAD_SLOT)
    assert reader.channel.heard == []


def test_transfers_that_are_no_message() -> None:
    reader = Reader().on()
    raw = XfrBlock(0, 5, data=b"abcdef").encode()
    (reply,) = reader.slot.receive(raw[:-1])
    assert decode_response(reply) == DataBlock(0, 5, failed(), SlotError.BAD_LENGTH)
    assert reader.slot.receive(raw[: HEADER - 1]) == []  # whoever sends half a header has no number to be answered by
    assert reader.slot.receive(b"") == []
    assert reader(XfrBlock(0, 6, data=b"x")).error == 0
    assert reader.channel.heard == [b"x"]


def test_when_the_supply_fails_the_session_is_gone() -> None:
    def fail(apdu: bytes) -> bytes | None:
        raise PowerLost

    reader = Reader().on()
    reader.channel.transmit = fail  # type: ignore[method-assign]
    with pytest.raises(PowerLost):
        reader(XfrBlock(0, 1, data=b"x"))
    assert reader(GetSlotStatus(0, 2)) == SlotStatus(0, 2, IccStatus.INACTIVE, clock=1)
    assert reader.slot.poll() == ([], None)


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_whatever_comes_the_slot_goes_on(transfers: list[bytes]) -> None:
    reader = Reader()
    for transfer in transfers:
        for reply in reader.slot.receive(transfer):
            decode_response(reply)
    reader.slot.disconnect()
    assert reader.on()(XfrBlock(0, 6, data=b"x")) == DataBlock(0, 6, data=b"x\x90\x00")
