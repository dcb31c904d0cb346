"""Every registered message survives encode and decode, and no bytes make a decoder raise anything but WireError."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.wire import (
    WireError,
    molto2,
    oath,
    oath_password,
    reference,
    reference_oath,
    sm4_secure,
    token2,
    usb,
    usb_descriptors,
    usbip,
    yubikey,
)
from provision.wire.messages import MESSAGES, Message

text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=16)
names = text.filter(bool)
pins = st.text("0123456789", min_size=6, max_size=16).map(str.encode)
u32 = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(oath.OathKind)
hashes = st.sampled_from(oath.HashKind)
flags = st.integers(0, 7).map(reference_oath.Flag)
timings = st.builds(reference_oath.Timing, st.integers(1, 3600), st.integers(0, 2**40 - 1), flags)
# Shorter secrets come back padded with zeros, as YKOATH sends them.
secrets = st.binary(min_size=14, max_size=64)
answers = st.one_of(
    st.builds(oath.Answer, names, st.just(oath.Tag.CODE), st.integers(6, 8), st.binary(min_size=4, max_size=4)),
    st.builds(oath.Answer, names, st.just(oath.Tag.FULL_CODE), st.integers(6, 8), st.binary(min_size=20, max_size=20)),
    st.builds(oath.Answer, names, st.sampled_from((oath.Tag.NO_CODE, oath.Tag.TOUCH_NEEDED)), st.integers(6, 8)),
)
u8, u16 = st.integers(0, 0xFF), st.integers(0, 0xFFFF)
paths = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=31)
payloads = st.binary(max_size=80)
ways = st.sampled_from((usbip.OUT, usbip.IN))
usbip_devices = st.builds(
    usbip.Device, paths, paths, u32, u32, u32, u16, u16, u16, u8, u8, u8, u8, u8, st.integers(0, 4)
)
listed = usbip_devices.flatmap(
    lambda device: st.builds(
        usbip.ListedDevice,
        st.just(device),
        st.lists(st.tuples(u8, u8, u8), min_size=device.bNumInterfaces, max_size=device.bNumInterfaces).map(tuple),
    )
)
statuses = st.sampled_from(usbip.Status).map(int) | st.integers(-200, 200)
unknown_descriptors = st.binary(max_size=20).map(
    lambda body: usb_descriptors.UnknownDescriptor(bytes((len(body) + 2, 0xF0)) + body)
)


def _descriptor(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any numbers that the layout of a descriptor of fixed size takes."""
    formats: str = kind._layout.format.lstrip("<")  # type: ignore[attr-defined]
    return st.builds(kind, *({"B": u8, "H": u16, "I": u32}[letter] for letter in formats))


fixed_descriptors = {
    f"usb_descriptors.{kind.__name__}": _descriptor(kind)
    for kind in (
        usb_descriptors.DeviceDescriptor,
        usb_descriptors.ConfigurationDescriptor,
        usb_descriptors.InterfaceAssociation,
        usb_descriptors.InterfaceDescriptor,
        usb_descriptors.EndpointDescriptor,
        usb_descriptors.CdcHeader,
        usb_descriptors.CdcCallManagement,
        usb_descriptors.CdcAcm,
        usb_descriptors.CdcUnion,
        usb_descriptors.CcidDescriptor,
    )
}
inner_descriptors = st.one_of(
    unknown_descriptors,
    *(
        strategy
        for name, strategy in fixed_descriptors.items()
        if name not in ("usb_descriptors.DeviceDescriptor", "usb_descriptors.ConfigurationDescriptor")
    ),
)

sm4_hashes, displays = st.sampled_from(sm4_secure.HashKind), st.sampled_from(sm4_secure.DisplayTimeout)
sm4_steps = st.sampled_from(sm4_secure.TIME_STEPS)

