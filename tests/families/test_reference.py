"""What only a reference token owes its driver: its PIN, its applets, its own clock. The rest is test_conformance.py."""

from __future__ import annotations

import pytest

from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LocalProtocolError,
    NoSuchCredential,
    NotSupported,
    OutcomeUnknown,
    PinBlocked,
    PinIncorrect,
    PinRequired,
    TokenRefused,
)
from provision.families.reference import DRIVER
from provision.model import (
    Algorithm,
    NewCredential,
    OathType,
    OtpParameters,
    PinState,
    Secret,
)
from provision.otp import code_at
from tests.families.suite import on_every_link
from tests.families.targets import KINDS

pytestmark = on_every_link(KINDS[0])

PIN = Secret(b"314159")
NEW_PIN = Secret(b"27182818")
WRONG = Secret(b"000000")
SEED = Secret(bytes(range(20)))
MASTER = Secret(b"m" * 32)
FREE = OtpParameters()


def credential(name="vpn", *, secret=SEED, parameters=FREE, **flags):
    return NewCredential(name, secret, parameters, **{"pin": False, **flags})


@pytest.fixture
def session(target):
    return target.session()


@pytest.fixture
def admin(session):
    session.authenticate(None)
    return session


# Identity


def test_label(admin):
    admin.set_label("Büro 3")
    assert admin.info().label == "Büro 3"
    with pytest.raises(InputError, match="32 bytes"):
        admin.set_label("x" * 33)
    assert admin.info().label == "Büro 3"


def test_it_has_no_password_of_its_own(session):
    with pytest.raises(NotSupported) as caught:
        session.authenticate_own(MASTER)
    assert caught.value.capability == "own-key"


# Credentials and codes


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("size", [5, 14, 20, 64, 65, 129, 200])
def test_codes_are_pyotps_whatever_the_seeds_length(target, admin, algorithm, size):
    parameters = OtpParameters(algorithm=algorithm, digits=8, time_step_s=45, t0_s=17)
    seed = Secret(bytes(i * 7 % 251 for i in range(size)))
    new = credential(secret=seed, parameters=parameters)
    if algorithm is Algorithm.SHA512 and size == 65:
        with pytest.raises(NotSupported) as caught:
            admin.put(new)
        assert caught.value.capability == "long-seed"
        return
    admin.put(new)
    code = admin.calculate("vpn")
    assert code.device_s == pytest.approx(target.clock.now(), abs=1)
    assert code.value == code_at(seed, parameters, parameters.step_at(code.device_s), allow_short_seed=True)
    assert admin.check_value("vpn", seed) is True


def test_a_credential_whose_time_the_host_gives(admin):
    admin.put(credential(own_clock=False))
    code = admin.calculate("vpn", step=37037036)
    assert code.device_s is None
    assert code.value == code_at(SEED, FREE, 37037036)
    with pytest.raises(TokenRefused, match="takes its time from elsewhere"):
        admin.calculate("vpn")


def test_nobody_may_ask_an_own_clock_for_tomorrow(admin):
    admin.put(credential())
    with pytest.raises(TokenRefused):
        admin.calculate("vpn", step=10**8)


def test_hotp_has_no_pin_and_says_so(admin):
    with pytest.raises(NotSupported) as caught:
        admin.put(credential(parameters=OtpParameters(OathType.HOTP), pin=True))
    assert caught.value.capability == "hotp-pin"


def test_listing_gives_back_what_was_put(admin):
    parameters = OtpParameters(algorithm=Algorithm.SHA512, digits=7, time_step_s=3600, t0_s=123)
    new = credential("ä/β", parameters=parameters, pin=True, touch=True)
    admin.put(new)
    admin.put(credential("two", own_clock=False))
    one, two = admin.credentials()
    assert (one.name, one.parameters, one.own_clock, one.pin, one.touch) == ("ä/β", parameters, True, True, True)
    assert (two.own_clock, two.pin, two.touch) == (False, False, False)


def test_nobody_on_the_wire_can_say_that_a_credential_is_absent(target):
    """A status word has no MAC; taken for the truth, a forged one would have a stranger's credential overwritten."""

    class Forger:
        def __init__(self, link):
            self.link, self.address, self.forging = link, link.address, False

        def exchange(self, command):
            reply = self.link.exchange(command)
            return b"\x69\x84" if self.forging else reply

    forger = Forger(target.open())
    session = DRIVER.open(forger, target.clock, bytes)
    session.authenticate(None)
    session.put(credential())
    forger.forging = True
    with pytest.raises(NoSuchCredential):
        session.check_value("vpn", SEED)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"name": "bad\nname"},
        {"secret": Secret(b"")},
        {"parameters": OtpParameters(digits=9)},
        {"parameters": OtpParameters(digits=300)},
        {"parameters": OtpParameters(time_step_s=0)},
        {"parameters": OtpParameters(time_step_s=70000)},
        {"parameters": OtpParameters(t0_s=-1)},
        {"parameters": OtpParameters(OathType.HOTP, counter=1 << 32)},
    ],
)
def test_a_credential_that_makes_no_sense_never_reaches_the_token(admin, wrong):
    with pytest.raises(InputError):
        admin.put(credential(**wrong))
    assert admin.credentials() == []


# PIN


