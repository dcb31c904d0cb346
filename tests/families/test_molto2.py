"""A Molto2 from both sides at once: the driver, and the device behind an APDU channel, each the other's oracle."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash, Moment, PowerCut
from firmware_sim.seams import PowerLost
from firmware_sim.testing.bench import SteadyOscillator
from provision.clock import ManualClock
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LocalProtocolError,
    NoSuchCredential,
    NotSupported,
    PinBlocked,
    ProvisionError,
    RemoteProtocolError,
    StorageFull,
    TokenRefused,
)
from provision.families.driver import identify
from provision.families.molto2 import DRIVER, tries_left
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import Algorithm, Capability, ClockKind, CredentialInfo, NewCredential, OtpParameters, Secret
from provision.otp import code_at
from provision.station.timing import measure
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Command, Sw, decode_response, encode_command

START_S = 1_767_225_600.25
SERIAL = "826658719844499"
SEED = Secret(bytes(range(1, 21)))
MASTER = Secret(b"m" * 32)
KEY = molto2.sm4_key(molto2.DEFAULT_CUSTOMER_KEY)


class Bench:
    def __init__(
        self, *, quirks: frozenset[str] | None = None, firmware: str | None = None, model: str | None = None
    ) -> None:
        kind = family("molto2", model=model, firmware=firmware)
        if quirks is not None:
            kind = dataclasses.replace(kind, quirks=quirks)
        self.clock = ManualClock(START_S)
        self.flash = MemoryFlash(kind.flash.page_size, kind.flash.page_count, wear_limit=1_000_000)
        self.oscillator = SteadyOscillator()
        self.random = random.Random(20260101)
        self.token = Token(
            family=kind,
            serial=SERIAL,
            flash=self.flash,
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.token.power_on()
        self.channel = self.token.open_channel()

    def link(self):
        return open_channel(self.channel, LinkOptions(self.clock, self.random.randbytes))

    def session(self):
        return DRIVER.open(self.link(), self.clock, self.random.randbytes)

    def say(self, command: Command) -> tuple[bytes, int]:
        raw = self.channel.transmit(encode_command(command))
        assert raw is not None
        return decode_response(raw)

    def sw(self, command: Command) -> int:
        return self.say(command)[1]

    def prove(self, customer_key: bytes = molto2.DEFAULT_CUSTOMER_KEY) -> int:
        challenge, _ = self.say(molto2.challenge_command())
        return self.sw(molto2.authenticate_command(molto2.sm4_key(customer_key), challenge))

    @property
    def tries(self) -> int:
        left = self.token.inspect()["attempts_remaining"]
        assert left is not None
        return left

    def code_of(self, title: str) -> str:
        """As its owner gets it: pressing until the screen says so."""
        for _ in range(molto2.PROFILES):
            self.token.press_button()
            shown, _, code = self.token.screen().rpartition(" ")
            if shown.partition(".")[2] == title:
                return code
        raise AssertionError(f"no code of {title}")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def session(bench):
    return bench.session()


@pytest.fixture
def admin(session):
    session.authenticate(None)
    return session


def credential(name="VPN", secret=SEED, parameters=None, **flags):
    return NewCredential(name, secret, parameters or OtpParameters(), **{"pin": False, **flags})


# Identity


def test_identified_by_its_profiles(bench):
    driver, info = identify(bench.link())
    assert (driver.name, info.model, info.serial) == ("molto2", "Molto2v2", SERIAL)
    assert (info.clock_kind, info.credentials_max, info.recognised) == (ClockKind.FREE, 100, True)
    assert info.factory_keys is None


def test_the_first_molto2_has_fifty_profiles_and_is_not_what_the_specification_is_about():
    bench = Bench(model="Molto2")
    driver, info = identify(bench.link())
    assert (driver.name, info.model, info.credentials_max, info.recognised) == ("molto2", "Molto2", 50, False)
    session = bench.session()
    session.info()
    assert session.credentials() == []
    assert bench.sw(molto2.public_data_command(50)) == Sw.INCORRECT_P1_P2


def test_nothing_is_spent_on_finding_out(bench):
    identify(bench.link())
    bench.session().info()
    bench.session().credentials()
    assert bench.tries == 8


# Credentials


@pytest.mark.parametrize("algorithm", [Algorithm.SHA1, Algorithm.SHA256])
@pytest.mark.parametrize("digits", [6, 8])
@pytest.mark.parametrize("step_s", [30, 60])
def test_the_screen_shows_pyotps_codes(bench, admin, algorithm, digits, step_s):
    parameters = OtpParameters(algorithm=algorithm, digits=digits, time_step_s=step_s)
    admin.put(credential(parameters=parameters))
    assert admin.credentials() == [CredentialInfo("VPN", parameters, own_clock=True, pin=False, touch=False)]
    assert bench.code_of("VPN") == code_at(SEED, parameters, parameters.step_at(bench.clock.now()))


@given(st.binary(min_size=1, max_size=63).filter(any))
@settings(max_examples=20, deadline=None)
def test_seeds_of_every_length(seed):
    bench = Bench()
    session = bench.session()
    session.authenticate(None)
    session.put(credential(secret=Secret(seed)))
    step = OtpParameters().step_at(bench.clock.now())
    assert bench.code_of("VPN") == code_at(Secret(seed), OtpParameters(), step, allow_short_seed=True)


def test_the_first_free_profile_is_taken(admin):
    for name in ("a", "b", "c"):
        admin.put(credential(name))
    admin.delete("b")
    admin.put(credential("d"))
    assert [one.name for one in admin.credentials()] == ["a", "d", "c"]


def test_a_hundred_and_no_more(admin):
    for number in range(100):
        admin.put(credential(f"n{number}"))
    with pytest.raises(StorageFull):
        admin.put(credential("one more"))
    admin.reset()
    assert admin.credentials() == []


def test_the_same_name_again_takes_the_same_profile(bench, admin):
    admin.put(credential("a"))
    admin.put(credential("a", secret=Secret(b"another seed of 20 b")))
    assert len(admin.credentials()) == 1
    expected = code_at(Secret(b"another seed of 20 b"), OtpParameters(), OtpParameters().step_at(bench.clock.now()))
    assert bench.code_of("a") == expected


def test_titles_that_tell_nothing_are_replaced_by_numbers(bench, admin):
    admin.put(credential("a"))
    admin.put(credential("b"))
    for title in (b"a", b"\xff\xfe", b"#0"):
        body = sm4_secure.encrypt(KEY, sm4_secure.pad(title))
        bench.sw(sm4_secure.secured(KEY, molto2.Ins.TITLE, 0, 1, body))
        assert [one.name for one in admin.credentials()] == ["#0" if title == b"a" else "a", "#1"]
    admin.rename("#1", "c")
    assert [one.name for one in admin.credentials()] == ["a", "c"]


@pytest.mark.parametrize("field", ["hash", "digits", "time_step_s"])
def test_what_no_molto2_has_is_not_believed(admin, monkeypatch, field):
    data = dataclasses.replace(molto2.PublicData(b"a", 5, 5, 1, 30, 6, True), **{field: 0})
    monkeypatch.setattr(admin._link, "exchange", lambda command: data.encode() + b"\x90\x00")
    with pytest.raises(RemoteProtocolError, match="no Molto2 has"):
        admin.credentials()


def test_a_deleted_credentials_title_is_gone_too(bench, admin):
    admin.put(credential("secret plan"))
    admin.delete("secret plan")
    data, _ = bench.say(molto2.public_data_command(0))
    assert b"secret plan" not in data
    with pytest.raises(NoSuchCredential):
        admin.delete("secret plan")


def test_renaming_onto_another_is_refused(admin):
    admin.put(credential("a"))
    admin.put(credential("b"))
    with pytest.raises(InputError, match="already"):
        admin.rename("a", "b")


@pytest.mark.parametrize(
    ("new", "wrong"),
    [
        (credential("thirteen char"), InputError),
        (credential("ääääääb"), InputError),
        (credential(""), InputError),
        (credential("#7"), InputError),
        (credential(secret=Secret(bytes(20))), InputError),
        (credential(secret=Secret(b"")), InputError),
        (credential(secret=Secret(b"x" * 64)), InputError),
        (credential(pin=True), NotSupported),
        (credential(touch=True), NotSupported),
        (credential(own_clock=False), NotSupported),
        (credential(parameters=OtpParameters(algorithm=Algorithm.SHA512)), NotSupported),
        (credential(parameters=OtpParameters(digits=7)), NotSupported),
        (credential(parameters=OtpParameters(time_step_s=45)), NotSupported),
        (credential(parameters=OtpParameters(t0_s=1)), NotSupported),
    ],
)
def test_what_it_cannot_hold_is_refused_before_anything_is_sent(bench, new, wrong):
    session = bench.session()
    with pytest.raises(wrong):
        session.require_storable(new)
    session.authenticate(None)
    with pytest.raises(wrong):
        session.put(new)
    assert session.credentials() == []


# The key


def test_the_organisations_key_is_taken_over_by_a_press(bench, admin):
    admin.change_admin_key(MASTER)
    assert "▲" in bench.token.screen()
    assert bench.prove() == Sw.OK  # not yet
    bench.token.press_button()
    session = bench.session()
    session.authenticate(MASTER)
    session.put(credential())
    with pytest.raises(AdminKeyIncorrect):
        session.authenticate(None)
    assert bench.tries == 7


@pytest.mark.parametrize("ends", ["another challenge", "a new key", "a new key by another host", "a factory reset"])
def test_what_ends_a_session(bench, ends):
    lock = molto2.screen_command(locked=True)
    assert (bench.prove(), bench.sw(lock)) == (Sw.OK, Sw.OK)
    first = bench.channel
    if ends == "another challenge":
        bench.say(molto2.challenge_command())
    elif ends == "a factory reset":
        bench.say(molto2.factory_reset_command())
    else:
        if ends == "a new key by another host":
            bench.channel = bench.token.open_channel()
            assert bench.prove() == Sw.OK
        bench.say(molto2.customer_key_command(KEY, bytes(16)))
    bench.token.press_button()
    bench.channel = first
    assert bench.sw(lock) == Sw.SECURITY_STATUS_NOT_SATISFIED


def test_what_is_overwritten_is_gone_from_the_silicon(bench):
    def in_silicon(secret: bytes) -> bool:
        return secret in b"".join(bench.flash.pages.values())

    key, seed = b"the customer key", b"the profile's seed"
    bench.prove()
    bench.say(sm4_secure.seed_command(KEY, 3, seed))
    bench.say(molto2.customer_key_command(KEY, key))
    bench.token.press_button()
    assert in_silicon(key) and in_silicon(seed)
    challenge, _ = bench.say(molto2.challenge_command())
    assert bench.sw(molto2.authenticate_command(key, challenge)) == Sw.OK
    bench.say(sm4_secure.seed_command(key, 3, b"another seed"))
    assert not in_silicon(seed)
    bench.say(molto2.customer_key_command(key, b"another key, 16b"))
    bench.token.press_button()
    assert not in_silicon(key)


def test_a_press_that_never_comes_changes_nothing(bench, admin):
    admin.change_admin_key(MASTER)
    bench.clock.wait_until(bench.clock.now() + 31)
    bench.token.press_button()
    assert bench.prove() == Sw.OK


def test_another_serial_has_another_key(bench):
    session = bench.session()
    session.info()
    first = session._derived(MASTER)
    session._serial = "826658719844498"
    assert session._derived(MASTER) != first


@pytest.mark.parametrize(
    "text", [b"TOKEN2MOLTO1-KEY", b"544F4B454E324D4F4C544F312D4B4559", b"544f4b454e324d4f4c544f312d4b4559"]
)
def test_its_own_key_as_the_vendors_tool_takes_it(session, text):
    session.authenticate_own(Secret(text))
    session.put(credential())


def test_commands_before_the_key_are_our_own_mistake(session):
    for act in (
        lambda: session.put(credential()),
        lambda: session.write_clock(1_700_000_000),
        lambda: session.lock_screen(True),
        lambda: session.change_admin_key(MASTER),
    ):
        with pytest.raises(LocalProtocolError):
            act()


@pytest.mark.parametrize(("word", "left"), [(0x63C7, 7), (0x63C0, 0), (0x6307, 7), (0x6300, 0)])
def test_tries_in_either_spelling(word, left):
    assert tries_left(word) == left


def test_the_counter_counts_down_and_locks(bench):
    for left in range(7, -1, -1):
        session = bench.session()
        with pytest.raises(AdminKeyIncorrect) as caught:
            session.authenticate(MASTER)
        assert caught.value.attempts_remaining == bench.tries == left
    with pytest.raises(AdminKeyIncorrect, match="locked") as caught:
        bench.session().authenticate(None)
    assert caught.value.attempts_remaining == 0
    assert bench.prove() == Sw.AUTHENTICATION_BLOCKED
    bench.session().factory_reset()
    bench.token.press_button()
    bench.session().authenticate(None)
    assert bench.tries == 8


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("right", [True, False])
def test_a_try_is_charged_before_it_is_compared(moment, right):
    """Power fails at each flash operation in turn: whoever got an answer has paid for it."""
    for operation in range(100):
        bench = Bench()
        for _ in range(3):
            bench.prove(b"wrong")
        bench.flash.supply.arm(PowerCut(bench.flash.supply.operations + operation, moment))
        answer = None
        try:
            answer = bench.prove(molto2.DEFAULT_CUSTOMER_KEY if right else b"wrong")
        except PowerLost:
            bench.token.power_off()
        survived = answer is not None and bench.flash.supply.on
        bench.flash.supply.restore()
        bench.token.power_off()
        bench.token.power_on()
        if answer is None:
            assert bench.tries in ({4, 5, 8} if right else {4, 5})
        else:
            assert bench.tries == (8 if right else 4)
        if survived:
            return
    raise AssertionError("a try takes more than a hundred flash operations")


def swept(act, *, before=lambda session: None):
    """The benches on which power failed in `act` at each flash operation in turn, at each moment, and came back."""
    for moment in Moment:
        for operation in range(1000):
            bench = Bench()
            session = bench.session()
            session.authenticate(None)
            before(session)
            bench.flash.supply.arm(PowerCut(bench.flash.supply.operations + operation, moment))
            finished = False
            try:
                act(bench, session)
                finished = bench.flash.supply.on
            except PowerLost:
                bench.token.power_off()
            bench.flash.supply.restore()
            bench.token.power_off()
            bench.token.power_on()
            yield bench
            if finished:
                break
        else:
            raise AssertionError("it takes more than a thousand flash operations")


def test_a_credential_is_listed_whole_or_not_at_all():
    """Replaced by one with other parameters: at no moment is it a mixture of both."""
    old, new = OtpParameters(), OtpParameters(algorithm=Algorithm.SHA256, digits=8, time_step_s=60)
    other = Secret(b"another seed of 20 b")
    seen = set()
    for bench in swept(
        lambda bench, session: session.put(credential(secret=other, parameters=new)),
        before=lambda session: session.put(credential(parameters=old)),
    ):
        for found in bench.session().credentials():
            secret = SEED if found.parameters == old else other
            seen.add(found.parameters)
            now = found.parameters.step_at(bench.clock.now())
            assert bench.code_of("VPN") == code_at(secret, found.parameters, now)
    assert seen == {old, new}


def test_a_key_is_the_old_or_the_new_one():
    def change(bench, session):
        session.change_admin_key(MASTER)
        bench.token.press_button()

    obeyed = set()
    for bench in swept(change):
        factory = bench.prove() == Sw.OK
        if not factory:
            bench.session().authenticate(MASTER)
        obeyed.add(factory)
        assert bench.tries == 8
    assert obeyed == {True, False}


def test_a_factory_reset_is_whole():
    def reset(bench, session):
        session.factory_reset()
        bench.token.press_button()

    def fill(session):
        session.put(credential("a"))
        session.put(credential("b"))
        session.lock_screen(True)

    left = {
        (len(view["credentials"]), bench.token._chip.screen_locked)
        for bench in swept(reset, before=fill)
        for view in [bench.token.inspect()]
    }
    assert left == {(2, True), (0, False)}


class Guesser(RuleBasedStateMachine):
    """Right keys, wrong keys, old challenges, power cuts between: the counter is what the rules say, always."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.left = 8

    @rule()
    def right(self) -> None:
        expected = Sw.OK if self.left else Sw.AUTHENTICATION_BLOCKED
        assert self.bench.prove() == expected
        self.left = 8 if self.left else 0

    @rule(key=st.binary(min_size=1, max_size=20).filter(lambda key: key != molto2.DEFAULT_CUSTOMER_KEY))
    def wrong(self, key: bytes) -> None:
        self.left = max(self.left - 1, -1)
        expected = Sw.AUTHENTICATION_BLOCKED if self.left < 0 else Sw.PIN_INCORRECT | self.left
        assert self.bench.prove(key) == expected
        self.left = max(self.left, 0)

    @rule()
    def replayed_response(self) -> None:
        command = molto2.authenticate_command(KEY, bytes(8))
        self.bench.channel.reset()
        assert self.bench.sw(command) == Sw.CONDITIONS_NOT_SATISFIED

    @rule(noise=st.binary(max_size=40))
    def noise(self, noise: bytes) -> None:
        if noise[1:2] not in (b"\xce", b"\x56"):
            self.bench.channel.transmit(noise)

    @rule()
    def power(self) -> None:
        self.bench.token.power_off()
        self.bench.token.power_on()

    @rule()
    def driver_with_a_wrong_key(self) -> None:
        """One call, one try: never a retry."""
        with pytest.raises(AdminKeyIncorrect):
            self.bench.session().authenticate(MASTER)
        self.left = max(self.left - 1, 0)

    @invariant()
    def counted(self) -> None:
        assert self.bench.tries == self.left


