"""A capture may be sent to anybody: what is masked, that it keeps its form, and that no secret gets through."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, ccid, framing, molto2, oath, reference, reference_oath, tlv
from provision.wire.apdu import Command, decode_command, encode_command
from provision.wire.capture import mask_apdu, shown
from provision.wire.capture.mask_apdu import ApduMask
from provision.wire.capture.mask_ccid import CcidMask
from provision.wire.capture.mask_line import LineMask
from provision.wire.capture.mask_usb import UsbMask
from provision.wire.capture.masking import either, hidden, masked, nothing, number, parts, tagged
from provision.wire.framing import Kind
from provision.wire.usb import DeviceClass, SetupPacket, TransferType
from provision.wire.usb_descriptors import Configuration, EndpointDescriptor, InterfaceDescriptor

SELECT_OATH = encode_command(Command(0, 0xA4, 4, 0, oath.OATH_AID, 256))
SELECT_MANAGEMENT = encode_command(Command(0, 0xA4, 4, 0, reference.MANAGEMENT_AID, 256))
SELECTED = tlv.encode(0x79, b"\x05\x07\x00") + tlv.encode(0x71, b"deviceid") + b"\x90\x00"

octets = st.integers(0, 255)
commands = st.builds(
    Command,
    octets,
    octets | st.sampled_from([*oath.Ins, *reference.Ins, 0x50]),
    octets,
    octets,
    st.binary(max_size=300),
    st.none() | st.integers(1, 65536),
    st.booleans(),
).map(encode_command)
frames = st.builds(framing.Frame, octets, octets, st.integers(0, 2**32 - 1), st.binary(max_size=600))


def selected(aid_command: bytes = SELECT_OATH) -> ApduMask:
    mask = ApduMask()
    mask.command(aid_command)
    mask.response(b"\x90\x00")
    return mask


def exchange(mask: ApduMask, command: Command, response: bytes = b"\x90\x00") -> tuple[Command, bytes]:
    return decode_command(mask.command(encode_command(command))), mask.response(response)


# The language.


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


# CCID and USB.


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), max_size=8))
def test_a_piece_of_a_ccid_transfer_keeps_its_length(pieces):
    mask = CcidMask()
    for to_token, piece in pieces:
        assert len(mask.to_token(piece) if to_token else mask.to_host(piece)) == len(piece)


def test_a_readers_apdus_are_masked_as_on_any_wire():
    mask = CcidMask()
    atr = bytes.fromhex("3B8001 81".replace(" ", ""))
    power_on, block = ccid.IccPowerOn(0, 1).encode(), ccid.DataBlock(0, 1, data=atr).encode()
    assert mask.to_token(power_on) == power_on
    assert mask.to_host(block) == block
    select = ccid.XfrBlock(0, 2, data=SELECT_OATH).encode()
    assert mask.to_token(select) == select
    reply = mask.to_host(ccid.DataBlock(0, 2, data=SELECTED).encode())
    assert ccid.decode_response(reply).data == SELECTED.replace(b"deviceid", b"********")
    verify = encode_command(Command(0, oath.Ins.VERIFY_PIN, 0, 0, b"\x80\x06271828"))
    assert ccid.decode_command(mask.to_token(ccid.XfrBlock(0, 3, data=verify).encode())).data == verify[:5] + b"*" * 8


def test_an_answer_of_another_number_and_an_atr_out_of_place_are_filled():
    mask = CcidMask()
    mask.to_token(ccid.XfrBlock(0, 2, data=SELECT_OATH).encode())
    assert ccid.decode_response(mask.to_host(ccid.DataBlock(0, 3, data=SELECTED).encode())).data == b"*" * len(SELECTED)
    atr = b"\x3bseed of a token!?"
    assert ccid.decode_response(mask.to_host(ccid.DataBlock(0, 2, data=atr).encode())).data == b"*" * len(atr)
    mask.to_token(ccid.IccPowerOn(0, 4).encode())
    for hidden_atr in (b"seed of a token", b"\x3b" + b"x" * 33):
        reply = mask.to_host(ccid.DataBlock(0, 4, data=hidden_atr).encode())
        assert ccid.decode_response(reply).data == b"*" * len(hidden_atr)


def test_parts_of_an_apdu_in_several_messages_and_vendors_messages_are_filled():
    mask = CcidMask()
    part = ccid.XfrBlock(0, 2, level=ccid.Chain.FIRST, data=SELECT_OATH).encode()
    assert ccid.decode_command(mask.to_token(part)).data == b"*" * len(SELECT_OATH)
    escape = ccid.Escape(0, 3, b"seed").encode()
    assert ccid.decode_command(mask.to_token(escape)).data == b"****"
    parameters = ccid.Parameters(0, 4, protocol=1, data=bytes(7)).encode()
    assert mask.to_host(parameters) == parameters


def test_a_message_in_pieces_shows_its_header():
    mask = CcidMask()
    message = ccid.XfrBlock(0, 2, data=SELECT_OATH + b"s" * 100).encode()
    assert mask.to_token(message[:64]) == message[:10] + b"*" * 54
    assert mask.to_token(message[64:]) == b"*" * (len(message) - 64)
    whole = ccid.XfrBlock(0, 3, data=SELECT_OATH).encode()
    assert mask.to_token(whole) == whole


# A line on 01 and 81, which notifies on 82; a reader on 03 and 83.
CONFIGURATION = Configuration.of(
    (
        InterfaceDescriptor(0, 0, 1, DeviceClass.CDC, 2, 0, 0),
        EndpointDescriptor(0x82, TransferType.INTERRUPT, 16, 10),
        InterfaceDescriptor(1, 0, 2, DeviceClass.CDC_DATA, 0, 0, 0),
        EndpointDescriptor(0x01, TransferType.BULK, 64, 0),
        EndpointDescriptor(0x81, TransferType.BULK, 64, 0),
        InterfaceDescriptor(2, 0, 2, DeviceClass.CCID, 0, 0, 0),
        EndpointDescriptor(0x03, TransferType.BULK, 64, 0),
        EndpointDescriptor(0x83, TransferType.BULK, 64, 0),
        InterfaceDescriptor(3, 0, 1, DeviceClass.VENDOR, 0, 0, 0),
        EndpointDescriptor(0x05, TransferType.BULK, 64, 0),
    ),
    bmAttributes=0x80,
    bMaxPower=25,
).encode()


def control(mask: UsbMask, setup: str, data: bytes) -> bytes:
    return mask.control(SetupPacket.decode(bytes.fromhex(setup)), data)


def test_descriptors_stay_and_strings_are_filled():
    mask = UsbMask(CONFIGURATION)
    device = bytes.fromhex("12010002ef0201400912010000010102 0301".replace(" ", ""))
    assert control(mask, "8006000100001200", device) == device
    assert control(mask, "8006000100000800", device[:8]) == device[:8]
    string = bytes((2 + 14, 3)) + "SN-0042".encode("utf-16-le")
    assert control(mask, "800603030904ff00", string) == string[:2] + b"*" * 14
    languages = bytes.fromhex("04030904")
    assert control(mask, "800600030000ff00", languages) == languages
    configuration = (
        bytes.fromhex("090209000001008032") + bytes.fromhex("0921111100012234 00".replace(" ", "")) + b"\x06\x99seed"
    )
    assert control(mask, "800600020000ff00", configuration) == configuration[:-4] + b"****"


def test_only_known_requests_show_their_data():
    mask = UsbMask(CONFIGURATION)
    line_coding = bytes.fromhex("00c20100000008")
    assert control(mask, "2120000000000700", line_coding) == line_coding
    assert control(mask, "2120000000000700", b"2718281") == b"*******"
    assert control(mask, "8000000000000200", b"\1\0") == b"\1\0"
    assert control(mask, "c006000100001200", b"\x02\x01") == b"**", "a vendor's request"
    assert mask.transfer(0x82, bytes.fromhex("a1200000000002000300")) == bytes.fromhex("a1200000000002000300")
    assert mask.transfer(0x82, b"\x50\x03") == b"\x50\x03"
    for other in (b"seed", b"\xa1314159265", b"\x51\x03", b""):
        assert mask.transfer(0x82, other) == b"*" * len(other)
    assert mask.transfer(0x05, b"seed") == b"****", "a vendor's pipe"
    assert mask.transfer(0x06, b"seed") == b"****", "a pipe that is not there"


@given(st.binary(min_size=8, max_size=8) | st.sampled_from([b"\x80\x06\0\1\0\0\x12\0"]), st.binary(max_size=80))
def test_any_control_transfer_keeps_its_length(setup, data):
    assert len(UsbMask(CONFIGURATION).control(SetupPacket.decode(setup), data)) == len(data)


def test_a_reader_is_found_by_its_descriptors_and_hidden_without_them():
    message = ccid.XfrBlock(0, 2, data=SELECT_OATH).encode()
    assert UsbMask(CONFIGURATION).transfer(0x03, message) == message
    assert UsbMask(CONFIGURATION[:-1]).transfer(0x03, message) == b"*" * len(message)


def test_a_usb_serial_line_shows_whole_frames_and_fills_pieces():
    mask = UsbMask(CONFIGURATION)
    frame = framing.encode_frame(Kind.APDU, 1, 7, SELECT_OATH)
    assert mask.transfer(0x01, frame) == frame
    assert mask.transfer(0x01, frame[:9]) == b"*" * 9
    assert mask.transfer(0x01, frame[9:]) == b"*" * (len(frame) - 9)
    assert mask.transfer(0x01, frame) == frame


# No secret gets through: wherever it is planted, in whatever dialogue.

secrets = st.binary(min_size=14, max_size=64).filter(lambda secret: len(set(secret)) > 6)
pins = st.text("0123456789", min_size=12, max_size=16).filter(lambda pin: len(set(pin)) > 3).map(str.encode)
TAGS = sorted({*oath.Tag, *reference.Tag})


@st.composite
def planted(draw: st.DrawFn, secret: bytes) -> bytes:
    """Data with the secret somewhere in it: raw, in a field of its own or at the end of another, among others."""
    tag = st.sampled_from(TAGS)
    fields = draw(st.lists(st.tuples(tag, st.binary(max_size=9)), max_size=3))
    place = draw(st.integers(0, len(fields)))
    parts_ = [tlv.encode(*field) for field in fields]
    prefix = draw(st.binary(max_size=3))
    parts_.insert(place, draw(st.sampled_from([secret, prefix + secret, tlv.encode(draw(tag), prefix + secret)])))
    return b"".join(parts_)


@st.composite
def dialogues(draw: st.DrawFn) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A secret, and exchanges in which commands and responses have it in them."""
    secret = draw(secrets | pins)
    exchanges = []
    for _ in range(draw(st.integers(1, 4))):
        ins = draw(st.sampled_from([*oath.Ins, *reference.Ins, 0x50, 0x82]) | octets)
        command = Command(
            draw(st.sampled_from([0x00, 0x80, 0x84])),
            ins,
            draw(st.sampled_from([0, 4])),
            1,
            draw(planted(secret)),
            None,
        )
        status = draw(st.sampled_from([b"\x90\x00", b"\x61\x00", b"\x6a\x80", b"\x63\xc3"]))
        exchanges.append((encode_command(command), draw(planted(secret)) + status))
    return secret, exchanges


