"""Status words: each of the table in docs/families/yubikey.md, provoked, and told as an error of ours."""

from __future__ import annotations

import pytest

from provision.errors import AdminKeyIncorrect, NoSuchCredential, StorageFull, TokenRefused
from provision.families.yubikey import DRIVER
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import OathType, OtpParameters
from provision.wire import oath
from provision.wire.apdu import Sw, decode_response
from provision.wire.oath import HashKind, Ins, OathKind
from tests.families.yubikey.card import CHALLENGE, MASTER, Card, credential

NAME = oath.Name("nobody").encode()


@pytest.mark.parametrize(
    ("word", "provoke"),
    [
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().send(Ins.LIST)),
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().put()),
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().send(Ins.DELETE, NAME)),
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().send(Ins.RENAME, NAME * 2)),
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().send(Ins.CALCULATE, NAME)),
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().send(Ins.CALCULATE_ALL)),
        (Sw.SECURITY_STATUS_NOT_SATISFIED, lambda card: card.locked().set_code(None)),
        (
            Sw.SECURITY_STATUS_NOT_SATISFIED,
            lambda card: card.put(touch=True) and card.send(Ins.CALCULATE, oath.Calculate("a", 1).encode(), p2=1),
        ),
        (Sw.NO_SUCH_OBJECT, lambda card: card.send(Ins.DELETE, NAME)),
        (Sw.NO_SUCH_OBJECT, lambda card: card.send(Ins.RENAME, oath.Rename("nobody", "b").encode())),
        (Sw.NO_SUCH_OBJECT, lambda card: card.send(Ins.CALCULATE, NAME)),
        (Sw.NO_SUCH_OBJECT, lambda card: card.set_code(wrong=True)),
        (Sw.NO_SUCH_OBJECT, lambda card: card.validate()),
        (Sw.WRONG_DATA, lambda card: card.locked().validate(b"another key")),
        # No SELECT has given a challenge since there is a key: nothing is an answer to none.
        (Sw.WRONG_DATA, lambda card: card.set_code() and card.validate(challenge=CHALLENGE)),
        (Sw.WRONG_DATA, lambda card: card.send(Ins.PUT, b"\x71")),
        (Sw.WRONG_DATA, lambda card: card.put() and card.send(Ins.CALCULATE, oath.Name("a").encode())),
        (Sw.WRONG_DATA, lambda card: Card("4.2.7").put(hash=HashKind.SHA512)),
        (Sw.NO_SPACE, lambda card: card.fill() or card.put("one more")),
        (Sw.FILE_NOT_FOUND, lambda card: card.select(bytes.fromhex("A000000308"))),
        (Sw.WRONG_P1_P2, lambda card: card.send(Ins.LIST, p2=1)),
        (Sw.WRONG_P1_P2, lambda card: card.send(Ins.RESET)),
        (Sw.INS_NOT_SUPPORTED, lambda card: card.send(0x77)),
        (Sw.INS_NOT_SUPPORTED, lambda card: Card("5.2.7").send(Ins.RENAME, oath.Rename("a", "b").encode())),
        (Sw.INS_NOT_SUPPORTED, lambda card: card.send(Ins.SET_PIN)),
        (Sw.CLA_NOT_SUPPORTED, lambda card: card.send(Ins.LIST, cla=0xC0)),
        (Sw.CLA_NOT_SUPPORTED, lambda card: Card("5.4.3").send(0x50, bytes(8), cla=0x80)),
        (Sw.REFERENCE_NOT_FOUND, lambda card: card.send(0x50, bytes(8), p1=1, cla=0x80)),
        (Sw.WRONG_LENGTH, lambda card: card.send(Ins.LIST, b"data")),
        (Sw.CONDITIONS_NOT_SATISFIED, lambda card: card.send(Ins.SEND_REMAINING)),
        (
            Sw.CONDITIONS_NOT_SATISFIED,
            lambda card: (
                card.put(kind=OathKind.HOTP, counter=0xFFFFFFFF)
                and card.send(Ins.CALCULATE, oath.Calculate("a").encode(), p2=1)
            ),
        ),
        (
            Sw.CONDITIONS_NOT_SATISFIED,
            lambda card: card.put("b") and card.put() and card.send(Ins.RENAME, oath.Rename("a", "b").encode()),
        ),
    ],
)
def test_words(card, word, provoke):
    assert provoke(card).sw == word


def test_more_is_fetched_by_send_remaining(card):
    card.fill()
    first = card.send(Ins.LIST)
    assert (len(first.data), first.sw) == (256, 0x6136)  # of 64 entries with 4 or 5 bytes, 54 bytes are left
    rest = card.send(Ins.SEND_REMAINING)
    assert rest.sw == Sw.OK
    assert len(oath.Listing.decode(first.data + rest.data).entries) == 64


def test_an_extended_lc(card):
    data = oath.Put("a", OathKind.TOTP, HashKind.SHA1, 6, bytes(20)).encode()
    raw = bytes((0, Ins.PUT, 0, 0, 0)) + len(data).to_bytes(2, "big") + data
    assert decode_response(card.target.channel.transmit(raw)).sw == Sw.OK


EXPECTED = {
    Sw.NO_SUCH_OBJECT: NoSuchCredential,
    Sw.NO_SPACE: StorageFull,
    Sw.SECURITY_STATUS_NOT_SATISFIED: AdminKeyIncorrect,
}


@pytest.mark.parametrize(
    "word", [0x6581, 0x6700, 0x6982, 0x6984, 0x6985, 0x6A80, 0x6A84, 0x6B00, 0x6D00, 0x6E00, 0x6F00, 0x6FFF]
)
def test_every_word_becomes_an_error_of_ours(target, word):
    session = target.session()
    session.authenticate(None)
    session.change_admin_key(MASTER)
    session = target.session()
    session._select_oath()
    exchange = target.channel.transmit

    class Refusing:
        deadline = None

        def transmit(self, apdu):
            return exchange(apdu) if apdu[1] == 0xA4 else word.to_bytes(2, "big")

        def reset(self):
            pass

    link = open_channel(Refusing(), LinkOptions(target.clock, target.random.randbytes))
    session = DRIVER.open(link, target.clock, target.random.randbytes)
    with pytest.raises(EXPECTED.get(word, TokenRefused)) as caught:
        session.calculate("a", step=1)
    assert getattr(caught.value, "status_word", word) == word
    assert f"{word:04X}" in str(caught.value) or caught.value.hint


def test_words_with_a_meaning_of_their_own(target, admin):
    admin.put(credential("touch", touch=True))
    admin.put(credential("end", parameters=OtpParameters(OathType.HOTP, counter=0xFFFFFFFF)))
    with pytest.raises(TokenRefused, match="nobody touched it in time"):
        admin.calculate("touch", step=1)
    with pytest.raises(TokenRefused, match="counter is at its end"):
        admin.calculate("end")