def test_a_pins_life(session):
    session.authenticate(None)
    session.put(credential(pin=True))
    session.set_pin(PIN)
    assert session.info().pin_state is PinState.LOCKED
    with pytest.raises(TokenRefused, match="a PIN is set already"):
        session.set_pin(NEW_PIN)
    with pytest.raises(PinRequired):
        session.calculate("vpn")
    session.verify_pin(PIN)
    assert len(session.calculate("vpn").value) == 6
    session.change_pin(PIN, NEW_PIN)
    session.verify_pin(NEW_PIN)
    with pytest.raises(PinIncorrect) as caught:
        session.verify_pin(PIN)
    assert caught.value.attempts_remaining == 7
    assert session.info().attempts_remaining == 7
    session.verify_pin(NEW_PIN)
    assert session.info().attempts_remaining == 8


def test_no_pin_set(session):
    for call in (lambda: session.verify_pin(PIN), lambda: session.change_pin(PIN, NEW_PIN)):
        with pytest.raises(TokenRefused, match="no PIN is set"):
            call()
    session.authenticate(None)
    with pytest.raises(TokenRefused, match="no PIN is set"):
        session.unblock(None)


@pytest.mark.parametrize("pin", [b"", b"12345", b"1" * 17, b"12345a", "１２３４５６".encode()])
def test_a_pin_of_wrong_form_costs_nothing(session, pin):
    session.set_pin(PIN)
    for call in (
        lambda: session.verify_pin(Secret(pin)),
        lambda: session.change_pin(PIN, Secret(pin)),
        lambda: session.unblock(Secret(pin)),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert not pin or pin.decode() not in str(caught.value)
    assert session.info().attempts_remaining == 8


def test_block_and_unblock(session):
    session.set_pin(PIN)
    for left in range(7, -1, -1):
        with pytest.raises(PinIncorrect) as caught:
            session.verify_pin(WRONG)
        assert caught.value.attempts_remaining == left
    for call in (lambda: session.verify_pin(PIN), lambda: session.change_pin(PIN, NEW_PIN)):
        with pytest.raises(PinBlocked, match="blocked"):
            call()
    assert session.info().pin_state is PinState.BLOCKED
    session.authenticate(None)
    session.unblock(None)
    session.verify_pin(PIN)
    session.unblock(NEW_PIN)
    session.verify_pin(NEW_PIN)


def test_a_management_command_costs_the_pin_and_only_the_pin(admin):
    admin.put(credential(pin=True))
    admin.set_pin(PIN)
    admin.verify_pin(PIN)
    admin.put(credential("other"))
    assert admin.calculate("vpn").value
    admin.read_clock()
    with pytest.raises(PinRequired):
        admin.calculate("vpn")
    admin.delete("other")


# The administrator


def test_an_administrators_command_needs_authenticate(session):
    for call in (
        lambda: session.put(credential()),
        lambda: session.delete("vpn"),
        lambda: session.rename("a", "b"),
        session.reset,
        lambda: session.write_clock(0),
        lambda: session.unblock(None),
        lambda: session.change_admin_key(MASTER),
        lambda: session.check_value("vpn", SEED),
        lambda: session.set_label("x"),
        session.factory_reset,
    ):
        with pytest.raises(LocalProtocolError, match="authenticate"):
            call()


def test_admin_keys_are_replaced_for_good(target, admin):
    admin.change_admin_key(MASTER)
    admin.set_label("still the same session")
    assert not admin.info().factory_keys
    admin.put(credential())  # another applet: the channel is opened anew, with the new keys
    again = target.session()
    with pytest.raises(AdminKeyIncorrect, match="no longer has its factory keys"):
        again.authenticate(None)
    with pytest.raises(AdminKeyIncorrect, match="not the one"):
        again.authenticate(Secret(b"w" * 32))
    with pytest.raises(LocalProtocolError):
        again.reset()
    again.authenticate(MASTER)
    again.change_admin_key(Secret(b"n" * 16))
    again.authenticate(Secret(b"n" * 16))


def test_factory_reset(target, admin):
    admin.change_admin_key(MASTER)
    admin.set_pin(PIN)
    admin.put(credential())
    admin.set_label("mine")
    admin.factory_reset()
    info = admin.info()
    assert (info.factory_keys, info.pin_state, info.credentials_used, info.label) == (True, PinState.UNSET, 0, "")
    with pytest.raises(LocalProtocolError):
        admin.reset()
    admin.authenticate(None)


# Clock


def test_a_clock_that_stands_still(target, admin):
    admin.put(credential())
    target.stop_clock()
    with pytest.raises(TokenRefused, match="stands still"):
        admin.read_clock()
    with pytest.raises(TokenRefused, match=r"stands still.*`provision token set-time`"):
        admin.calculate("vpn")


# Interruptions


def test_a_restart_is_noticed_and_nothing_is_repeated(target, admin):
    admin.put(credential("a", pin=True))
    admin.set_pin(PIN)
    admin.verify_pin(PIN)
    target.restart()
    with pytest.raises(OutcomeUnknown, match="restarted"):
        admin.calculate("a")
    with pytest.raises(PinRequired):
        admin.calculate("a")
    admin.delete("a")  # selects and authenticates anew by itself
    assert admin.credentials() == []