def captured(exchanges: list[tuple[bytes, bytes]], aid_command: bytes) -> bytes:
    mask = selected(aid_command)
    out = b""
    for command, response in exchanges:
        out += mask.command(command) + b"|" + mask.response(response) + b"|"
    return out


@given(dialogues(), st.sampled_from([SELECT_OATH, SELECT_MANAGEMENT]))
def test_no_planted_secret_is_shown(dialogue, aid_command):
    secret, exchanges = dialogue
    assert secret not in captured(exchanges, aid_command)


@given(dialogues(), st.lists(st.sampled_from(["frame", "spoilt frame", "raw"]), min_size=1), st.integers(1, 64), octets)
def test_no_planted_secret_is_shown_on_a_line(dialogue, kinds, cut, spoiling):
    """Frames, spoilt ones and bare bytes, cut anywhere; looked for in what is shown and, unstuffed, in its frames."""
    secret, exchanges = dialogue
    mask, out = LineMask(), b""
    for number_, (command, response) in enumerate(exchanges):
        way = kinds[number_ % len(kinds)]
        for kind, apdu, feed in ((Kind.APDU, command, mask.to_token), (Kind.APDU_REPLY, response, mask.to_host)):
            data = apdu if way == "raw" else framing.encode_frame(kind, number_, 7, apdu)
            if way == "spoilt frame":
                place = spoiling % len(data)
                data = data[:place] + bytes((data[place] ^ 0x40,)) + data[place + 1 :]
            for start in range(0, len(data), cut):
                out += feed(data[start : start + cut])
    out += b"".join(mask.close())
    assert secret not in out
    assert secret not in b"|".join(
        frame.payload for frame in framing.Decoder().feed(out) if isinstance(frame, framing.Frame)
    )


