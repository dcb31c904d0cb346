"""What only a YubiKey owes: its password, the step in a name, each status word of its table, each firmware's ways."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_sim.families.family import family
from firmware_sim.families.yubikey import serial_number
from firmware_sim.flash import Moment, PowerCut, seeded_subset
from firmware_sim.seams import PowerLost
from provision.clock import ManualClock
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LocalProtocolError,
    NoSuchCredential,
    NotSupported,
    ProvisionError,
    RemoteProtocolError,
    StorageFull,
    TokenError,
    TokenRefused,
)
from provision.families import ykoath_names, yubikey_firmware
from provision.families.driver import identify
from provision.families.yubikey import DRIVER
from provision.families.yubikey_access import access_key_of, access_key_of_password
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import Algorithm, ClockKind, NewCredential, OathType, OtpParameters, Secret
from provision.wire import oath, oath_password, tlv, yubikey
from provision.wire.apdu import CLA_PLAIN, Command, Response, Sw, decode_response, encode_command
from provision.wire.oath import HashKind, Ins, OathKind, Tag
from tests.families.targets import START, InProcess, Kind

SEED = Secret(bytes(range(1, 21)))
MASTER = Secret(b"m" * 32)
PASSWORD = Secret("Grüße".encode())
ACCESS_KEY = bytes(range(16))
CHALLENGE = b"12345678"


def yubikey_of(firmware: str = "5.7.4") -> InProcess:
    kind = Kind("yubikey", "yubikey", "20260101", frozenset(), ClockKind.NONE, 64, 64, firmware=firmware)
    return InProcess(kind, ManualClock(START))


class Card:
    """The token's only channel, as a reader has it."""

    def __init__(self, firmware: str = "5.7.4") -> None:
        self.target = yubikey_of(firmware)
        self.select()

    def send(self, ins: int, data: bytes = b"", p1: int = 0, p2: int = 0, cla: int = CLA_PLAIN) -> Response:
        raw = self.target.channel.transmit(encode_command(Command(cla, ins, p1, p2, data, 256)))
        if raw is None:  # it waits for a touch that does not come
            self.target.clock.wait_until(self.target.channel.deadline)
            raw = self.target.channel.poll()
        return decode_response(raw)

    def select(self, aid: bytes = oath.OATH_AID) -> Response:
        return self.send(0xA4, aid, p1=4)

    def put(self, name: str = "a", kind: OathKind = OathKind.TOTP, **more) -> Response:
        digest = more.pop("hash", HashKind.SHA1)
        return self.send(Ins.PUT, oath.Put(name, kind, digest, 6, bytes(20), **more).encode())

    def set_code(self, key: bytes | None = ACCESS_KEY, *, wrong: bool = False) -> Response:
        if key is None:
            return self.send(Ins.SET_CODE, oath_password.SetCode(None).encode())
        response = answer(b"another key" if wrong else key, CHALLENGE)
        return self.send(Ins.SET_CODE, oath_password.SetCode(key, CHALLENGE, response).encode())

    def validate(self, key: bytes = ACCESS_KEY, challenge: bytes | None = None) -> Response:
        if challenge is None:
            challenge = oath.SelectReply.decode(self.select().data).challenge or CHALLENGE
        return self.send(Ins.VALIDATE, oath_password.Validate(answer(key, challenge), CHALLENGE).encode())

    def fill(self) -> None:
        for number in range(self.target.kind.simulated.limits.credentials):
            assert self.put(str(number)).sw == Sw.OK

    def locked(self) -> Card:
        assert self.set_code().sw == Sw.OK
        self.select()
        return self


def answer(key: bytes, challenge: bytes) -> bytes:
    return hmac.digest(key, challenge, "sha1")


def credential(name="vpn", *, parameters=None, **flags):
    return NewCredential(name, SEED, parameters or OtpParameters(), **{"own_clock": False, "pin": False, **flags})


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
def target() -> InProcess:
    return yubikey_of()


@pytest.fixture
def admin(target):
    session = target.session()
    session.authenticate(None)
    return session


# Status words: each of the table in docs/families/yubikey.md, provoked

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


# The password