Guesser.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestGuesser = Guesser.TestCase


# The clock


def test_the_clock_is_read_in_whole_seconds_and_found_to_a_fraction(bench, session):
    bench.oscillator.offset_us = -41_300_000
    reading = session.read_clock()
    assert reading.resolution_s == 1.0
    assert reading.device_s == int(bench.clock.now() - 41.3)
    found = measure(session, bench.clock)
    assert found.lo_ms <= -41_300 <= found.hi_ms
    assert found.hi_ms - found.lo_ms < 50


def test_setting_the_clock_keeps_the_seeds(bench, admin):
    admin.put(credential("a"))
    admin.put(credential("b"))
    bench.oscillator.offset_us = 3_600_000_000
    admin.write_clock(1_800_000_000)
    assert bench.token.inspect()["device_time_us"] == 1_800_000_000_000_000
    assert bench.code_of("b") == code_at(SEED, OtpParameters(), 60_000_000)
    with pytest.raises(InputError):
        admin.write_clock(1 << 32)


# The screen


def test_a_locked_screen_shows_no_codes(bench, admin):
    admin.put(credential())
    admin.lock_screen(True)
    bench.token.press_button()
    assert bench.token.screen() == "locked"
    bench.token.power_off()
    bench.token.power_on()
    bench.token.press_button()
    assert bench.token.screen() == "locked"
    session = bench.session()
    session.authenticate(None)
    session.lock_screen(False)
    assert bench.code_of("VPN").isdigit()


