"""CCID messages: the specification's own layout by hand, every message there and back, and transfers cut anyhow."""

from __future__ import annotations

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, ccid
from provision.wire.ccid import Chain, SlotError, decode_command, decode_response
from provision.wire.ccid_transfer import BadMessage, Decoder, Head

u8 = st.integers(0, 255)
u16 = st.integers(0, 65535)
data = st.binary(max_size=300)
at = (u8, u8)  # slot, seq

commands = st.one_of(
    st.builds(ccid.IccPowerOn, *at, u8),
    st.builds(ccid.IccPowerOff, *at),
    st.builds(ccid.GetSlotStatus, *at),
    st.builds(ccid.XfrBlock, *at, u8, u16, data),
    st.builds(ccid.GetParameters, *at),
    st.builds(ccid.ResetParameters, *at),
    st.builds(ccid.SetParameters, *at, u8, data),
    st.builds(ccid.Escape, *at, data),
    st.builds(ccid.Abort, *at),
    st.builds(
        ccid.UnknownCommand,
        st.sampled_from((0x00, 0x69, 0x6E, 0x80, 0xFF)),
        *at,
        st.binary(min_size=3, max_size=3),
        data,
    ),
)
responses = st.one_of(
    st.builds(ccid.DataBlock, *at, u8, u8, u8, data),
    st.builds(ccid.SlotStatus, *at, u8, u8, u8),
    st.builds(ccid.Parameters, *at, u8, u8, u8, data),
    st.builds(ccid.EscapeReply, *at, u8, u8, data),
)


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        (ccid.IccPowerOn(0, 1, 1), "62 00000000 00 01 01 0000"),
        (ccid.IccPowerOff(0, 2), "63 00000000 00 02 000000"),
        (ccid.GetSlotStatus(0, 0xFF), "65 00000000 00 FF 000000"),
        (ccid.XfrBlock(0, 3, 4, Chain.FIRST, b"\x00\xa4\x04\x00"), "6F 04000000 00 03 04 0100 00A40400"),
        (ccid.XfrBlock(0, 3, 0, Chain.CONTINUE), "6F 00000000 00 03 00 1000"),
        (ccid.SetParameters(0, 4, 1, bytes.fromhex("1110004D00FE00")), "61 07000000 00 04 01 0000 1110004D00FE00"),
        (ccid.Abort(1, 9), "72 00000000 01 09 000000"),
    ],
)
def test_commands_as_the_specification_lays_them_out(message: ccid.Command, raw: str) -> None:
    assert message.encode() == bytes.fromhex(raw)
    assert decode_command(bytes.fromhex(raw)) == message


@pytest.mark.parametrize(
    ("message", "raw"),
    [
        (ccid.DataBlock(0, 1, data=b"\x90\x00"), "80 02000000 00 01 00 00 00 9000"),
        (ccid.DataBlock(0, 2, ccid.status(0, 2), 3), "80 00000000 00 02 80 03 00"),
        (ccid.SlotStatus(0, 3, ccid.status(2, 1), SlotError.ICC_MUTE), "81 00000000 00 03 42 FE 00"),
        (ccid.Parameters(0, 4, 0, 0, 1, b"\x11"), "82 01000000 00 04 00 00 01 11"),
        (ccid.EscapeReply(0, 5, 0x41, 0x00, b""), "83 00000000 00 05 41 00 00"),
    ],
)
def test_responses_as_the_specification_lays_them_out(message: ccid.Response, raw: str) -> None:
    assert message.encode() == bytes.fromhex(raw)
    assert decode_response(bytes.fromhex(raw)) == message


@given(commands)
def test_every_command_comes_back(message: ccid.Command) -> None:
    assert decode_command(message.encode()) == message
    if not isinstance(message, ccid.UnknownCommand):
        assert type(message).decode(message.encode()) == message


@given(responses)
def test_every_response_comes_back(message: ccid.Response) -> None:
    assert decode_response(message.encode()) == message
    assert type(message).decode(message.encode()) == message


@given(responses)
def test_status_and_its_two_fields(message: ccid.Response) -> None:
    assert ccid.status(message.icc_status, message.command_status) == message.status & 0xC3