STRATEGIES: dict[str, st.SearchStrategy[Message]] = {
    "sm4_secure.Info": st.builds(
        sm4_secure.Info,
        st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40),
        u32,
        st.binary(min_size=3, max_size=3),
        st.binary(min_size=2, max_size=2),
    ),
    "molto2.Config": st.builds(molto2.Config, u32, sm4_hashes, st.sampled_from(molto2.DIGITS), sm4_steps, displays),
    "molto2.TimeOnly": st.builds(molto2.TimeOnly, u32),
    "molto2.PublicData": st.builds(
        molto2.PublicData,
        st.binary(max_size=16).map(lambda raw: raw.rstrip(b"\0")),
        u32,
        u32,
        u8,
        u8,
        u8,
        st.booleans(),
        u8,
    ),
    "token2.Config": st.builds(token2.Config, u32, sm4_hashes, sm4_steps, displays),
    "reference_oath.Timing": timings,
    "reference_oath.SelectReply": st.builds(
        reference_oath.SelectReply,
        st.binary(min_size=3, max_size=3),
        st.binary(min_size=8, max_size=8),
        st.none() | st.integers(0, 255),
    ),
    "reference_oath.Put": st.one_of(
        st.builds(
            reference_oath.Put,
            names,
            st.just(oath.OathKind.HOTP),
            hashes,
            st.integers(6, 8),
            secrets,
            st.booleans(),
            st.none() | u32,
        ),
        st.builds(
            reference_oath.Put,
            names,
            st.just(oath.OathKind.TOTP),
            hashes,
            st.integers(6, 8),
            secrets,
            st.booleans(),
            st.none(),
            st.none() | timings,
        ),
    ),
    "oath.SelectReply": st.builds(
        oath.SelectReply,
        st.tuples(u8, u8, u8),
        st.binary(min_size=8, max_size=8),
        st.none() | st.binary(min_size=8, max_size=8),
    ),
    "oath_password.SetCode": st.just(oath_password.SetCode(None))
    | st.builds(
        oath_password.SetCode,
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=8, max_size=12),
        st.binary(min_size=20, max_size=20),
    ),
    "oath_password.Validate": st.builds(
        oath_password.Validate, st.binary(min_size=20, max_size=20), st.binary(min_size=8, max_size=12)
    ),
    "oath.Put": st.builds(oath.Put, names, kinds, hashes, st.integers(6, 8), secrets, st.booleans()),
    "oath.AllChallenge": st.builds(oath.AllChallenge, st.integers(0, 2**64 - 1)),
    "oath.AllAnswers": st.builds(oath.AllAnswers, st.lists(answers, max_size=4).map(tuple)),
    "oath.CalculateReply": st.builds(oath.CalculateReply, st.integers(6, 8), st.integers(0, 2**31 - 1)),
    "oath.Name": st.builds(oath.Name, names),
    "oath.Rename": st.builds(oath.Rename, names, names),
    "oath.Listing": st.builds(oath.Listing, st.lists(st.tuples(kinds, hashes, names)).map(tuple)),
    "reference_oath.CredentialRecord": st.builds(
        reference_oath.CredentialRecord, names, kinds, hashes, st.integers(6, 8), timings, st.none() | u32
    ),
    "oath.Calculate": st.builds(oath.Calculate, names, st.none() | st.integers(0, 2**64 - 1)),
    "reference_oath.CalculateReply": st.builds(
        reference_oath.CalculateReply,
        st.integers(6, 8),
        st.integers(0, 2**31 - 1),
        st.none() | st.integers(0, 2**64 - 1),
    ),
    "reference_oath.Pin": st.builds(reference_oath.Pin, pins),
    "reference_oath.ChangePin": st.builds(reference_oath.ChangePin, pins, pins),
    "reference_oath.CheckValue": st.builds(reference_oath.CheckValue, names, st.binary(min_size=8, max_size=8)),
    "reference.Info": st.builds(
        reference.Info,
        names.filter(lambda name: len(name.encode()) <= 32),
        text.filter(lambda name: len(name.encode()) <= 32),
        st.tuples(*[st.integers(0, 255)] * 3),
        text.filter(lambda name: len(name.encode()) <= 32),
        st.sampled_from(reference.PinStatus),
        st.integers(0, 255),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.integers(0, 255),
        st.sampled_from(reference.BatteryStatus),
    ),
    "reference.DeviceTime": st.builds(reference.DeviceTime, st.integers(0, 2**64 - 1)),
    "reference.SetTime": st.builds(reference.SetTime, st.integers(0, 2**40 - 1)),
    "yubikey.Greeting": st.builds(yubikey.Greeting, st.tuples(u8, u8, u8)),
    "yubikey.Config": st.builds(
        yubikey.Config,
        u16,
        st.none() | u32,
        st.none() | u16,
        st.sampled_from(yubikey.FormFactor),
        st.none() | st.tuples(u8, u8, u8),
        st.none() | u16,
    ),
    "usb.SetupPacket": st.builds(usb.SetupPacket, u8, u8, u16, u16, u16),
    **fixed_descriptors,
    "usb_descriptors.UnknownDescriptor": unknown_descriptors,
    "usb_descriptors.Configuration": st.builds(
        usb_descriptors.Configuration.of,
        st.lists(inner_descriptors, max_size=8).map(tuple),
        bmAttributes=u8,
        bMaxPower=u8,
    ),
    "usbip.DevlistRequest": st.just(usbip.DevlistRequest()),
    "usbip.ImportRequest": st.builds(usbip.ImportRequest, paths),
    "usbip.Device": usbip_devices,
    "usbip.ListedDevice": listed,
    "usbip.DevlistReply": st.builds(usbip.DevlistReply, st.lists(listed, max_size=2).map(tuple)),
    "usbip.ImportReply": st.builds(usbip.ImportReply, st.just(0), usbip_devices)
    | st.builds(usbip.ImportReply, st.integers(1, 5), st.none()),
    "usbip.Submit": payloads.flatmap(
        lambda data: st.builds(
            usbip.Submit,
            u32,
            u32,
            st.just(usbip.OUT),
            st.integers(0, 15),
            st.just(len(data)),
            st.binary(min_size=8, max_size=8),
            st.just(data),
            u32,
            u32,
        )
    )
    | st.builds(
        lambda seqnum, devid, endpoint, length: usbip.Submit(seqnum, devid, usbip.IN, endpoint, length),
        u32,
        u32,
        st.integers(0, 15),
        u32,
    ),
    "usbip.SubmitReply": st.builds(
        lambda seqnum, status, data: usbip.SubmitReply(seqnum, status, len(data), data), u32, statuses, payloads
    )
    | st.builds(usbip.SubmitReply, u32, statuses, st.integers(0, 2**31 - 1), st.just(b"")),
    "usbip.Unlink": st.builds(usbip.Unlink, u32, u32, u32),
    "usbip.UnlinkReply": st.builds(usbip.UnlinkReply, u32, statuses),
}


