"""No secret gets through a capture's masks: wherever it is planted, in whatever dialogue."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import ccid, framing, oath, reference, tlv
from provision.wire.apdu import Command, encode_command
from provision.wire.capture import mask_apdu, shown
from provision.wire.capture.mask_line import LineMask
from provision.wire.capture.mask_usb import UsbMask
from provision.wire.capture.masking import hidden, masked, tagged
from provision.wire.framing import Kind
from tests.unit.masks import CONFIGURATION, SELECT_MANAGEMENT, SELECT_OATH, control, octets, selected

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