@given(st.one_of(commands, responses), st.data())
def test_any_bytes_decode_or_raise_a_wire_error(message: ccid.Command | ccid.Response, draw: st.DataObject) -> None:
    raw = bytearray(message.encode())
    for _ in range(draw.draw(st.integers(0, 3))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(u8)
    mutant = bytes(raw[: draw.draw(st.integers(0, len(raw)))]) + draw.draw(st.binary(max_size=2))
    for decode in (decode_command, decode_response, ccid.NotifySlotChange.decode):
        with contextlib.suppress(WireError):
            decode(mutant)


@pytest.mark.parametrize(
    "message",
    [
        ccid.IccPowerOn(256, 0),
        ccid.GetSlotStatus(0, -1),
        ccid.XfrBlock(0, 0, 0, 65536),
        ccid.DataBlock(0, 0, 256),
        ccid.XfrBlock(0, 0, data=bytes(65545)),
    ],
)
def test_numbers_that_no_field_holds(message: ccid.Command) -> None:
    with pytest.raises(WireError):
        message.encode()


def test_a_message_of_another_type_is_not_taken_for_it() -> None:
    with pytest.raises(WireError, match="63, not 62"):
        ccid.IccPowerOn.decode(ccid.IccPowerOff(0, 0).encode())
    with pytest.raises(WireError, match="no response"):
        decode_response(ccid.IccPowerOff(0, 0).encode())


def test_what_an_apdu_carries_is_in_no_repr() -> None:
    for message in (ccid.XfrBlock(0, 0, data=b"planted"), ccid.DataBlock(0, 0, data=b"planted")):
        assert "planted" not in repr(message)


class TestDecoder:
    @given(st.lists(commands, max_size=6), st.data())
    def test_packets_in_pieces_of_any_number(self, messages: list[ccid.Command], draw: st.DataObject) -> None:
        decoder, seen = Decoder(decode_command), []
        for message in messages:
            raw = message.encode()
            while raw:
                piece = 64 * draw.draw(st.integers(1, 8))
                seen += list(decoder.feed(raw[:piece]))
                short = len(raw) % 64 != 0
                raw = raw[piece:]
            if not short and draw.draw(st.booleans()):
                seen += list(decoder.feed(b""))
        assert seen == messages

    def test_a_lying_length_spoils_its_own_transfer_only(self) -> None:
        good = ccid.GetSlotStatus(0, 7)
        decoder = Decoder(decode_command, longest=300)
        long = ccid.XfrBlock(0, 5, data=bytes(400)).encode()
        seen = [*decoder.feed(long[:64]), *decoder.feed(long[64:384]), *decoder.feed(long[384:])]
        assert seen == [BadMessage("a message of 410 bytes, over 300", Head(0x6F, 400, 0, 5))]
        assert list(decoder.feed(good.encode())) == [good]

    def test_a_lying_length_is_reported_before_it_is_waited_for(self) -> None:
        long = ccid.XfrBlock(0, 5, data=bytes(400)).encode()
        (bad,) = Decoder(decode_command, longest=300).feed(long[:64])
        assert isinstance(bad, BadMessage)

    @pytest.mark.parametrize(
        ("transfer", "head"),
        [
            (b"\x65\0\0\0\0\0\x01", None),
            (b"\x6f\x05\0\0\0\0\x01\0\0\0four", Head(0x6F, 5, 0, 1)),
            (b"\x6f\x03\0\0\0\0\x01\0\0\0four", Head(0x6F, 3, 0, 1)),
            (b"\x65\x01\0\0\0\0\x01\0\0\0x", Head(0x65, 1, 0, 1)),
        ],
    )
    def test_a_transfer_that_is_no_message_is_named(self, transfer: bytes, head: Head | None) -> None:
        decoder = Decoder(decode_command)
        (bad,) = decoder.feed(transfer)
        assert isinstance(bad, BadMessage) and bad.head == head
        assert list(decoder.feed(ccid.Abort(0, 1).encode())) == [ccid.Abort(0, 1)]

    def test_noise_of_any_kind_and_the_next_message_is_read(self) -> None:
        rng = random.Random(20260101)
        decoder = Decoder(decode_command, longest=1000)
        good = ccid.XfrBlock(0, 1, data=b"good")
        for _ in range(10_000):
            raw = bytearray(ccid.XfrBlock(0, rng.randrange(256), data=rng.randbytes(rng.randrange(200))).encode())
            raw[rng.randrange(len(raw))] = rng.randrange(256)
            for start in range(0, len(raw), 64):
                list(decoder.feed(bytes(raw[start : start + 64])))
            list(decoder.feed(b""))
            assert list(decoder.feed(good.encode())) == [good]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=9))
def test_notify_slot_change(slots: list[tuple[bool, bool]]) -> None:
    message = ccid.NotifySlotChange(tuple(slots))
    assert ccid.NotifySlotChange.decode(message.encode(), len(slots)) == message


def test_notify_slot_change_by_hand() -> None:
    assert ccid.NotifySlotChange(((True, True),)).encode() == b"\x50\x03"
