"""What a Molto2 is known by and what it holds: profiles, titles, seeds, and codes that are pyotp's."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.errors import InputError, NoSuchCredential, NotSupported, RemoteProtocolError, StorageFull
from provision.families.driver import identify
from provision.model import Algorithm, ClockKind, CredentialInfo, OtpParameters, Secret
from provision.otp import code_at
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Sw
from tests.families.molto2.bench import KEY, SEED, SERIAL, Bench, credential


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
