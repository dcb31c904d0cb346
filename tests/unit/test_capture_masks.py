"""A capture may be sent to anybody: what is masked in APDUs and on serial lines, and that it keeps its form."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, framing, molto2, oath, reference, reference_oath, tlv
from provision.wire.apdu import Command, decode_command, encode_command
from provision.wire.capture.mask_apdu import ApduMask
from provision.wire.capture.mask_line import LineMask
from provision.wire.capture.masking import either, hidden, masked, nothing, number, parts, tagged
from provision.wire.framing import Kind
from tests.unit.masks import SELECT_MANAGEMENT, SELECT_OATH, SELECTED, commands, exchange, frames, selected


@given(st.binary(max_size=40))
def test_every_description_keeps_the_length_and_only_shows_or_fills(field):
    for mask in (
        hidden,
        nothing,
        number(3),
        number(8, 1 << 40),
        either(nothing, number(2)),
        parts((1, number(1)), (2, hidden)),
        tagged({0x71: hidden, 0x74: number(4)}),
    ):
        shown_field = masked(mask, field)
        assert len(shown_field) == len(field)
        assert all(new in (old, ord("*")) for old, new in zip(field, shown_field, strict=True))


def test_what_breaks_its_description_is_filled_as_a_whole():
    mask = tagged({0x71: hidden, 0x77: number(1)})
    good = tlv.encode(0x71, b"anna") + tlv.encode(0x77, b"\x06")
    assert mask(good) == tlv.encode(0x71, b"****") + tlv.encode(0x77, b"\x06")
    assert masked(mask, tlv.encode(0x77, b"secret")) == tlv.encode(0x77, b"******"), "too long for a number of digits"
    assert masked(mask, good + tlv.encode(0x78, b"")) == b"*" * (len(good) + 2), "an unknown tag"
    assert masked(mask, good[:-1]) == b"*" * (len(good) - 1), "cut short"


def test_a_length_keeps_the_form_it_came_in():
    assert tagged({0x71: hidden})(b"\x71\x82\x00\x04anna") == b"\x71\x82\x00\x04****"


# APDUs.


@given(st.lists(st.tuples(commands, st.binary(max_size=60)), max_size=6), st.booleans())
def test_an_apdu_stays_an_apdu_with_its_header_its_lengths_and_its_status(dialogue, select_first):
    mask = selected() if select_first else ApduMask()
    for raw, response in dialogue:
        new = mask.command(raw)
        assert len(new) == len(raw)
        before, after = decode_command(raw), decode_command(new)
        assert after._replace(data=b"") == before._replace(data=b"")
        answer = mask.response(response + b"\x90\x00")
        assert len(answer) == len(response) + 2
        assert answer.endswith(b"\x90\x00")


@given(st.binary(max_size=40), st.booleans())
def test_of_any_bytes_only_an_apdus_head_is_kept(raw, select_first):
    new = (selected() if select_first else ApduMask()).command(raw)
    assert len(new) == len(raw)
    try:
        decode_command(raw)
    except WireError:
        assert new == b"*" * len(raw)
    else:
        assert new[:4] == raw[:4]


@pytest.mark.parametrize("raw", [b"", b"\x90", b"\x12\x34", b"seed of a token!?", b"\xff\xff"])
def test_what_is_no_response_is_filler(raw):
    assert ApduMask().response(raw) == b"*" * len(raw)


def test_the_applet_decides_what_is_harmless():
    info = tlv.encode(0xC3, b"\x01\x02\x03") + tlv.encode(0xC1, b"SN-0042") + b"\x90\x00"
    get_info = Command(0, reference.Ins.GET_INFO, 0, 0, b"", 256)
    mask = selected(SELECT_MANAGEMENT)
    assert exchange(mask, get_info, info)[1] == tlv.encode(0xC3, b"\x01\x02\x03") + b"\xc1\x07*******\x90\x00"
    for other in (ApduMask(), selected(SELECT_OATH)):
        assert exchange(other, get_info, info)[1] == b"*" * (len(info) - 2) + b"\x90\x00"
    mask.reset()
    assert exchange(mask, get_info, info)[1].startswith(b"***")


def test_a_refused_select_selects_nothing_and_an_unknown_aid_is_filled():
    mask = ApduMask()
    assert mask.command(SELECT_OATH) == SELECT_OATH
    mask.response(b"\x6a\x82")
    assert exchange(mask, Command(0, oath.Ins.LIST, 0, 0), b"\x72\x02\x21a\x90\x00")[1] == b"****\x90\x00"
    unknown = encode_command(Command(0, 0xA4, 4, 0, b"anna's own applet"))
    assert mask.command(unknown) == unknown[:5] + b"*" * 17
    beginning = encode_command(Command(0, 0xA4, 4, 0, oath.OATH_AID[:5]))
    assert mask.command(beginning) == beginning


def test_a_code_is_masked_and_its_digits_and_time_are_not():
    reply = reference_oath.CalculateReply(6, 123456789, 1_767_225_600_000_000).encode()
    challenge = oath.Calculate("anna", 59_850_611)
    command, answer = exchange(
        selected(), Command(0, oath.Ins.CALCULATE, 0, 1, challenge.encode()), reply + b"\x90\x00"
    )
    assert command.data == tlv.encode(0x71, b"****") + tlv.encode(0x74, (59_850_611).to_bytes(8, "big"))
    assert answer == b"\x76\x05\x06****" + reply[7:] + b"\x90\x00"


def test_a_token2_needs_no_select_to_tell_a_profiles_times():
    profile = molto2.PublicData(b"anna", 1_767_225_600, 1_767_225_000, 1, 30, 6, True).encode()
    command, answer = exchange(ApduMask(), molto2.public_data_command(7), profile + b"\x90\x00")
    assert command == molto2.public_data_command(7)
    shown_profile = molto2.PublicData.decode(answer[:-2])
    assert shown_profile == dataclasses.replace(molto2.PublicData.decode(profile), title=b"*" * 16)
    serial = b"8659612345678\x90\x00"
    assert exchange(ApduMask(), molto2.info_command(), serial)[1] == b"*" * 13 + b"\x90\x00"
    assert exchange(selected(), molto2.public_data_command(7), profile + b"\x90\x00")[1].startswith(b"**")


@pytest.mark.parametrize("cla", [0x84, 0x04, 0x80])
def test_inside_a_secure_channel_nothing_is_shown(cla):
    data = tlv.encode(0x71, b"anna")
    command, answer = exchange(selected(), Command(cla, oath.Ins.CALCULATE, 0, 1, data), SELECTED)
    assert command.data == b"*" * len(data)
    assert answer == b"*" * (len(SELECTED) - 2) + b"\x90\x00"


def test_a_piece_of_a_longer_answer_is_filled():
    listing = oath.Listing(((oath.OathKind.TOTP, oath.HashKind.SHA1, "anna"),)).encode()
    mask = selected()
    assert (
        exchange(mask, Command(0, oath.Ins.LIST, 0, 0), listing + b"\x61\x07")[1] == b"*" * len(listing) + b"\x61\x07"
    )
    rest = exchange(mask, Command(0, oath.Ins.SEND_REMAINING, 0, 0), listing + b"\x90\x00")[1]
    assert rest == b"*" * len(listing) + b"\x90\x00"


# Serial lines.


def stream(all_frames: list[framing.Frame]) -> bytes:
    return b"".join(framing.encode_frame(*frame) for frame in all_frames)


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 50), min_size=1, max_size=5))
def test_frames_stay_frames_however_they_are_cut(all_frames, cuts):
    data, mask, out, position, number = stream(all_frames), LineMask(), b"", 0, 0
    while position < len(data):
        size = cuts[number % len(cuts)]
        out += mask.to_token(data[position : position + size])
        position, number = position + size, number + 1
    assert mask.close() == (b"", b"")
    assert out == LineMask().to_token(data)
    seen = list(framing.Decoder().feed(out))
    assert [frame[:3] for frame in seen] == [frame[:3] for frame in all_frames]
    assert [len(frame.payload) for frame in seen] == [len(frame.payload) for frame in all_frames]


@given(st.binary(max_size=80))
def test_noise_is_filler_between_its_delimiters(noise):
    mask = LineMask()
    for piece in noise.split(b"\0"):
        try:
            framing.decode_frame(piece)
            return  # one chance in four thousand million
        except WireError:
            pass
    unfinished = noise.rpartition(b"\0")[2]
    out = mask.to_host(noise)
    to_token, to_host = mask.close()
    assert to_token == b""
    assert to_host == b"*" * len(unfinished)
    assert out + to_host == bytes(octet and ord("*") for octet in noise)


def test_noise_without_an_end_is_not_kept():
    mask = LineMask()
    assert mask.to_host(b"x" * 5000) == b"*" * 5000
    assert mask.close() == (b"", b"")


def test_a_spoilt_frame_is_filler():
    spoilt = bytearray(framing.encode_frame(Kind.APDU, 1, 7, b"\x00\xb2\x00\x00\x08\x80\x06271828"))
    spoilt[8] ^= 1
    assert LineMask().to_token(bytes(spoilt)) == b"*" * (len(spoilt) - 1) + b"\0"


def test_a_frame_too_long_to_be_stuffed_anew_is_filler():
    body = bytes(4112)
    head = framing._HEAD.pack(Kind.APDU, 1, 7)
    tail = framing._TAIL.pack(framing.crc32(head + body))
    encoded = framing.cobs_encode(head + body + tail)
    assert len(framing.decode_frame(encoded).payload) > framing.MAX_PAYLOAD
    assert LineMask().to_token(encoded + b"\0") == b"*" * len(encoded) + b"\0"


def test_a_late_answer_is_not_taken_for_one_to_the_last_command():
    mask = LineMask()
    for sequence, command in ((1, SELECT_OATH), (2, encode_command(Command(0, oath.Ins.LIST, 0, 0)))):
        mask.to_token(framing.encode_frame(Kind.APDU, sequence, 7, command))
        if sequence == 1:
            mask.to_host(framing.encode_frame(Kind.APDU_REPLY, sequence, 7, SELECTED))
    listing = b"\x72\x05\x21anna\x90\x00"
    for sequence, session, expected in ((1, 7, b"*" * 9), (2, 8, b"*" * 9), (2, 7, b"\x72\x05\x21****\x90\x00")):
        out = mask.to_host(framing.encode_frame(Kind.APDU_REPLY, sequence, session, listing))
        assert framing.decode_frame(out[:-1]).payload == expected


def test_hello_forgets_the_applet_and_hides_the_boot_id():
    mask = LineMask()
    mask.to_token(framing.encode_frame(Kind.APDU, 1, 7, SELECT_OATH))
    mask.to_host(framing.encode_frame(Kind.APDU_REPLY, 1, 7, SELECTED))
    hello = framing.HelloReply(1, b"boot id!", 4096).encode()
    out = mask.to_host(framing.encode_frame(Kind.HELLO_REPLY, 0, 8, hello))
    assert framing.decode_frame(out[:-1]).payload == hello.replace(b"boot id!", b"********")
    mask.to_token(framing.encode_frame(Kind.APDU, 1, 8, encode_command(Command(0, oath.Ins.LIST, 0, 0))))
    out = mask.to_host(framing.encode_frame(Kind.APDU_REPLY, 1, 8, b"\x72\x05\x21anna\x90\x00"))
    assert framing.decode_frame(out[:-1]).payload == b"*******\x90\x00"
