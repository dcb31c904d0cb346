"""Every registered message survives encode and decode, and no bytes make a decoder raise anything but WireError."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.wire import WireError, oath, reference
from provision.wire.messages import MESSAGES, Message

text = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=16)
names = text.filter(bool)
pins = st.text("0123456789", min_size=6, max_size=16).map(str.encode)
u32 = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(oath.OathKind)
hashes = st.sampled_from(oath.HashKind)
flags = st.integers(0, 7).map(oath.Flag)
timings = st.builds(oath.Timing, st.integers(1, 3600), st.integers(0, 2**40 - 1), flags)
# Shorter secrets come back padded with zeros, as YKOATH sends them.
secrets = st.binary(min_size=14, max_size=64)

STRATEGIES: dict[str, st.SearchStrategy[Message]] = {
    "oath.Timing": timings,
    "oath.SelectReply": st.builds(
        oath.SelectReply,
        st.binary(min_size=3, max_size=3),
        st.binary(min_size=8, max_size=8),
        st.none() | st.integers(0, 255),
    ),
    "oath.Put": st.one_of(
        st.builds(
            oath.Put,
            names,
            st.just(oath.OathKind.HOTP),
            hashes,
            st.integers(6, 8),
            secrets,
            st.booleans(),
            st.none() | u32,
        ),
        st.builds(
            oath.Put,
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
    "oath.Name": st.builds(oath.Name, names),
    "oath.Rename": st.builds(oath.Rename, names, names),
    "oath.Listing": st.builds(oath.Listing, st.lists(st.tuples(kinds, hashes, names)).map(tuple)),
    "oath.CredentialRecord": st.builds(
        oath.CredentialRecord, names, kinds, hashes, st.integers(6, 8), timings, st.none() | u32
    ),
    "oath.Calculate": st.builds(oath.Calculate, names, st.none() | st.integers(0, 2**64 - 1)),
    "oath.CalculateReply": st.builds(
        oath.CalculateReply,
        st.integers(6, 8),
        st.integers(0, 2**31 - 1),
        st.none() | st.integers(0, 2**64 - 1),
    ),
    "oath.Pin": st.builds(oath.Pin, pins),
    "oath.ChangePin": st.builds(oath.ChangePin, pins, pins),
    "oath.CheckValue": st.builds(oath.CheckValue, names, st.binary(min_size=8, max_size=8)),
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
}


def test_every_message_has_a_strategy() -> None:
    assert set(STRATEGIES) == set(MESSAGES)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_round_trip(name: str) -> None:
    @given(STRATEGIES[name])
    def check(message: Message) -> None:
        assert MESSAGES[name].decode(message.encode()) == message

    check()


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_any_bytes_decode_or_raise_a_wire_error(name: str) -> None:
    # Mutations of a true message reach deeper than noise does.
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
        oath.encode_pin(pin)
    assert not pin or pin not in str(caught.value)


def test_a_short_secret_is_padded_with_zeros_as_ykoath_does() -> None:
    put = oath.Put("a", oath.OathKind.TOTP, oath.HashKind.SHA1, 6, b"tenbytes!!")
    assert oath.Put.decode(put.encode()).secret == b"tenbytes!!\0\0\0\0"


def test_messages_with_secrets_do_not_print_them() -> None:
    put = oath.Put("a", oath.OathKind.TOTP, oath.HashKind.SHA1, 6, b"planted-secret!!")
    for message in (put, oath.Pin(b"918273"), oath.ChangePin(b"918273", b"564738"), oath.CalculateReply(6, 918273)):
        for planted in ("planted", "918273", "564738"):
            assert planted not in repr(message)
            assert planted not in str(message)
