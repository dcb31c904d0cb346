"""Every status word provoked and told as an error of ours, and bytes that mean nothing."""

from __future__ import annotations

from operator import methodcaller

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import NotSupported, PinBlocked, ProvisionError, TokenRefused
from provision.model import Capability
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Command, Sw
from tests.families.molto2.bench import KEY, MASTER, SEED, Bench, credential


@pytest.mark.parametrize("quirks", [frozenset(), None])
def test_both_words_for_what_waits_for_the_button_are_taken(quirks):
    bench = Bench(quirks=quirks)
    session = bench.session()
    session.authenticate(None)
    session.put(credential())
    session.factory_reset()
    assert len(session.credentials()) == 1
    bench.token.press_button()
    assert session.credentials() == []


def test_deleting_without_a_key_is_a_quirk():
    for quirks, word in ((None, molto2.NO_SEED), (frozenset(), Sw.SECURITY_STATUS_NOT_SATISFIED)):
        assert Bench(quirks=quirks).sw(molto2.delete_command(0)) == word


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Command(0x00, 0x41, 0, 0), Sw.CLA_NOT_SUPPORTED),
        (Command(0x80, 0x99, 0, 0), Sw.INS_NOT_SUPPORTED),
        (Command(0x84, 0x99, 0, 0, bytes(8)), Sw.INS_NOT_SUPPORTED),
        (Command(0x80, 0x41, 0, 100, b"\x70"), Sw.INCORRECT_P1_P2),
        (Command(0x80, 0x41, 0, 0, b"\x70", 256), molto2.BAD_LE),
        (Command(0x80, 0x41, 0, 0, b"\x71"), Sw.WRONG_DATA),
        (Command(0x80, 0x4B, 0, 0), Sw.INCORRECT_P1_P2),
        (Command(0x80, 0xCE, 0, 0, bytes(15)), Sw.WRONG_LENGTH),
        (Command(0x80, 0xCE, 0, 0, bytes(16)), Sw.CONDITIONS_NOT_SATISFIED),
        (Command(0x80, 0xE6, 0, 5), molto2.NO_SEED),
        (Command(0x80, 0xD8, 0, 0), Sw.INCORRECT_P1_P2),
        (Command(0x80, 0xD8, 0x0C, 2, b"\x02"), Sw.WRONG_DATA),
        (Command(0x80, 0xD8, 0x0C, 2), Sw.SECURITY_STATUS_NOT_SATISFIED),
        (Command(0x84, 0xC5, 1, 0, bytes(20)), Sw.SECURITY_STATUS_NOT_SATISFIED),
    ],
)
def test_words_without_a_session(bench, command, word):
    assert bench.sw(command) == word


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Command(0x84, 0xC5, 1, 0, bytes(3)), Sw.WRONG_DATA),
        (Command(0x84, 0xC5, 1, 0, bytes(20)), Sw.INCORRECT_SM_DATA),
        (sm4_secure.secured(KEY, 0xC5, 1, 100, sm4_secure.encrypt(KEY, sm4_secure.pad(b"seed"))), Sw.INCORRECT_P1_P2),
        (sm4_secure.secured(KEY, 0xC5, 1, 0, bytes(15)), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xC5, 1, 0, sm4_secure.encrypt(KEY, b"x" * 16)), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xD4, 0, 0, molto2.TimeOnly(5).encode()), Sw.INCORRECT_P1_P2),
        (sm4_secure.secured(KEY, 0xD4, 1, 0, b"\x81\x00"), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xD5, 0, 0, sm4_secure.encrypt(KEY, sm4_secure.pad(b"x" * 13))), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xD7, 0, 0, sm4_secure.encrypt(KEY, bytes(32))), Sw.WRONG_DATA),
        (Command(0x80, 0xD8, 0x0C, 2), Sw.OK),
    ],
)
def test_words_in_a_session(bench, command, word):
    assert bench.prove() == Sw.OK
    assert bench.sw(command) == word


def test_a_wrong_mac_ends_the_session(bench):
    bench.prove()
    bench.sw(Command(0x84, 0xC5, 1, 0, bytes(20)))
    good = sm4_secure.secured(KEY, 0xD4, 1, 0, molto2.TimeOnly(5).encode())
    assert bench.sw(good) == Sw.SECURITY_STATUS_NOT_SATISFIED


def test_a_dead_battery_is_named(bench, admin):
    from firmware_sim.seams import Battery

    bench.oscillator.battery = Battery.STOPPED
    assert admin.read_clock().device_s == 0
    with pytest.raises(TokenRefused, match="stands still"):
        admin.write_clock(1_700_000_000)


@pytest.mark.parametrize(
    ("act", "capability"),
    [
        (lambda session: session.calculate("a"), Capability.CODE_READ),
        (lambda session: session.check_value("a", SEED), Capability.CHECK_VALUE),
        (lambda session: session.set_label("a"), Capability.RENAME_TOKEN),
        (lambda session: session.set_pin(SEED), Capability.PIN),
        (lambda session: session.change_pin(SEED, SEED), Capability.PIN),
        (lambda session: session.verify_pin(SEED), Capability.PIN),
        (lambda session: session.unblock(None), Capability.PIN),
    ],
)
def test_what_it_lacks_is_refused_by_name(session, act, capability):
    with pytest.raises(NotSupported, match="a Molto2") as caught:
        act(session)
    assert caught.value.capability == capability.value
    assert caught.value.hint
    assert capability not in session.info().capabilities


WORDS = [*Sw, molto2.NO_SEED, molto2.BAD_LE, 0x6FFF, 0x1234]


@pytest.mark.parametrize("word", [word for word in WORDS if word != Sw.OK])
def test_every_word_becomes_an_error_of_ours(bench, monkeypatch, word):
    session = bench.session()
    session.info()
    session.authenticate(None)
    refusal = int(word).to_bytes(2, "big")
    monkeypatch.setattr(session._link, "exchange", lambda command: refusal)
    for act in (
        session.info,
        session.credentials,
        session.read_clock,
        session.factory_reset,
        lambda: session.lock_screen(True),
        lambda: session.change_admin_key(MASTER),
        lambda: session.authenticate(None),
    ):
        session._key = KEY
        with pytest.raises(ProvisionError) as caught:
            act()
        assert not isinstance(caught.value, PinBlocked) or word == Sw.AUTHENTICATION_BLOCKED


# Bad input


@given(st.lists(st.binary(max_size=48), max_size=6))
@settings(max_examples=100, deadline=None)
def test_no_bytes_do_more_than_a_refusal(commands):
    bench = Bench()
    bench.require_only_refusals(commands)
    assert bench.prove() in (Sw.OK, *(Sw.PIN_INCORRECT | n for n in range(8)))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_an_answer_altered_anywhere_is_never_taken_for_nonsense(data):
    Bench().require_sense_of_altered_answers(
        data.draw, methodcaller("info"), methodcaller("credentials"), methodcaller("authenticate", None)
    )