def test_no_lock_before_firmware_2_1():
    session = Bench(firmware="2.0.0").session()
    session.authenticate(None)
    with pytest.raises(NotSupported, match="2\\.1"):
        session.lock_screen(True)


def test_no_title_can_command_the_screen(bench, admin):
    admin.put(credential())
    body = sm4_secure.encrypt(KEY, sm4_secure.pad(b"\n\x1b[2J\xff x"))
    assert bench.sw(sm4_secure.secured(KEY, molto2.Ins.TITLE, 0, 0, body)) == Sw.OK
    bench.token.press_button()
    assert bench.token.screen().rpartition(" ")[0] == "0.\ufffd\ufffd[2J\ufffd x"


@pytest.mark.parametrize("device_s", [-1, 1 << 32])
def test_the_clock_has_32_bits(bench, admin, device_s):
    admin.put(credential())
    bench.oscillator.offset_us = (device_s - int(bench.clock.now())) * 1_000_000
    seconds = device_s % (1 << 32)
    assert admin.read_clock().device_s == seconds
    assert bench.code_of("VPN") == code_at(SEED, OtpParameters(), seconds // 30)


def test_the_screen_goes_dark(bench, admin):
    admin.put(credential())
    bench.token.press_button()
    assert bench.token.screen().startswith("0.VPN ")
    bench.clock.wait_until(bench.clock.now() + 30)
    assert bench.token.screen() == ""


# Refusals


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
    for command in commands:
        response = bench.channel.transmit(command)
        assert response is not None and len(response) >= 2
    assert bench.prove() in (Sw.OK, *(Sw.PIN_INCORRECT | n for n in range(8)))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_an_answer_altered_anywhere_is_never_taken_for_nonsense(data):
    """The host side: whatever a device answers, an error of ours or a sound value."""
    bench = Bench()
    link = bench.link()
    exchange = link.exchange

    def altered(command):
        raw = bytearray(exchange(command))
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        return bytes(raw[: data.draw(st.integers(0, len(raw)))])

    link.exchange = altered
    session = DRIVER.open(link, bench.clock, bench.random.randbytes)
    for act in (session.info, session.credentials, lambda: session.authenticate(None)):
        try:
            act()
        except ProvisionError:
            continue


def test_the_time_is_written_at_once(bench, admin, monkeypatch):
    """Between the edge of the second and the command that sets the clock there is nothing else to do."""
    admin.put(credential())
    admin.read_clock()
    sent = []
    exchange = admin._link.exchange
    monkeypatch.setattr(admin._link, "exchange", lambda command: sent.append(command[1]) or exchange(command))
    admin.write_clock(1_800_000_000)
    assert sent == [sm4_secure.Ins.CONFIG]
