"""What every token owes its driver, whatever its family and its wire. Each test says which capabilities it needs.

docs/FAMILIES.md is the table of it: `python -m tests.families.table`.
"""

from __future__ import annotations

import contextlib
import itertools

import pytest

from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LinkError,
    LocalProtocolError,
    NoSuchCredential,
    NotSupported,
    StorageFull,
    TokenError,
    TokenRefused,
)
from provision.families.driver import identify
from provision.model import Algorithm, Capability, NewCredential, OathType, OtpParameters, PinState, Secret
from provision.otp import code_at
from provision.station.timing import set_time
from tests.families.suite import above_the_wire, needs, on_every_kind
from tests.families.targets import code_of
from tests.vectors.rfc import RFC4226_D, RFC6238_B, SECRET_SHA1, SECRET_SHA256, SECRET_SHA512

SEED = Secret(bytes(range(1, 21)))
OTHER_SEED = Secret(b"another seed of 20 b")
MASTER = Secret(b"m" * 32)
WRONG_MASTER = Secret(b"w" * 32)
PIN = Secret(b"314159")
RFC6238_SECRETS = dict(zip(Algorithm, (SECRET_SHA1, SECRET_SHA256, SECRET_SHA512), strict=True))
DEFAULTS = OtpParameters()
HOTP = OtpParameters(OathType.HOTP)


def pytest_generate_tests(metafunc):
    metafunc.parametrize("wire", on_every_kind(metafunc.function), indirect=True, scope="module")


@pytest.fixture
def kind(target):
    return target.kind


@pytest.fixture
def session(target):
    return target.session()


@pytest.fixture
def admin(session):
    session.authenticate(None)
    return session


def credential(kind, name="vpn", *, secret=SEED, parameters=DEFAULTS, **flags):
    own_clock = kind.own_clock and parameters.oath_type is OathType.TOTP
    return NewCredential(name, secret, parameters, **{"own_clock": own_clock, "pin": False, **flags})


def change_master(target, session, key):
    session.change_admin_key(key)
    if Capability.BUTTON_CONFIRMS in target.kind.capabilities:
        target.press()


# Identity


def test_it_is_known_for_what_it_is(target, kind):
    driver, info = identify(target.open())
    assert (driver.name, info.family, info.serial) == (kind.family, kind.family, kind.serial)


@above_the_wire
def test_a_blank_token_says_so(kind, session):
    info = session.info()
    assert info.capabilities == kind.capabilities
    assert info.clock_kind is kind.clock
    assert info.recognised
    assert info.pin_state is PinState.UNSET
    assert info.attempts_remaining is None
    assert info.credentials_max == kind.room
    assert info.credentials_used in (0, None)
    assert info.factory_keys in (True, None)
    assert kind.model in (None, info.model)
    assert kind.firmware in (None, info.firmware)


# Codes


def test_codes_are_pyotps(target, kind, admin):
    for algorithm, digits, step_s in itertools.product(sorted(kind.hashes, key=str), kind.digits, kind.steps_s):
        parameters = OtpParameters(algorithm=algorithm, digits=digits, time_step_s=step_s)
        admin.put(credential(kind, parameters=parameters))
        code, step = code_of(target, admin, "vpn", parameters)
        assert code == code_at(SEED, parameters, step, allow_short_seed=True), parameters


@above_the_wire
@pytest.mark.parametrize("size", [1, 10, 14, 20, 32, 63])
def test_seeds_of_every_length(target, kind, admin, size):
    seed = Secret(bytes(i * 7 % 251 + 1 for i in range(size)))
    admin.put(credential(kind, secret=seed))
    code, step = code_of(target, admin, "vpn", DEFAULTS)
    assert code == code_at(seed, DEFAULTS, step, allow_short_seed=True)


@above_the_wire
@needs(Capability.CODE_READ, so_that=lambda kind: kind.hotp)
def test_hotp_counts_on(kind, admin):
    parameters = OtpParameters(OathType.HOTP, counter=7)
    admin.put(credential(kind, parameters=parameters))
    assert [admin.calculate("vpn").value for _ in range(3)] == [code_at(SEED, parameters, n) for n in (7, 8, 9)]


@above_the_wire
@needs(Capability.CODE_READ, so_that=lambda kind: kind.hotp)
def test_rfc_4226_appendix_d(kind, admin):
    admin.put(credential(kind, secret=Secret(SECRET_SHA1), parameters=HOTP))
    assert [admin.calculate("vpn").value for _ in RFC4226_D] == RFC4226_D


@above_the_wire
@needs(Capability.CODE_READ)
def test_rfc_6238_appendix_b(kind, admin):
    for column, algorithm in enumerate(Algorithm):
        if algorithm in kind.hashes:
            check_rfc_6238(kind, admin, algorithm, column)


