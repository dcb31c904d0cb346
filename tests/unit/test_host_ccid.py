"""The host's CCID link against readers of a page: good ones, and those that stall, chain, restart, lie and vanish."""

from __future__ import annotations

import contextlib
import random
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import (
    Busy,
    LinkError,
    LocalProtocolError,
    NotFound,
    OutcomeUnknown,
    ProvisionError,
    RemoteProtocolError,
    Timeout,
)
from provision.links.ccid import MAX_RESPONSE, CcidLink
from provision.links.framed import MAX_PENDING_S
from provision.links.link import LinkOptions
from provision.wire import ccid
from provision.wire.ccid import (
    WAITING_TIME_S,
    Chain,
    CommandStatus,
    DataBlock,
    IccStatus,
    SlotError,
    SlotStatus,
    XfrBlock,
)
from tests.unit.ccid_reader import EXTENDED, OK, SHORT, TPDU, Reader, opened, reader


def test_opening_powers_the_card_and_closing_takes_the_power_away():
    pipe, link = opened()
    assert pipe.active
    with link:
        assert link.exchange(b"\0\xa4\0\0") == b"\0\xa4\0\0" + OK
    assert (pipe.active, pipe.closed) == (False, True)
    assert [type(message).__name__ for message in pipe.told] == ["IccPowerOn", "XfrBlock", "IccPowerOff"]


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=4, max_size=900), max_size=5), st.integers(20, 400))
def test_apdus_of_any_length_pass_in_parts(commands, longest):
    pipe, link = opened(descriptor=reader(longest))
    for command in commands:
        assert link.exchange(command) == command + OK
    assert pipe.done == commands


def test_a_reader_at_high_speed():
    class Fast(Reader):
        packet = 512

    _, link = opened(Fast, descriptor=reader(3072 + 10))
    for size in (10, 502, 503, 1014, 3000, 9000):
        assert link.exchange(bytes(size)) == bytes(size) + OK


def test_three_hundred_commands_wrap_the_sequence():
    _, link = opened()
    for number in range(300):
        assert link.exchange(b"%04d" % number) == b"%04d" % number + OK


@pytest.mark.parametrize(
    ("features", "voltage", "selected"), [(EXTENDED | 8, 7, 0), (EXTENDED, 7, 1), (EXTENDED, 6, 2), (EXTENDED, 4, 3)]
)
def test_the_voltage_is_chosen_where_the_reader_does_not(features, voltage, selected):
    pipe, _ = opened(descriptor=reader(features=features, voltage=voltage))
    assert pipe.told[0].power_select == selected


class TestLevels:
    def test_tpdu_level_is_left_to_pcscd(self):
        with pytest.raises(LinkError, match="pcsc:"):
            opened(descriptor=reader(features=TPDU))

    @pytest.mark.parametrize(
        "command", [bytes(262), bytes.fromhex("00A40400 000001 AA"), bytes.fromhex("00C00000 00FFFF")]
    )
    def test_a_reader_of_short_apdus_gets_no_extended_one(self, command):
        pipe, link = opened(descriptor=reader(features=SHORT))
        with pytest.raises(LocalProtocolError, match="short"):
            link.exchange(command)
        assert link.exchange(bytes.fromhex("00A4040001AA00"))[-2:] == OK
        assert len(pipe.done) == 1

    def test_a_command_over_everything(self):
        _, link = opened()
        with pytest.raises(LocalProtocolError):
            link.exchange(bytes(65545))


class Touched(Reader):
    """Asks for time `waits` times before it answers a command."""

    def __init__(self, clock, longest, waits=3, multiplier=2):
        super().__init__(clock, longest)
        self.waits, self.multiplier, self.waiting = waits, multiplier, None

    def transmit(self, seq, command):
        self.waiting = (seq, command, self.waits)

    def read(self, size, timeout_s):
        if not self.out and self.waiting:
            seq, command, left = self.waiting
            assert timeout_s >= 1.0
            self.clock.advance(1.0)
            if left:
                self.waiting = (seq, command, left - 1)
                return DataBlock(0, seq, ccid.status(0, CommandStatus.TIME_EXTENSION), self.multiplier).encode()
            self.waiting = None
            super().transmit(seq, command)
        return super().read(size, timeout_s)

    def receive(self, message):
        if isinstance(message, ccid.Abort):
            self.waiting = None
        if self.waiting and isinstance(message, ccid.IccPowerOn):
            self.say(DataBlock(0, message.seq, ccid.status(0, CommandStatus.FAILED), SlotError.SLOT_BUSY))
        else:
            super().receive(message)