def test_it_tells_nothing_while_it_is_locked(target, admin):
    admin.put(credential())
    admin.change_admin_key(MASTER)
    admin.authenticate(MASTER)
    assert admin.calculate("vpn", step=1)
    stranger = target.session()
    info = stranger.info()
    assert (info.factory_keys, info.credentials_used, info.serial) == (False, None, "20260101")
    for call in (stranger.credentials, lambda: stranger.calculate("vpn", step=1)):
        with pytest.raises(AdminKeyIncorrect, match="wants its password first"):
            call()
    with pytest.raises(AdminKeyIncorrect, match="has a password"):
        stranger.authenticate(None)
    stranger.authenticate(MASTER)
    assert stranger.info().credentials_used == 1
    assert [one.name for one in stranger.credentials()] == ["vpn"]  # proved again by itself after info()


def test_nothing_counts_wrong_passwords(target, admin):
    admin.change_admin_key(MASTER)
    session = target.session()
    for n in range(40):
        with pytest.raises(AdminKeyIncorrect, match="not the one"):
            session.authenticate_own(Secret(str(n).encode()))
    session.authenticate(MASTER)


def test_a_persons_own_password(target):
    card = Card()
    device_id = oath.SelectReply.decode(card.select().data).device_id
    assert card.set_code(access_key_of_password(PASSWORD, device_id)).sw == Sw.OK
    session = card.target.session()
    with pytest.raises(AdminKeyIncorrect, match="type the password again"):
        session.authenticate_own(Secret(b"wrong"))
    with pytest.raises(AdminKeyIncorrect):
        session.authenticate(MASTER)
    with pytest.raises(LocalProtocolError):
        session.reset()
    session.authenticate_own(PASSWORD)
    session.put(credential())
    session.change_admin_key(MASTER)
    again = card.target.session()
    again.authenticate(MASTER)
    again.delete("vpn")


def test_a_key_belongs_to_one_token():
    assert access_key_of(MASTER, "1") != access_key_of(MASTER, "2")
    assert access_key_of_password(PASSWORD, b"device 1") != access_key_of_password(PASSWORD, b"device 2")
    # openssl kdf -keylen 16 -kdfopt digest:SHA1 -kdfopt pass:password -kdfopt salt:saltsalt -kdfopt iter:1000 PBKDF2
    assert access_key_of_password(Secret(b"password"), b"saltsalt").hex() == "e9febff54bfce668fde301acc85563cc"


def test_an_impostor_that_accepts_any_key(target, admin):
    """A device that says 9000 to VALIDATE does not know the key: it is not the token."""
    admin.change_admin_key(MASTER)
    transmit = target.channel.transmit

    class Impostor:
        deadline = None

        def transmit(self, apdu):
            if apdu[1] == Ins.VALIDATE:
                return tlv.encode(Tag.FULL_CODE, bytes(20)) + b"\x90\x00"
            return transmit(apdu)

        def reset(self):
            pass

    link = open_channel(Impostor(), LinkOptions(target.clock, target.random.randbytes))
    session = DRIVER.open(link, target.clock, target.random.randbytes)
    with pytest.raises(RemoteProtocolError, match="does not know itself"):
        session.authenticate(MASTER)


def test_a_challenge_is_another_at_each_select_and_none_without_a_key(card):
    assert oath.SelectReply.decode(card.select().data).challenge is None
    card.locked()
    challenges = {oath.SelectReply.decode(card.select().data).challenge for _ in range(8)}
    assert len(challenges) == 8
    old = next(iter(challenges - {oath.SelectReply.decode(card.select().data).challenge}))
    assert card.validate(challenge=old).sw == Sw.WRONG_DATA


def test_reset_keeps_the_key_and_factory_reset_the_serial(target, admin):
    admin.put(credential("a"))
    admin.put(credential("b"))
    admin.change_admin_key(MASTER)
    admin.reset()
    assert not admin.info().factory_keys
    before = admin._select_oath().device_id
    admin.factory_reset()
    info = admin.info()
    assert (info.factory_keys, info.serial, info.credentials_used) == (True, "20260101", 0)
    assert admin._select_oath().device_id != before


# Names and steps

names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
kinds = st.sampled_from(OathKind)


@given(names, kinds, st.integers(1, 3600))
def test_a_name_comes_back_from_the_token(name, kind, step_s):
    try:
        on_token = ykoath_names.stored(name, kind, step_s)
    except InputError:
        assert kind is OathKind.TOTP
        assert ykoath_names.told(name, kind) != (name, 30)
        return
    assert ykoath_names.told(on_token, kind) == (name, step_s if kind is OathKind.TOTP else 30)