def check_rfc_6238(kind, admin, algorithm, column):
    parameters = OtpParameters(algorithm=algorithm, digits=8)
    admin.put(credential(kind, secret=Secret(RFC6238_SECRETS[algorithm]), parameters=parameters))
    for unix_s, codes in RFC6238_B.items():
        step = parameters.step_at(unix_s)
        if kind.own_clock:
            # The first second of the step, so that the code is the table's for as long as the exchange takes.
            admin.write_clock(parameters.step_start(step))
            code = admin.calculate("vpn")
            assert parameters.step_at(code.device_s) == step
        else:
            code = admin.calculate("vpn", step=step)
        assert code.value == codes[column], unix_s


@needs(Capability.CODE_READ, so_that=lambda kind: kind.touch)
def test_a_touch_in_time(target, kind, admin):
    admin.put(credential(kind, touch=True))
    target.press_button_when_asked()
    code, step = code_of(target, admin, "vpn", DEFAULTS)
    assert code == code_at(SEED, DEFAULTS, step)


@needs(Capability.CODE_READ, so_that=lambda kind: kind.touch)
def test_no_touch(target, kind, admin):
    admin.put(credential(kind, touch=True))
    with pytest.raises(TokenRefused, match="touch"):
        code_of(target, admin, "vpn", DEFAULTS)


@above_the_wire
@needs(Capability.CODE_READ)
@pytest.mark.parametrize("step", [-1, 1 << 64])
def test_a_step_out_of_range_is_our_own_mistake(session, step):
    with pytest.raises(InputError):
        session.calculate("vpn", step=step)


# What it holds


@needs(Capability.LIST)
def test_listing_gives_back_what_was_put(kind, admin):
    parameters = OtpParameters(algorithm=Algorithm.SHA256, digits=8, time_step_s=60)
    admin.put(credential(kind, "ä:β", parameters=parameters, touch=kind.touch))
    admin.put(credential(kind, "two"))
    one, two = admin.credentials()
    assert (one.name, one.parameters, one.touch) == ("ä:β", parameters, kind.touch)
    assert (two.name, two.parameters, two.touch) == ("two", DEFAULTS, False)
    assert {(each.own_clock, each.pin) for each in (one, two)} == {(kind.own_clock, False)}


@above_the_wire
@needs(Capability.LIST)
def test_a_full_token_is_listed_whole_and_takes_no_more(kind, admin):
    names = [f"{n:03d}".ljust(kind.name_bytes, "n") for n in range(kind.room)]
    for name in names:
        admin.put(credential(kind, name))
    with pytest.raises(StorageFull):
        admin.put(credential(kind, "one more"))
    assert [one.name for one in admin.credentials()] == names
    admin.put(credential(kind, names[0], secret=OTHER_SEED))  # in the place of the one before


@above_the_wire
@needs(Capability.LIST)
def test_put_replaces_the_credential_of_that_name(target, kind, admin):
    longer = OtpParameters(time_step_s=60)
    for secret, parameters in ((SEED, DEFAULTS), (OTHER_SEED, DEFAULTS), (OTHER_SEED, longer), (SEED, DEFAULTS)):
        admin.put(credential(kind, secret=secret, parameters=parameters))
        (only,) = admin.credentials()
        assert (only.name, only.parameters) == ("vpn", parameters)
        code, step = code_of(target, admin, "vpn", parameters)
        assert code == code_at(secret, parameters, step)


@needs(Capability.LIST)
def test_delete_and_reset(kind, admin):
    for name in ("a", "b", "c"):
        admin.put(credential(kind, name, parameters=OtpParameters(time_step_s=60 if name == "b" else 30)))
    admin.delete("b")
    assert {one.name for one in admin.credentials()} == {"a", "c"}
    admin.reset()
    assert admin.credentials() == []


@above_the_wire
@needs(Capability.LIST, so_that=lambda kind: kind.renames)
def test_rename_keeps_all_but_the_name(target, kind, admin):
    parameters = OtpParameters(algorithm=Algorithm.SHA256, time_step_s=60)
    admin.put(credential(kind, "a", parameters=parameters))
    admin.put(credential(kind, "b"))
    with pytest.raises((TokenError, InputError), match="'b' already"):
        admin.rename("a", "b")
    admin.rename("a", "c")
    assert {one.name: one.parameters for one in admin.credentials()} == {"b": DEFAULTS, "c": parameters}
    code, step = code_of(target, admin, "c", parameters)
    assert code == code_at(SEED, parameters, step)
    with pytest.raises(NoSuchCredential):
        admin.rename("a", "d")


