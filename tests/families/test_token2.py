"""Token2's tokens with one profile from both sides at once: the driver, and the device behind an APDU channel."""

from __future__ import annotations

from operator import methodcaller

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.families.family import family, variants
from firmware_sim.seams import Battery
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LocalProtocolError,
    NotSupported,
    ProvisionError,
    TokenRefused,
)
from provision.families.driver import identify
from provision.families.token2 import DRIVER
from provision.model import Algorithm, Capability, ClockKind, NewCredential, OtpParameters, Secret
from provision.otp import code_at
from provision.wire import sm4_secure, token2
from provision.wire.apdu import Command, Sw
from tests.families.sm4_bench import START_S, ChannelBench, require_time_written_at_once

SEED = Secret(bytes(range(1, 21)))
KEY = token2.DEVICE_KEY
MODELS = [variant.model for variant in variants("token2")]
CONFIG = token2.Config(1_800_000_000, sm4_secure.HashKind.SHA1, 30)


class Bench(ChannelBench):
    def __init__(self, model: str = "OTPC-P2-i", serial: str | None = None) -> None:
        kind = family("token2", model=model)
        super().__init__(DRIVER, kind, serial or f"{kind.serial_prefix}0000001")

    def prove(self) -> int:
        challenge, _ = self.say(token2.challenge_command())
        return self.sw(token2.authenticate_command(challenge))

    def screen(self) -> str:
        self.token.press_button()
        return self.token.screen()


@pytest.fixture(params=["OTPC-P2-i", "C302-i"])
def bench(request) -> Bench:
    return Bench(request.param)


@pytest.fixture
def admin(bench):
    session = bench.session()
    session.authenticate(None)
    return session


def credential(secret=SEED, parameters=None, **flags):
    return NewCredential("any name", secret, parameters or OtpParameters(), **{"pin": False, **flags})


@pytest.mark.parametrize("model", MODELS)
def test_a_model_is_known_by_its_serial(model):
    bench = Bench(model)
    driver, info = identify(bench.link())
    assert (driver.name, info.model, info.recognised) == ("token2", model, True)
    assert info.clock_kind is (ClockKind.FREE if model == "C302-i" else ClockKind.WITH_SEED)
    assert info.factory_keys is True


def test_of_an_unknown_model_the_worse_is_assumed():
    _, info = identify(Bench(serial="8659699000001").link())
    assert (info.recognised, info.clock_kind) == (False, ClockKind.WITH_SEED)


@pytest.mark.parametrize("algorithm", [Algorithm.SHA1, Algorithm.SHA256])
@pytest.mark.parametrize("step_s", [30, 60])
@pytest.mark.parametrize("size", [1, 20, 32, 63])
def test_the_screen_shows_pyotps_codes(bench, admin, algorithm, step_s, size):
    parameters = OtpParameters(algorithm=algorithm, time_step_s=step_s)
    seed = Secret(bytes(range(1, size + 1)))
    bench.oscillator.offset_us = -3_600_000_000
    admin.put(credential(seed, parameters))
    assert bench.clock.now() == int(bench.clock.now())  # on an edge
    assert bench.screen() == code_at(seed, parameters, parameters.step_at(bench.clock.now()), allow_short_seed=True)
    bench.clock.wait_until(bench.clock.now() + 31)
    assert bench.token.screen() == ""


def test_setting_the_clock_costs_the_seed_or_not(bench, admin):
    parameters = OtpParameters(algorithm=Algorithm.SHA256, time_step_s=60)
    admin.put(credential(parameters=parameters))
    admin.write_clock(1_800_000_000)
    assert bench.token.inspect()["device_time_us"] == 1_800_000_000_000_000
    free = admin.info().clock_kind is ClockKind.FREE
    assert bench.screen() == (code_at(SEED, parameters, 30_000_000) if free else "no seed")


