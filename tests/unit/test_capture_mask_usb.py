"""Masks of CCID and USB: descriptors stay, what is said in them is masked as on any wire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from provision.wire import ccid, framing, oath
from provision.wire.apdu import Command, encode_command
from provision.wire.capture.mask_ccid import CcidMask
from provision.wire.capture.mask_usb import UsbMask
from provision.wire.framing import Kind
from provision.wire.usb import SetupPacket
from tests.unit.masks import CONFIGURATION, SELECT_OATH, SELECTED, control


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