@above_the_wire
@needs(Capability.LIST)
def test_what_is_not_there_is_named(kind, admin):
    admin.put(credential(kind, "a"))
    calls = [lambda: admin.delete("x")]
    if Capability.CODE_READ in kind.capabilities:
        calls.append(lambda: admin.calculate("x", step=None if kind.own_clock else 1))
    if Capability.CHECK_VALUE in kind.capabilities:
        assert admin.check_value("x", SEED) is None
    for call in calls:
        with pytest.raises(NoSuchCredential):
            call()
    assert [one.name for one in admin.credentials()] == ["a"]


@above_the_wire
@needs(Capability.LIST)
def test_names_as_long_as_they_may_be(kind, admin):
    name = "n" * kind.name_bytes
    admin.put(credential(kind, name))
    assert [one.name for one in admin.credentials()] == [name]
    for wrong in ("", name + "n", "bad\nname"):
        with pytest.raises(InputError):
            admin.put(credential(kind, wrong))
    assert [one.name for one in admin.credentials()] == [name]


@above_the_wire
@needs(Capability.CHECK_VALUE)
def test_check_value_tells_one_seed_from_another(kind, admin):
    admin.put(credential(kind))
    assert admin.check_value("vpn", SEED) is True
    assert admin.check_value("vpn", OTHER_SEED) is False


@above_the_wire
def test_what_it_cannot_hold_is_refused_before_anything_is_sent(kind, admin):
    admin.info()
    cannot = [{"parameters": OtpParameters(algorithm=algorithm)} for algorithm in set(Algorithm) - kind.hashes]
    cannot += [{"parameters": OtpParameters(digits=digits)} for digits in (3, 9, 300)]
    cannot += [{"parameters": OtpParameters(time_step_s=step_s)} for step_s in (0, 7200, 70000)]
    cannot += [{"secret": Secret(b"")}, {"parameters": OtpParameters(t0_s=-1)}]
    if not kind.hotp:
        cannot.append({"parameters": HOTP})
    if not kind.touch:
        cannot.append({"touch": True})
    if not kind.own_clock:
        cannot.append({"own_clock": True})
    if Capability.PIN not in kind.capabilities:
        cannot.append({"pin": True})
    for what in cannot:
        for call in (admin.require_storable, admin.put):
            with pytest.raises((NotSupported, InputError)):
                call(credential(kind, **what))
    if Capability.LIST in kind.capabilities:
        assert admin.credentials() == []


# The administrator


@above_the_wire
def test_an_administrators_command_needs_authenticate(kind, session):
    can = kind.capabilities
    calls = [session.reset, lambda: session.put(credential(kind)), lambda: session.delete("vpn")]
    calls += [lambda: session.rename("a", "b")] if Capability.LIST in can and kind.renames else []
    calls += [lambda: session.change_admin_key(MASTER)] if Capability.ADMIN_KEY in can else []
    calls += [lambda: session.write_clock(0)] if Capability.CLOCK_SET in can else []
    calls += [lambda: session.unblock(None)] if Capability.PIN in can else []
    calls += [lambda: session.check_value("vpn", SEED)] if Capability.CHECK_VALUE in can else []
    calls += [lambda: session.set_label("x")] if Capability.RENAME_TOKEN in can else []
    calls += (
        [session.factory_reset]
        if can & {Capability.FACTORY_RESET, Capability.KEYLESS_RESET} == {Capability.FACTORY_RESET}
        else []
    )
    for call in calls:
        with pytest.raises(LocalProtocolError, match="authenticate"):
            call()


@needs(Capability.ADMIN_KEY)
def test_the_organisations_key_replaces_the_factorys_for_good(target, kind, admin):
    change_master(target, admin, MASTER)
    again = target.session()
    for wrong in (None, WRONG_MASTER):
        with pytest.raises(AdminKeyIncorrect):
            again.authenticate(wrong)
        with pytest.raises(LocalProtocolError):
            again.reset()
    again.authenticate(MASTER)
    again.put(credential(kind))
    change_master(target, again, WRONG_MASTER)
    last = target.session()
    last.authenticate(WRONG_MASTER)
    last.delete("vpn")


@above_the_wire
@needs(Capability.ADMIN_KEY)
def test_a_master_key_that_cannot_be_the_tokens(session):
    with pytest.raises(AdminKeyIncorrect):
        session.authenticate(MASTER)
    with pytest.raises(InputError, match="16 bytes"):
        session.authenticate(Secret(b"x" * 15))


