"""Frames, APDUs and TLVs: round trips, every split of the stream, noise, and the published COBS examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, apdu, framing, tlv
from provision.wire.framing import BadFrame, Decoder, Frame

frames = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=700))


# Cheshire and Baker's rule worked by hand on the boundary cases that published tables list.
@pytest.mark.parametrize(
    ("plain", "encoded"),
    [
        ("", "01"),
        ("00", "0101"),
        ("0000", "010101"),
        ("11220033", "0311220233"),
        ("11223344", "0511223344"),
        ("11000000", "0211010101"),
    ],
)
def test_cobs_by_hand(plain: str, encoded: str) -> None:
    assert framing.cobs_encode(bytes.fromhex(plain)).hex() == encoded
    assert framing.cobs_decode(bytes.fromhex(encoded)).hex() == plain


@pytest.mark.parametrize("length", [253, 254, 255, 508, 509, 762])
def test_cobs_runs_longer_than_254(length: int) -> None:
    for data in (b"\x01" * length, b"\x01" * length + b"\0", b"\0" + b"\x01" * length):
        encoded = framing.cobs_encode(data)
        assert b"\0" not in encoded
        assert framing.cobs_decode(encoded) == data


def test_a_run_of_254_costs_one_byte() -> None:
    assert framing.cobs_encode(b"\x01" * 254) == b"\xff" + b"\x01" * 254 + b"\x01"


@given(st.binary(max_size=1200))
def test_cobs_round_trip_without_a_zero(data: bytes) -> None:
    encoded = framing.cobs_encode(data)
    assert b"\0" not in encoded
    assert len(encoded) <= len(data) + len(data) // 254 + 1
    assert framing.cobs_decode(encoded) == data


@given(st.lists(frames, max_size=5), st.data())
def test_any_split_of_the_stream_gives_the_same_frames(sent: list[Frame], data: st.DataObject) -> None:
    stream = b"".join(framing.encode_frame(*frame) for frame in sent)
    decoder, got, position = Decoder(), [], 0
    while position < len(stream):
        step = data.draw(st.integers(1, len(stream) - position))
        got += decoder.feed(stream[position : position + step])
        position += step
    assert got == sent


@given(st.binary(max_size=60), frames)
def test_after_any_noise_the_next_frame_is_read(noise: bytes, frame: Frame) -> None:
    decoder = Decoder()
    list(decoder.feed(noise + b"\0"))
    assert list(decoder.feed(framing.encode_frame(*frame))) == [frame]


@given(frames, st.data())
def test_one_flipped_bit_is_never_a_frame(frame: Frame, data: st.DataObject) -> None:
    encoded = bytearray(framing.encode_frame(*frame))
    bit = data.draw(st.integers(0, (len(encoded) - 1) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    assert all(isinstance(item, BadFrame) for item in Decoder().feed(bytes(encoded)))


def test_an_endless_frame_is_dropped_and_memory_stays_small() -> None:
    decoder = Decoder()
    for _ in range(100):
        assert list(decoder.feed(b"\x55" * 4096)) == []
    (bad,) = decoder.feed(b"\x55\0")
    assert isinstance(bad, BadFrame)
    good = framing.encode_frame(1, 2, 3, b"after")
    assert list(decoder.feed(good)) == [Frame(1, 2, 3, b"after")]


def test_stray_delimiters_are_nothing() -> None:
    assert list(Decoder().feed(b"\0\0\0")) == []


def test_a_payload_over_the_limit_is_refused() -> None:
    with pytest.raises(WireError, match="4097"):
        framing.encode_frame(1, 1, 1, bytes(4097))
    framing.decode_frame(framing.encode_frame(1, 1, 1, b"\x01" * 4096)[:-1])


@given(
    st.builds(
        apdu.Command,
        *[st.integers(0, 255)] * 4,
        st.binary(max_size=300),
        st.none() | st.integers(1, 65536),
        st.booleans(),
    )
)
def test_command_round_trip(command: apdu.Command) -> None:
    decoded = apdu.decode_command(apdu.encode_command(command))
    assert decoded._replace(extended=False) == command._replace(extended=False)
    assert apdu.encode_command(decoded) == apdu.encode_command(command)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_command_or_a_wire_error(raw: bytes) -> None:
    try:
        command = apdu.decode_command(raw)
    except WireError:
        return
    assert apdu.decode_command(apdu.encode_command(command)) == command


@given(st.builds(apdu.Response, st.binary(max_size=300), st.integers(0, 65535)))
def test_response_round_trip(response: apdu.Response) -> None:
    assert apdu.decode_response(apdu.encode_response(response)) == response


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300))))
def test_tlv_round_trip(pairs: list[tuple[int, bytes]]) -> None:
    assert list(tlv.decode(b"".join(tlv.encode(tag, value) for tag, value in pairs))) == pairs


@given(st.binary(max_size=40))
def test_any_bytes_are_tlvs_or_a_wire_error(raw: bytes) -> None:
    try:
        pairs = list(tlv.decode(raw))
    except WireError:
        return
    assert sum(len(value) for _, value in pairs) <= len(raw)


def test_what_may_carry_a_pin_or_a_code_does_not_show_it() -> None:
    for carrier in (
        apdu.Command(0, 0xB2, 0, 0, b"314159"),
        apdu.Response(b"314159", 0x9000),
        Frame(1, 1, 7, b"314159"),
    ):
        assert "314159" not in repr(carrier)
        assert "6 bytes hidden" in repr(carrier)