def test_a_clock_that_leaves_the_seed_alone_wants_to_be_told_what_it_is():
    bench = Bench("C302-i")
    session = bench.session()
    session.authenticate(None)
    parameters = OtpParameters(algorithm=Algorithm.SHA256, time_step_s=60)
    session.put(credential(parameters=parameters))
    again = bench.session()
    again.authenticate(None)
    with pytest.raises(LocalProtocolError):
        again.write_clock(1_800_000_000)
    again.assume(parameters)
    again.write_clock(1_800_000_000)
    assert bench.screen() == code_at(SEED, parameters, 30_000_000)


def test_deleting_erases_the_seed(bench, admin):
    admin.put(credential())
    before = bench.screen()
    admin.delete("whatever it is called")
    assert bench.screen() != before
    seeds = [bench.flash.read(page * 4096, 4096) for page in range(4)]
    assert not any(SEED.reveal() in page for page in seeds)


def test_the_clock_is_read_in_whole_seconds(bench):
    bench.oscillator.offset_us = -41_300_000
    reading = bench.session().read_clock()
    assert (reading.device_s, reading.resolution_s) == (int(START_S - 41.3), 1.0)


@pytest.mark.parametrize("device_s", [-1, 1 << 32])
def test_the_clock_has_32_bits(bench, admin, device_s):
    admin.put(credential())
    bench.oscillator.offset_us = (device_s - int(bench.clock.now())) * 1_000_000
    seconds = device_s % (1 << 32)
    assert admin.read_clock().device_s == seconds
    assert bench.screen() == code_at(SEED, OtpParameters(), seconds // 30)


def test_a_dead_battery_is_named(bench, admin):
    bench.oscillator.battery = Battery.STOPPED
    assert admin.read_clock().device_s == 0
    with pytest.raises(TokenRefused, match="stands still"):
        admin.put(credential())
    assert bench.screen() in ("no seed", "no time")


@pytest.mark.parametrize(
    ("new", "wrong"),
    [
        (credential(Secret(bytes(20))), InputError),
        (credential(Secret(b"x" * 64)), InputError),
        (credential(pin=True), NotSupported),
        (credential(touch=True), NotSupported),
        (credential(parameters=OtpParameters(algorithm=Algorithm.SHA512)), NotSupported),
        (credential(parameters=OtpParameters(digits=8)), NotSupported),
        (credential(parameters=OtpParameters(time_step_s=45)), NotSupported),
    ],
)
def test_what_it_cannot_hold_is_refused_before_anything_is_sent(bench, admin, new, wrong):
    for attempt in (bench.session().require_storable, admin.put):
        with pytest.raises(wrong):
            attempt(new)
    assert bench.screen() == "no seed"


@pytest.mark.parametrize(
    ("act", "capability"),
    [
        (lambda session: session.calculate("a"), Capability.CODE_READ),
        (lambda session: session.credentials(), Capability.LIST),
        (lambda session: session.rename("a", "b"), Capability.LIST),
        (lambda session: session.authenticate(SEED), Capability.ADMIN_KEY),
        (lambda session: session.authenticate_own(SEED), Capability.OWN_KEY),
        (lambda session: session.change_admin_key(SEED), Capability.ADMIN_KEY),
        (lambda session: session.lock_screen(True), Capability.SCREEN_LOCK),
        (lambda session: session.factory_reset(), Capability.FACTORY_RESET),
        (lambda session: session.set_pin(SEED), Capability.PIN),
        (lambda session: session.check_value("a", SEED), Capability.CHECK_VALUE),
        (lambda session: session.set_label("a"), Capability.RENAME_TOKEN),
    ],
)
def test_what_it_lacks_is_refused_by_name(act, capability):
    session = Bench().session()
    with pytest.raises(NotSupported, match="a Token2 token") as caught:
        act(session)
    assert caught.value.capability == capability.value
    assert capability not in session.info().capabilities


def test_commands_before_the_handshake_are_our_own_mistake(bench):
    session = bench.session()
    for act in (lambda: session.put(credential()), session.reset, lambda: session.write_clock(1_700_000_000)):
        with pytest.raises(LocalProtocolError):
            act()


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (Command(0x00, 0x41, 0, 0), Sw.CLA_NOT_SUPPORTED),
        (Command(0x80, 0x99, 0, 0), Sw.INS_NOT_SUPPORTED),
        (Command(0x80, 0x4B, 0, 0), Sw.INS_NOT_SUPPORTED),
        (Command(0x80, 0xCE, 0, 0, bytes(16)), Sw.WRONG_DATA),
        (Command(0x84, 0xC5, 1, 0, bytes(3)), Sw.WRONG_LENGTH),
        (Command(0x84, 0xC5, 1, 0, bytes(20)), token2.REFUSED),
        (sm4_secure.secured(KEY, 0xD7, 0, 0, b""), Sw.INS_NOT_SUPPORTED),
        (token2.seed_command(b"seed"), token2.REFUSED),
        (token2.config_command(CONFIG), token2.REFUSED),
    ],
)
def test_words_without_a_handshake(bench, command, word):
    assert bench.sw(command) == word