@above_the_wire
@needs(Capability.READ_LOCK)
def test_what_it_holds_is_told_to_the_administrator_only(target, kind, admin):
    admin.put(credential(kind))
    change_master(target, admin, MASTER)
    stranger = target.session()
    assert stranger.info().credentials_used is None
    for call in (stranger.credentials, lambda: code_of(target, stranger, "vpn", DEFAULTS)):
        with pytest.raises(AdminKeyIncorrect):
            call()
    stranger.authenticate(MASTER)
    assert [one.name for one in stranger.credentials()] == ["vpn"]


@above_the_wire
@needs(Capability.OWN_KEY)
def test_a_wrong_key_of_its_own(session):
    with pytest.raises(AdminKeyIncorrect):
        session.authenticate_own(Secret(b"not its key"))
    with pytest.raises(LocalProtocolError):
        session.reset()


@needs(Capability.FACTORY_RESET)
def test_factory_reset(target, kind, admin):
    admin.put(credential(kind))
    change_master(target, admin, MASTER)
    owner = target.session()
    owner.authenticate(MASTER)
    owner.factory_reset()
    if Capability.BUTTON_CONFIRMS in kind.capabilities:
        target.press()
    with pytest.raises(LocalProtocolError):
        owner.reset()
    again = target.session()
    assert again.info().factory_keys in (True, None)
    again.authenticate(None)
    assert again.credentials() == []


@above_the_wire
@needs(Capability.KEYLESS_RESET)
def test_whoever_holds_it_may_reset_it(target, kind, admin):
    admin.put(credential(kind))
    change_master(target, admin, MASTER)
    target.session().factory_reset()
    if Capability.BUTTON_CONFIRMS in kind.capabilities:
        target.press()
    again = target.session()
    again.authenticate(None)
    assert again.credentials() == []


# The clock


@needs(Capability.CLOCK_SET)
def test_setting_the_clock(target, admin):
    target.shift_clock(-77)
    before = admin.read_clock()
    assert before.device_s - before.sent_s == pytest.approx(-77, abs=1.5)
    admin.assume(DEFAULTS)
    done = set_time(admin, target.clock)
    assert done.before.lo_ms <= -76_000
    slack_ms = 100 + 1000 * before.resolution_s
    assert -slack_ms < done.residual.lo_ms <= 0.001
    assert -0.001 <= done.residual.hi_ms < slack_ms


@above_the_wire
@needs(Capability.CLOCK_SET)
@pytest.mark.parametrize("seconds", [-1, 1 << 40])
def test_a_time_that_is_none(admin, seconds):
    admin.assume(DEFAULTS)
    with pytest.raises(InputError):
        admin.write_clock(seconds)


@above_the_wire
@needs(Capability.CLOCK_SET)
def test_a_clock_that_stands_still(target, admin):
    admin.assume(DEFAULTS)
    target.stop_clock()
    with pytest.raises(TokenError, match="stands still"):
        admin.write_clock(int(target.clock.now()))


# Interruptions


def test_a_restart_costs_no_more_than_the_command_under_way(target, kind, admin):
    admin.put(credential(kind))
    target.restart()
    with contextlib.suppress(LinkError):
        admin.info()
    again = target.session()
    again.authenticate(None)
    if Capability.LIST in kind.capabilities:
        assert [one.name for one in again.credentials()] == ["vpn"]
    code, step = code_of(target, again, "vpn", DEFAULTS)
    assert code == code_at(SEED, DEFAULTS, step)


# What it lacks

LACKING = {
    Capability.LIST: [lambda s: s.credentials(), lambda s: s.rename("a", "b")],
    Capability.CODE_READ: [lambda s: s.calculate("a")],
    Capability.CLOCK_READ: [lambda s: s.read_clock()],
    Capability.CLOCK_SET: [lambda s: s.write_clock(0)],
    Capability.PIN: [
        lambda s: s.set_pin(PIN),
        lambda s: s.verify_pin(PIN),
        lambda s: s.change_pin(PIN, PIN),
        lambda s: s.unblock(None),
    ],
    Capability.ADMIN_KEY: [lambda s: s.change_admin_key(MASTER), lambda s: s.authenticate(MASTER)],
    Capability.CHECK_VALUE: [lambda s: s.check_value("a", SEED)],
    Capability.RENAME_TOKEN: [lambda s: s.set_label("a")],
    Capability.FACTORY_RESET: [lambda s: s.factory_reset()],
    Capability.OWN_KEY: [lambda s: s.authenticate_own(MASTER)],
    Capability.SCREEN_LOCK: [lambda s: s.lock_screen(True)],
}


@above_the_wire
def test_what_it_lacks_is_refused_by_name(kind, admin):
    for capability in LACKING.keys() - kind.capabilities:
        for call in LACKING[capability]:
            with pytest.raises(NotSupported) as caught:
                call(admin)
            assert caught.value.hint