@given(st.dictionaries(st.sampled_from(["a", "b", "60/a", "15/a", "60/b", "0/a", "60/60/a", "9999/a"]), kinds))
def test_no_two_credentials_are_called_the_same(on_token):
    called = ykoath_names.called(on_token)
    assert called.keys() == on_token.keys()
    assert len({name for name, _ in called.values()}) == len(called)
    for name, (shown, _) in called.items():
        assert name.endswith(shown)


def test_names_that_others_have_written(target):
    card = Card()
    for name in ("vpn", "60/vpn", "15/mail", "0/odd"):
        card.put(name)
    card.put("60/counter", OathKind.HOTP)
    session = card.target.session()
    session.authenticate(None)
    listed = {one.name: one.parameters.time_step_s for one in session.credentials()}
    assert listed == {"vpn": 30, "60/vpn": 60, "mail": 15, "0/odd": 30, "60/counter": 30}
    for name in listed:
        assert session.calculate(name, step=None if name == "60/counter" else 1)
    session.rename("mail", "post")
    session.delete("60/vpn")
    assert {one.name for one in session.credentials()} == {"vpn", "post", "0/odd", "60/counter"}
    with pytest.raises(InputError, match="begins like a time step"):
        session.put(credential("15/x"))


# Firmware


def test_what_came_with_which_firmware():
    old = yubikey_of("4.2.7").session()
    old.authenticate(None)
    old.put(credential("a", touch=True))
    for call, capability in (
        (lambda: old.rename("a", "b"), "rename-credential"),
        (lambda: old.put(credential(parameters=OtpParameters(algorithm=Algorithm.SHA512))), "sha512"),
    ):
        with pytest.raises(NotSupported, match=r"has firmware 4\.2\.7") as caught:
            call()
        assert caught.value.capability == capability
    info = old.info()
    assert (info.model, info.firmware, info.credentials_max) == ("YubiKey 4", "4.2.7", 32)


@pytest.mark.parametrize(
    ("version", "config", "model", "known"),
    [
        ((5, 7, 4), {"form_factor": yubikey.FormFactor.C_KEYCHAIN, "nfc_supported": 0x20}, "YubiKey 5C NFC", True),
        ((5, 4, 3), {"form_factor": yubikey.FormFactor.A_KEYCHAIN, "nfc_supported": 0x20}, "YubiKey 5 NFC", True),
        ((5, 2, 7), {"form_factor": yubikey.FormFactor.A_NANO}, "YubiKey 5 Nano", True),
        ((5, 4, 3), {"form_factor": yubikey.FormFactor.C_LIGHTNING}, "YubiKey 5Ci", True),
        ((5, 6, 1), {"form_factor": yubikey.FormFactor.C_BIO}, "YubiKey C Bio", True),
        ((4, 3, 7), {}, "YubiKey 4", True),
        ((5, 8, 0), {}, "YubiKey 5", False),
        ((6, 0, 0), {}, "YubiKey 6", False),
        ((3, 4, 9), {}, "YubiKey 3", False),
    ],
)
def test_models_and_which_are_recognised(version, config, model, known):
    assert yubikey_firmware.model_name(version, yubikey.Config(0x20, 1, **config)) == model
    assert yubikey_firmware.is_known(version) is known


def test_a_serial_that_is_hidden(target, monkeypatch):
    monkeypatch.setattr(yubikey.Config, "decode", classmethod(lambda cls, data: cls(0x20)))
    with pytest.raises(TokenError, match="does not tell its serial"):
        target.session().info()


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=32))
def test_every_serial_is_a_number(serial):
    number = serial_number(serial)
    assert 0 <= number < 1 << 32
    assert serial_number(str(number)) == number


@given(st.integers(0, 10**8 - 1))
def test_a_serial_that_the_simulator_chooses_is_the_one_that_the_token_tells(number):
    serial = f"{family('yubikey').serial_prefix}{number:08d}"
    assert str(serial_number(serial)) == serial


# Bad input, and the power


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans())
def test_no_bytes_do_more_than_a_refusal(apdus, locked):
    card = Card()
    if locked:
        card.locked()
    for apdu in apdus:
        reply = card.target.channel.transmit(apdu)
        assert reply is None or len(reply) >= 2
    card.target.restart()
    assert card.select().sw == Sw.OK