@given(dialogues(), st.integers(11, 200))
def test_no_planted_secret_is_shown_on_usb(dialogue, cut):
    secret, exchanges = dialogue
    mask, out = UsbMask(CONFIGURATION), b""
    for seq, (command, response) in enumerate(exchanges):
        for endpoint, message in (
            (0x03, ccid.XfrBlock(0, seq, data=command)),
            (0x83, ccid.DataBlock(0, seq, data=response)),
            (0x03, ccid.Escape(0, seq, command)),
        ):
            data = message.encode()
            out += b"".join(mask.transfer(endpoint, data[start : start + cut]) for start in range(0, len(data), cut))
        out += control(mask, "800603030904ff00", bytes((2 + len(secret), 3)) + secret)
        out += control(mask, "800600020000ff00", bytes((2 + len(secret), 0x24)) + secret)
        out += control(mask, "4001000000000000", secret)
    assert secret not in out


@pytest.mark.parametrize(
    "instructions",
    [
        *([*applet.instructions.values(), shown.Instruction(hidden, applet.select)] for applet in shown.APPLETS),
        list(shown.WITHOUT_APPLET.values()),
    ],
)
@given(data=st.data())
def test_no_description_has_room_for_a_secret(instructions, data):
    """Whatever an instruction's data are, nothing that is shown runs on for as long as a secret."""
    instruction = data.draw(st.sampled_from(instructions))
    secret = data.draw(secrets | pins)
    field = data.draw(planted(secret))
    for mask in instruction:
        assert secret not in masked(mask, field)