class TestTime:
    def test_extensions_are_patience_and_are_told(self):
        told = []
        _, link = opened(Touched, on_pending=told.append)
        assert link.exchange(b"touch") == b"touch" + OK
        assert told == [4, 4, 4]  # 2 units of 1.6 s

    def test_patience_ends(self):
        pipe, link = opened(Touched, waits=10**6)
        before = pipe.clock.monotonic()
        with pytest.raises(OutcomeUnknown):
            link.exchange(b"touch")
        assert MAX_PENDING_S <= pipe.clock.monotonic() - before <= MAX_PENDING_S + 2 * WAITING_TIME_S + 2
        pipe.waits = 0
        assert link.exchange(b"again") == b"again" + OK
        assert pipe.aborted
        assert pipe.done == [b"again"]

    def test_somebody_left_in_the_middle_of_a_command(self):
        clock = ManualClock()
        pipe = Touched(clock, 271)
        pipe.waiting = (9, b"old", 10**6)
        with CcidLink(pipe, reader(), "usb:test", LinkOptions(clock, random.Random(1).randbytes)) as link:
            assert link.exchange(b"new") == b"new" + OK
        assert pipe.done == [b"new"]

    def test_leaving_in_the_middle_aborts(self):
        def interrupt(_seconds):
            raise KeyboardInterrupt

        pipe, link = opened(Touched, on_pending=interrupt)
        with pytest.raises(KeyboardInterrupt), link:
            link.exchange(b"touch")
        assert pipe.aborted and pipe.closed and pipe.done == []

    def test_silence_is_an_unknown_outcome_and_the_next_exchange_begins_anew(self):
        class Mute(Reader):
            mute = True

            def transmit(self, seq, command):
                if not self.mute:
                    super().transmit(seq, command)

        pipe, link = opened(Mute)
        with pytest.raises(OutcomeUnknown):
            link.exchange(b"lost")
        pipe.mute = False
        assert link.exchange(b"next") == b"next" + OK
        assert [type(message).__name__ for message in pipe.told[-3:]] == ["Abort", "IccPowerOn", "XfrBlock"]
        assert pipe.done == [b"next"]

    def test_half_an_answer_is_forgotten_with_its_session(self):
        halves = [DataBlock(0, 0, data=bytes(200)).encode()[:64]]
        pipe, link = opened(Saying, answers=lambda seq: halves)
        with pytest.raises(OutcomeUnknown):
            link.exchange(b"half")
        pipe.answers = lambda seq: [DataBlock(0, seq, data=OK).encode()]
        assert link.exchange(b"next") == OK

    def test_nobody_there_is_a_timeout(self):
        class Dead(Reader):
            def receive(self, message):
                pass

        clock = ManualClock()
        pipe = Dead(clock)
        with pytest.raises(Timeout):
            CcidLink(pipe, reader(), "usb:test", LinkOptions(clock, random.Random(1).randbytes))
        assert pipe.closed


class TestUnplug:
    def test_at_the_last_transfer_it_is_unknown_and_afterwards_known(self):
        pipe, link = opened()
        pipe.gone = True  # no pipe can tell whether the transfer was lost, or its acknowledgement
        with pytest.raises(OutcomeUnknown):
            link.exchange(b"late")
        with pytest.raises(LinkError) as caught:
            link.exchange(b"later")
        assert not isinstance(caught.value, OutcomeUnknown)
        link.close()
        assert pipe.closed

    def test_after_the_command_left_it_is_unknown(self):
        class Pulled(Reader):
            def transmit(self, seq, command):
                self.done.append(command)
                self.gone = True

        pipe, link = opened(Pulled)
        with pytest.raises(OutcomeUnknown, match="pulled"):
            link.exchange(b"half")
        assert pipe.done == [b"half"]

    def test_in_the_middle_of_a_command_in_parts_it_is_known_not_to_have_happened(self):
        class Pulled(Reader):
            def write(self, transfer, timeout_s):
                super().write(transfer, timeout_s)
                self.gone = self.gone or bool(self.command)
                self.out = deque() if self.gone else self.out

        pipe, link = opened(Pulled)
        with pytest.raises(LinkError) as caught:
            link.exchange(bytes(600))
        assert not isinstance(caught.value, OutcomeUnknown)
        assert pipe.done == []


class Refusing(Reader):
    """Answers every command APDU with `status`, `error`."""

    def __init__(self, clock, longest, icc, error):
        super().__init__(clock, longest)
        self.status, self.error = ccid.status(icc, CommandStatus.FAILED), error

    def transmit(self, seq, command):
        self.say(DataBlock(0, seq, self.status, self.error))