@given(st.data())
def test_an_answer_altered_anywhere_is_never_more_than_an_error_of_ours(data):
    target = yubikey_of()
    session = target.session()
    session.authenticate(None)
    session.put(credential())
    session.change_admin_key(MASTER)
    transmit = target.channel.transmit

    class Noisy:
        deadline = None

        def transmit(self, apdu):
            reply = bytearray(transmit(apdu))
            if data.draw(st.booleans()):
                reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
            return bytes(reply)

        def reset(self):
            pass

    link = open_channel(Noisy(), LinkOptions(target.clock, target.random.randbytes))
    try:
        driver, _ = identify(link)
        session = driver.open(link, target.clock, target.random.randbytes)
        session.authenticate(MASTER)
        session.credentials()
        session.calculate("vpn", step=1)
    except ProvisionError:
        pass


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("act", ["set", "clear", "reset"])
def test_the_password_survives_a_power_cut_whole(moment, act):
    """The old state or the new one at any operation of the flash, never a mixture."""
    for operation in range(40):
        card = Card()
        card.put("a")
        if act != "set":
            card.locked()
            card.validate()
        supply = card.target.flash.supply
        supply.arm(PowerCut(supply.operations + operation, moment, seeded_subset(operation)))
        try:
            if act == "reset":
                card.send(Ins.RESET, p1=0xDE, p2=0xAD)
            else:
                card.set_code(ACCESS_KEY if act == "set" else None)
        except PowerLost:
            supply.restore()
            card.target.restart()
        else:
            assert operation >= 2
            return
        locked = oath.SelectReply.decode(card.select().data).challenge is not None
        if locked:
            assert card.validate().sw == Sw.OK
        held = len(oath.Listing.decode(card.send(Ins.LIST).data).entries)
        assert (locked, held) in {
            "set": {(False, 1), (True, 1)},
            "clear": {(True, 1), (False, 1)},
            "reset": {(True, 1), (False, 0)},
        }[act]
    raise AssertionError("it never came to its end")


class Life(RuleBasedStateMachine):
    """A locked or open token against a model of three lines: what it holds, its key, and whether we proved it."""

    def __init__(self) -> None:
        super().__init__()
        self.card = Card()
        self.held: dict[str, OathKind] = {}
        self.key: bytes | None = None
        self.open = True

    def expect(self, answer: Response, word: int = Sw.OK) -> bool:
        """Whether it was carried out."""
        if self.key is not None and not self.open:
            word = Sw.SECURITY_STATUS_NOT_SATISFIED
        assert answer.sw == word
        return answer.sw == Sw.OK

    @rule(name=st.sampled_from("abc"), kind=kinds)
    def put(self, name: str, kind: OathKind) -> None:
        if self.expect(self.card.put(name, kind)):
            self.held[name] = kind

    @rule(name=st.sampled_from("abc"))
    def delete(self, name: str) -> None:
        word = Sw.OK if name in self.held else Sw.NO_SUCH_OBJECT
        if self.expect(self.card.send(Ins.DELETE, oath.Name(name).encode()), word):
            del self.held[name]

    @rule(key=st.sampled_from((None, bytes(16), ACCESS_KEY)))
    def set_code(self, key: bytes | None) -> None:
        if self.expect(self.card.set_code(key)):
            self.key, self.open = key, True

    @rule(key=st.sampled_from((bytes(16), ACCESS_KEY)))
    def validate(self, key: bytes) -> None:
        word = self.card.validate(key).sw  # selects first
        assert word == (Sw.NO_SUCH_OBJECT if self.key is None else Sw.OK if key == self.key else Sw.WRONG_DATA)
        self.open = key == self.key

    @rule()
    def select(self) -> None:
        self.card.select()
        self.open = False

    @rule()
    def reset(self) -> None:
        assert self.card.send(Ins.RESET, p1=0xDE, p2=0xAD).sw == Sw.OK
        self.held, self.key = {}, None

    @rule()
    def restart(self) -> None:
        self.card.target.restart()
        self.select()

    @invariant()
    def tells_what_it_holds_to_whom_it_may(self) -> None:
        answer = self.card.send(Ins.LIST)
        if self.expect(answer):
            entries = oath.Listing.decode(answer.data).entries
            assert {name: kind for kind, _, name in entries} == self.held


TestLife = Life.TestCase
