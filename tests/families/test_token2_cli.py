"""The commands against Token2's tokens with one profile, whose seed a new time erases."""

from __future__ import annotations

import dataclasses

import pytest

from provision.model import NewCredential, OtpParameters, Secret
from provision.otp import code_at
from tests.families.conftest import CommandLine
from tests.families.sm4_bench import failed
from tests.families.targets import KINDS

KIND = next(kind for kind in KINDS if kind.name == "token2 OTPC-P2-i")
FREE = next(kind for kind in KINDS if kind.name == "token2 C302-i")
SEED = Secret(bytes(range(1, 21)))
SERIAL = KIND.serial


def put(run):
    session = run.target.session()
    session.authenticate(None)
    session.put(NewCredential("vpn", SEED, OtpParameters(), pin=False))
    return run


@pytest.fixture
def free(tmp_path, monkeypatch, capsys):
    """A token whose clock leaves its seed alone."""
    return CommandLine(FREE, tmp_path, monkeypatch, capsys)


@pytest.fixture
def unknown(tmp_path, monkeypatch, capsys):
    """A token whose serial no model has."""
    return CommandLine(dataclasses.replace(KIND, serial="8659699000001"), tmp_path, monkeypatch, capsys)


def test_info_warns_of_the_key_and_of_the_clock(run):
    text = run("info").out
    assert "OTPC-P2-i" in text
    assert "FACTORY KEYS: anybody can write this token" in text
    assert "setting it erases the seed" in text


def test_set_time_refuses_and_offers_rotate(run):
    put(run)
    error = failed(run("token", "set-time", "--json"), 2, "NotSupported")
    assert "erases its seed" in error["message"]
    assert "token rotate" in error["hint"]
    assert run.target.press().isdigit()


def test_set_time_where_the_seed_stays_wants_to_know_what_it_is(free):
    put(free)
    nowhere = ("--ledger", str(free.folder / "nowhere"))
    assert free("token", "set-time", *nowhere, "--json").exit_code != 0
    assert free("token", "set-time", "--time-step", "30").exit_code == 0
    step = OtpParameters().step_at(free.target.clock.now())
    assert free.target.press() == code_at(SEED, OtpParameters(), step)


def test_verify_wants_to_know_it_too(run):
    put(run)
    code = code_at(SEED, OtpParameters(), OtpParameters().step_at(run.target.clock.now()))
    files = ("--seed-file", run.file("seed", SEED.reveal().hex()), "--codes-file", run.file("codes", code))
    assert "right" in run("token", "verify", "vpn", "--algorithm", "SHA1", *files).out
    failed(run("token", "verify", "vpn", "--algorithm", "SHA256", *files, "--json"), 9, "InputError")  # two codes more


def test_deleting_by_any_name(run):
    put(run)
    assert run("token", "delete", "whatever", "--serial", SERIAL).exit_code == 0
    assert run.target.press() == "no seed"


@pytest.mark.parametrize(
    ("arguments", "capability"),
    [
        (("credentials",), "list"),
        (("code", "vpn"), "code-read"),
        (("wipe", "--serial", SERIAL), "factory-reset"),
        (("lock",), "screen-lock"),
        (("rename", "desk"), "rename-token"),
    ],
)
def test_what_it_lacks_is_refused_by_name(run, arguments, capability):
    assert failed(run("token", *arguments, "--json"), 2, "NotSupported")["capability"] == capability


def test_an_unknown_model_is_not_changed_unless_it_is_named(unknown):
    assert "not a model that this tool knows" in unknown("info").out
    erase = ("token", "delete", "vpn", "--serial", "8659699000001")
    error = failed(unknown(*erase, "--json"), 2, "UsageError")
    assert "--model 'unknown model'" in error["hint"]
    failed(unknown(*erase, "--model", "C302-i", "--json"), 2, "UsageError")
    assert unknown(*erase, "--model", "unknown model").exit_code == 0


def test_rotate_of_a_token_that_is_not_on_record(run):
    ledger = str(run.folder / "ledger")
    passphrase = run.file("passphrase", "correct horse")
    assert run("ledger", "init", "--ledger", ledger, "--passphrase-file", passphrase, token=False).exit_code == 0
    failed(run("token", "rotate", "--serial", SERIAL, "--ledger", ledger, "--json"), 9, "InputError")