@pytest.mark.parametrize(
    ("command", "word"),
    [
        (sm4_secure.secured(KEY, 0xC5, 1, 0, bytes(15)), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xC5, 1, 0, sm4_secure.encrypt(KEY, bytes(16))), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xC5, 1, 0, sm4_secure.encrypt(KEY, b"x" * 16)), Sw.WRONG_DATA),
        (sm4_secure.secured(KEY, 0xD4, 0, 0, b"\x81\x00"), Sw.WRONG_DATA),
        (token2.config_command(CONFIG), Sw.OK),
    ],
)
def test_words_after_it(bench, command, word):
    assert bench.prove() == Sw.OK
    assert bench.sw(command) == word


def test_another_challenge_ends_the_session(bench):
    assert bench.prove() == Sw.OK
    bench.sw(token2.challenge_command())
    assert bench.sw(token2.config_command(CONFIG)) == token2.REFUSED


def test_a_wrong_response_wants_a_new_challenge(bench):
    bench.say(token2.challenge_command())
    assert bench.sw(Command(0x80, 0xCE, 0, 0, bytes(16))) == token2.REFUSED
    assert bench.sw(Command(0x80, 0xCE, 0, 0, bytes(16))) == Sw.WRONG_DATA
    assert bench.prove() == Sw.OK


@pytest.mark.parametrize("word", [word for word in Sw if word != Sw.OK])
def test_every_word_becomes_an_error_of_ours(word, monkeypatch):
    bench = Bench()
    session = bench.session()
    session.authenticate(None)
    refusal = int(word).to_bytes(2, "big")
    sent = []
    monkeypatch.setattr(session._link, "exchange", lambda command: sent.append(command) or refusal)
    for act in (session.info, session.read_clock, session.reset, lambda: session.put(credential())):
        with pytest.raises(ProvisionError):
            act()
    assert len(sent) == 4  # nothing is tried a second time
    with pytest.raises(ProvisionError):
        session.authenticate(None)


def test_a_token_that_refuses_the_key_is_not_asked_again(monkeypatch):
    bench = Bench()
    link = bench.link()
    exchange, sent = link.exchange, []

    def refusing(command):
        sent.append(command[1])
        return b"\x69\x83" if command[1] == sm4_secure.Ins.AUTHENTICATE else exchange(command)

    monkeypatch.setattr(link, "exchange", refusing)
    with pytest.raises(AdminKeyIncorrect, match="locked") as caught:
        bench.session(link).authenticate(None)
    assert caught.value.attempts_remaining is None
    assert sent.count(sm4_secure.Ins.AUTHENTICATE) == 1


@given(st.lists(st.binary(max_size=48), max_size=6))
@settings(max_examples=100, deadline=None)
def test_no_bytes_do_more_than_a_refusal(commands):
    bench = Bench()
    bench.require_only_refusals(commands)
    assert bench.prove() == Sw.OK


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_an_answer_altered_anywhere_is_an_error_of_ours(data):
    Bench().require_sense_of_altered_answers(
        data.draw, methodcaller("info"), methodcaller("read_clock"), methodcaller("authenticate", None)
    )


def test_the_time_is_written_at_once(admin, monkeypatch):
    admin.put(credential())
    require_time_written_at_once(admin, monkeypatch, sm4_secure.Ins.CONFIG)