@pytest.mark.parametrize(
    ("icc", "error", "expected"),
    [
        (IccStatus.ACTIVE, SlotError.SLOT_BUSY, Busy),
        (IccStatus.ACTIVE, SlotError.COMMAND_NOT_SUPPORTED, LocalProtocolError),
        (IccStatus.ACTIVE, SlotError.BAD_LEVEL, LocalProtocolError),
        (IccStatus.ACTIVE, SlotError.ICC_MUTE, OutcomeUnknown),
        (IccStatus.INACTIVE, SlotError.ICC_MUTE, OutcomeUnknown),
        (IccStatus.ABSENT, SlotError.ICC_MUTE, OutcomeUnknown),
        (IccStatus.ACTIVE, SlotError.COMMAND_ABORTED, OutcomeUnknown),
        (IccStatus.ACTIVE, 0x99, OutcomeUnknown),
    ],
)
def test_what_a_reader_refuses(icc, error, expected):
    pipe, link = opened(Refusing, icc=icc, error=error)
    with pytest.raises(ProvisionError) as caught:
        link.exchange(b"1234")
    assert type(caught.value) is expected
    with link:
        pass
    assert pipe.closed


def test_a_token_that_was_restarted_is_told_from_one_that_is_mute():
    _, link = opened(Refusing, icc=IccStatus.INACTIVE, error=SlotError.ICC_MUTE)
    with pytest.raises(OutcomeUnknown, match="restarted"):
        link.exchange(b"1234")
    _, link = opened(Refusing, icc=IccStatus.ACTIVE, error=SlotError.ICC_MUTE)
    with pytest.raises(OutcomeUnknown, match="icc mute"):
        link.exchange(b"1234")


def test_a_reader_without_a_card():
    class Empty(Reader):
        def receive(self, message):
            self.say(DataBlock(0, message.seq, ccid.status(IccStatus.ABSENT, CommandStatus.FAILED), SlotError.ICC_MUTE))

    with pytest.raises(NotFound):
        opened(Empty)


class Saying(Reader):
    """Answers a command with whatever `answers(seq)` gives, as raw transfers."""

    def __init__(self, clock, longest, answers):
        super().__init__(clock, longest)
        self.answers = answers

    def transmit(self, seq, command):
        self.out.extend(self.answers(seq))


@pytest.mark.parametrize(
    "answers",
    [
        lambda seq: [SlotStatus(0, seq).encode()],
        lambda seq: [b"short"],
        lambda seq: [b"\x80\xff\xff\0\0\0" + bytes((seq,)) + b"\0\0\0"],
        lambda seq: [DataBlock(0, seq, chain=Chain.LAST, data=b"x").encode()],
        lambda seq: [DataBlock(0, seq, chain=Chain.CONTINUE).encode()],
        lambda seq: [DataBlock(0, seq, chain=77, data=b"x").encode()],
    ],
)
def test_a_reader_that_breaks_the_rules(answers):
    _, link = opened(Saying, answers=answers)
    with pytest.raises(RemoteProtocolError):
        link.exchange(b"1234")


def test_a_response_without_end_is_not_collected():
    class Endless(Reader):
        def respond(self, seq, chain):
            self.say(DataBlock(0, seq, chain=chain, data=bytes(self.room)))

    pipe, link = opened(Endless)
    with pytest.raises(RemoteProtocolError):
        link.exchange(b"1234")
    assert sum(isinstance(message, XfrBlock) for message in pipe.told) <= MAX_RESPONSE // pipe.room + 2


def test_stale_answers_and_empty_transfers_are_passed_over():
    late = DataBlock(0, 200, data=b"late" + OK).encode()
    bad = b"\x80\x09\0\0\0\0\xc8\0\0\0x"

    def answers(seq):
        return [b"", late, bad, DataBlock(1, seq, data=b"another slot").encode(), DataBlock(0, seq, data=OK).encode()]

    _, link = opened(Saying, answers=answers)
    assert link.exchange(b"1234") == OK


def test_an_answer_to_the_program_before_us_is_not_taken_for_the_atr():
    clock = ManualClock()
    pipe = Reader(clock)
    pipe.say(DataBlock(0, 1 + random.Random(1).randbytes(1)[0], data=b"code" + OK))
    with pytest.raises(RemoteProtocolError, match="ATR"):
        CcidLink(pipe, reader(), "usb:test", LinkOptions(clock, random.Random(1).randbytes))


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=80), max_size=6), st.booleans())
def test_any_answer_ends_in_a_response_or_one_of_our_errors(noise, ours):
    def answers(seq):
        return [piece[:6] + bytes((seq,)) + piece[7:] if ours and len(piece) > 6 else piece for piece in noise]

    _, link = opened(Saying, answers=answers)
    with contextlib.suppress(ProvisionError):
        link.exchange(b"1234")
