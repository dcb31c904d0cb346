"""The host's side of SCP03 when somebody on the wire alters, drops or invents answers; and the keys that it derives."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import AdminKeyIncorrect, RemoteProtocolError
from provision.families.reference import ReferenceSession
from provision.families.secure_channel import SecureChannel, derive_keys
from provision.model import Secret
from provision.wire import globalplatform, scp03
from provision.wire.apdu import Command, Response, decode_command
from provision.wire.framing import MAX_PAYLOAD
from provision.wire.oath import Ins

HOST, CARD = b"hostchal", b"cardchal"
KEYS = scp03.FACTORY_KEYS


class Card:
    """A card by the book, in twenty lines: answers with the data it got, in capitals."""

    def __init__(self, keys=KEYS, kvn=0xFF):
        self.session = scp03.session_keys(keys, HOST, CARD)
        self.kvn = kvn
        self.chain = scp03.INITIAL_CHAIN
        self.counter = 0
        self.authenticated = Response(b"", 0x9000)

    def transmit(self, command):
        if command.ins == globalplatform.INS_INITIALIZE_UPDATE:
            cryptogram = scp03.card_cryptogram(self.session, HOST, CARD)
            return Response(
                scp03.InitializeUpdateReply(bytes(10), self.kvn, CARD, cryptogram).encode(),
                0x9000,
            )
        self.opened(command)
        return self.authenticated

    def opened(self, command):
        bare = command._replace(data=command.data[: -scp03.MAC_SIZE])
        self.chain = scp03.command_mac(self.session, self.chain, bare)
        assert command.data[-scp03.MAC_SIZE :] == self.chain[: scp03.MAC_SIZE]
        return bare.data

    def answer(self, command, sw=0x9000):
        self.counter += 1
        data = self.opened(command)
        plain = scp03.decrypt(self.session, self.counter, data).upper() if data else b""
        body = scp03.encrypt(self.session, self.counter, plain, response=True) if plain else b""
        return Response(body + scp03.response_mac(self.session, self.chain, body, sw), sw)


def opened(card):
    return SecureChannel(card.transmit, KEYS, HOST, factory=True, who="token T")


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_both_ends_stay_in_step(payloads):
    card = Card()
    channel = opened(card)
    for data in payloads:
        response = channel.unwrap(card.answer(channel.wrap(Command(0, 1, 2, 3, data, 256))))
        assert response == Response(data.upper(), 0x9000)


@given(st.integers(0, 23), st.integers(1, 255))
def test_a_response_altered_anywhere_is_refused(where, mask):
    card = Card()
    channel = opened(card)
    data, sw = card.answer(channel.wrap(Command(0, 1, 2, 3, b"secret", 256)))
    altered = data[:where] + bytes((data[where] ^ mask,)) + data[where + 1 :]
    with pytest.raises(RemoteProtocolError, match="wrong MAC"):
        channel.unwrap(Response(altered, sw))


@pytest.mark.parametrize("response", [Response(b"", 0x9000), Response(bytes(7), 0x9000), Response(bytes(8), 0x6310)])
def test_a_good_status_without_a_mac_is_refused(response):
    card = Card()
    channel = opened(card)
    channel.wrap(Command(0, 1, 2, 3))
    with pytest.raises(RemoteProtocolError):
        channel.unwrap(response)


def test_an_old_response_does_not_pass_for_a_new_one():
    card = Card()
    channel = opened(card)
    old = card.answer(channel.wrap(Command(0, 1, 2, 3, b"same")))
    channel.unwrap(old)
    card.answer(channel.wrap(Command(0, 1, 2, 3, b"same")))
    with pytest.raises(RemoteProtocolError):
        channel.unwrap(old)


def test_error_statuses_come_bare():
    card = Card()
    channel = opened(card)
    channel.wrap(Command(0, 1, 2, 3))
    assert channel.unwrap(Response(b"", 0x6A80)) == Response(b"", 0x6A80)


def test_well_encrypted_nonsense_is_the_tokens_fault():
    card = Card()
    channel = opened(card)
    channel.wrap(Command(0, 1, 2, 3, b"data"))
    body = bytes(16)
    mac = scp03.response_mac(channel._keys, channel._chain, body, 0x9000)
    with pytest.raises(RemoteProtocolError, match="padding"):
        channel.unwrap(Response(body + mac, 0x9000))


def test_an_impostor_without_the_keys():
    impostor = Card(derive_keys(Secret(b"x" * 16), "other"))
    with pytest.raises(AdminKeyIncorrect, match="token T"):
        opened(impostor)


@pytest.mark.parametrize(
    ("first", "final"),
    [
        (Response(b"", 0x6A88), None),
        (Response(bytes(28), 0x9000), None),
        (Response(bytes(29), 0x9000), None),
        (None, Response(b"", 0x6300)),
        (None, Response(b"", 0x6982)),
    ],
)
def test_a_handshake_that_goes_wrong(first, final):
    card = Card()

    def transmit(command):
        if command.ins == globalplatform.INS_INITIALIZE_UPDATE:
            return first or card.transmit(command)
        return final

    with pytest.raises(RemoteProtocolError, match="token T"):
        SecureChannel(transmit, KEYS, HOST, factory=True, who="token T")


@given(st.binary(min_size=16, max_size=64), st.text("ABC0123456789-", min_size=1, max_size=32))
def test_keys_are_hkdf_of_master_and_serial(master, serial):
    """RFC 5869 by hand: extract with no salt, expand to 48 bytes."""
    prk = hmac.digest(bytes(32), master, hashlib.sha256)
    info = b"hwtoken reference scp03 v1" + serial.encode()
    one = hmac.digest(prk, info + b"\x01", hashlib.sha256)
    two = hmac.digest(prk, one + info + b"\x02", hashlib.sha256)
    assert derive_keys(Secret(master), serial) == scp03.KeySet(one[:16], one[16:], two[:16])


def test_nothing_of_the_keys_is_shown():
    assert repr(opened(Card())) == "SecureChannel(token T)"
    assert "404142" not in repr(KEYS)


def test_a_reply_that_never_ends_is_given_up() -> None:
    class Endless:
        address = "test:"

        def exchange(self, command: bytes) -> bytes:
            return bytes(200) + b"\x61\x00"

    with pytest.raises(RemoteProtocolError, match="end of its answer"):
        ReferenceSession(Endless(), ManualClock(), bytes).info()


def test_a_list_is_asked_for_in_pieces_that_fit_a_frame() -> None:
    asked = []

    class Empty:
        address = "test:"

        def exchange(self, command: bytes) -> bytes:
            asked.append(decode_command(command))
            return b"\x90\x00"

    assert ReferenceSession(Empty(), ManualClock(), bytes).credentials() == []
    assert asked[-1].ins == Ins.LIST
    assert asked[-1].le == MAX_PAYLOAD - 2
