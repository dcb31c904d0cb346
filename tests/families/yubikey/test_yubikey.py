"""A YubiKey from both sides at once: its password, its names, and what came with which firmware."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.families.family import family
from firmware_sim.families.yubikey import serial_number
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LocalProtocolError,
    NotSupported,
    RemoteProtocolError,
    TokenError,
)
from provision.families import ykoath_names, yubikey_firmware
from provision.families.yubikey import DRIVER
from provision.families.yubikey_access import access_key_of, access_key_of_password
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import Algorithm, OtpParameters, Secret
from provision.wire import oath, tlv, yubikey
from provision.wire.apdu import Sw
from provision.wire.oath import Ins, OathKind, Tag
from tests.families.yubikey.card import MASTER, PASSWORD, Card, credential, kinds, yubikey_of


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