EXAMPLES = 50  # of each message, and there are 52


def test_every_message_has_a_strategy() -> None:
    assert set(STRATEGIES) == set(MESSAGES)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_round_trip(name: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(STRATEGIES[name])
    def check(message: Message) -> None:
        assert MESSAGES[name].decode(message.encode()) == message

    check()


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_any_bytes_decode_or_raise_a_wire_error(name: str) -> None:
    # Mutations of a true message reach deeper than noise does.
    @settings(max_examples=EXAMPLES)
    @given(STRATEGIES[name], st.data())
    def check(message: Message, data: st.DataObject) -> None:
        raw = bytearray(message.encode())
        for _ in range(data.draw(st.integers(0, 4))):
            if raw:
                raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        raw = raw[: data.draw(st.integers(0, len(raw)))] + data.draw(st.binary(max_size=3))
        _decodes_or_refuses(MESSAGES[name].decode, bytes(raw))

    check()


def _decodes_or_refuses(decode: Callable[[bytes], Message], raw: bytes) -> None:
    with contextlib.suppress(WireError):
        decode(raw)


@pytest.mark.parametrize("name", ["", "a" * 65, "tab\there", "\x9b", "é" * 33, "\ud800"])
def test_names_that_no_token_takes(name: str) -> None:
    with pytest.raises(WireError):
        oath.encode_name(name)


@pytest.mark.parametrize("pin", ["", "12345", "1" * 17, "12345a", "123456 ", "١٢٣٤٥٦", "-12345"])
def test_pins_that_no_token_takes_are_not_repeated(pin: str) -> None:
    with pytest.raises(WireError) as caught:
        reference_oath.encode_pin(pin)
    assert not pin or pin not in str(caught.value)


def test_a_short_secret_is_padded_with_zeros_as_ykoath_does() -> None:
    put = reference_oath.Put("a", oath.OathKind.TOTP, oath.HashKind.SHA1, 6, b"tenbytes!!")
    assert reference_oath.Put.decode(put.encode()).secret == b"tenbytes!!\0\0\0\0"


def test_messages_with_secrets_do_not_print_them() -> None:
    credential = ("a", oath.OathKind.TOTP, oath.HashKind.SHA1, 6, b"planted-secret!!")
    for message in (
        oath.Put(*credential),
        oath_password.SetCode(b"planted", b"planted", b"planted"),
        oath_password.Validate(b"planted", b"planted"),
        oath.CalculateReply(6, 918273),
        oath.AllAnswers((oath.Answer("a", oath.Tag.CODE, 6, b"planted"),)),
        reference_oath.Put(*credential),
        reference_oath.Pin(b"918273"),
        reference_oath.ChangePin(b"918273", b"564738"),
        reference_oath.CalculateReply(6, 918273, 1),
    ):
        for planted in ("planted", "918273", "564738"):
            assert planted not in repr(message)
            assert planted not in str(message)