@pytest.mark.parametrize(
    ("instruction", "plain"),
    [
        ((0x00, oath.Ins.PUT), shown.Instruction(tagged({0x71: hidden, 0x73: lambda field: field}))),
        ((0x00, oath.Ins.VERIFY_PIN), shown.Instruction(tagged({0x80: lambda field: field}))),
        ((0x00, oath.Ins.CALCULATE), shown.Instruction(hidden, tagged({0x76: lambda field: field}))),
    ],
)
def test_a_field_wrongly_declared_harmless_is_caught(instruction, plain, monkeypatch):
    """The searches above can fail: a secret in its usual place is found as soon as the table lets it through."""
    wrong = dataclasses.replace(shown.OATH, instructions={**shown.OATH.instructions, instruction: plain})
    secret = b"12345678901234567890"
    command = {
        oath.Ins.PUT: oath.Put("anna", oath.OathKind.TOTP, oath.HashKind.SHA1, 6, secret).encode(),
        oath.Ins.VERIFY_PIN: tlv.encode(oath.Tag.PIN, secret),
        oath.Ins.CALCULATE: b"",
    }[instruction[1]]
    exchanges = [(encode_command(Command(*instruction, 0, 0, command)), tlv.encode(0x76, secret) + b"\x90\x00")]
    assert secret not in captured(exchanges, SELECT_OATH)
    monkeypatch.setattr(mask_apdu, "APPLETS", (wrong,))
    assert secret in captured(exchanges, SELECT_OATH)
