"""The commands against a Molto2: what differs from the reference token, and who has to be asked."""

from __future__ import annotations

import json

import pytest

from provision.model import NewCredential, OtpParameters, Secret
from provision.otp import code_at
from tests.families.sm4_bench import failed
from tests.families.targets import KINDS

KIND = next(kind for kind in KINDS if kind.name == "molto2")
SEED = Secret(bytes(range(1, 21)))
MASTER = "ab" * 32
SERIAL = KIND.serial


@pytest.fixture
def programmed(run):
    """A token with the factory key and the credential `vpn`."""
    session = run.target.session()
    session.authenticate(None)
    session.put(NewCredential("vpn", SEED, OtpParameters(), pin=False))
    run.seed = run.file("seed", SEED.reveal().hex())
    return run


def shown_code(run):
    return code_at(SEED, OtpParameters(), OtpParameters().step_at(run.target.clock.now()))


def tries(run):
    return run.target.token.inspect()["attempts_remaining"]


def test_info_says_what_it_does_not_know(run):
    text = run("info").out
    assert "Molto2v2, firmware not told" in text
    assert "keys         not told" in text
    assert "credentials  ? of 100" in text


def test_published_keys_are_nagged_about(programmed):
    ended = programmed("token", "delete", "vpn", "--serial", SERIAL)
    assert ended.exit_code == 0
    assert "obeys everybody, as it came from the factory" in ended.err


def test_a_code_is_for_people(programmed):
    error = failed(programmed("token", "code", "vpn", "--json"), 2, "NotSupported")
    assert error["capability"] == "code-read"
    assert "press its button" in error["hint"]


def test_verify_asks_for_a_code_where_there_is_a_seed(programmed):
    codes = programmed.file("codes", shown_code(programmed) + "\n")
    ended = programmed("token", "verify", "vpn", "--seed-file", programmed.seed, "--codes-file", codes)
    assert ended.exit_code == 0
    assert "code of 'vpn' right, clock within" in ended.out
    assert "Type the code of 'vpn'" in ended.err


def test_verify_without_a_seed_reads_the_clock(programmed):
    assert "not read" in programmed("token", "verify", "vpn").out
    programmed.target.shift_clock(-100)
    assert failed(programmed("token", "verify", "vpn", "--json"), 4, "OutOfWindow")["drift_steps"] == -3


def test_verify_with_codes_that_are_not_its(programmed):
    codes = programmed.file("codes", "000 000\n111111\n222222\n")
    ended = programmed("token", "verify", "vpn", "--seed-file", programmed.seed, "--codes-file", codes, "--json")
    failed(ended, 4, "CodeMismatch")
    wishes = [json.loads(line) for line in ended.out.splitlines()[:-1]]
    assert [wish["wanted"] for wish in wishes] == ["code"] * 3
    assert wishes[1]["sentence"].startswith("that is not its code")


def test_verify_when_the_codes_run_out(programmed):
    codes = programmed.file("codes", "000000\n")
    ended = programmed("token", "verify", "vpn", "--seed-file", programmed.seed, "--codes-file", codes, "--json")
    failed(ended, 9, "InputError")


def test_nobody_to_ask(programmed):
    ended = programmed("token", "verify", "vpn", "--seed-file", programmed.seed, "--json")
    assert "somebody has to be at the token" in failed(ended, 2, "UsageError")["message"]


def test_codes_from_standard_input_as_they_are_typed(programmed):
    code = shown_code(programmed)
    arguments = ("token", "verify", "vpn", "--seed-file", programmed.seed, "--codes-file", "-")
    assert programmed(*arguments, stdin=f"{code[:3]} {code[3:]}\n").exit_code == 0


def test_somebody_at_the_terminal_is_asked(programmed, monkeypatch):
    monkeypatch.setattr("provision.cli.person.has_terminal", lambda: True)
    code = shown_code(programmed)
    ended = programmed("token", "verify", "vpn", "--seed-file", programmed.seed, stdin=f"{code[:3]} {code[3:]}\n")
    assert ended.exit_code == 0
    assert "Type the code of 'vpn' that token" in ended.err
    ended = programmed("token", "wipe", "--serial", SERIAL, stdin="\n")
    assert ended.exit_code == 4  # nobody did
    assert "Press the button of token" in ended.err


def test_a_new_key_is_proved_once_the_button_was_pressed(run, monkeypatch):
    key = run.file("key", MASTER)
    arguments = ("token", "set-admin-key", "--new-admin-key-file", key, "--codes-file")
    not_pressed = run(*arguments, run.file("pressed", "\n"), "--json")
    assert failed(not_pressed, 6, "AdminKeyIncorrect")["attempts_remaining"] == tries(run) == 7
    _press_when_asked(run, monkeypatch)
    assert run(*arguments, run.file("pressed", "\n")).exit_code == 0
    assert run("token", "lock", "--admin-key-file", key).exit_code == 0
    assert tries(run) == 8


def _press_when_asked(run, monkeypatch):
    from provision.cli.person import _Written

    monkeypatch.setattr(_Written, "press_button", lambda self, wanted: run.target.press())


def test_a_wrong_key_of_its_own_is_charged_once(run):
    wrong = run.file("own", "not its key")
    error = failed(run("token", "lock", "--token-key-file", wrong, "--json"), 6, "AdminKeyIncorrect")
    assert error["attempts_remaining"] == tries(run) == 7
    right = run.file("own", "TOKEN2MOLTO1-KEY\n")
    assert run("token", "lock", "--token-key-file", right).exit_code == 0
    assert tries(run) == 8


def test_a_key_is_nowhere_to_be_read(run):
    ended = run("token", "lock", "--token-key-file", run.file("own", "planted customer key"), "-vv")
    assert ended.exit_code == 6
    for planted in ("planted", b"planted customer key".hex(), "cGxhbnRlZC"):
        assert planted not in ended.out + ended.err


def test_one_key_at_a_time(run):
    own = run.file("own", "a key")
    ended = run("token", "lock", "--token-key-file", own, "--admin-key-file", own, "--json")
    failed(ended, 2, "UsageError")


def test_lock_and_unlock(programmed):
    assert "locked" in programmed("token", "lock").out
    assert programmed.target.press() == "locked"
    assert "unlocked" in programmed("token", "unlock").out
    assert programmed.target.press().startswith("0.vpn")


def test_a_locked_token_is_wiped_without_its_key(run, monkeypatch):
    session = run.target.session()
    for _ in range(8):
        with pytest.raises(Exception, match="customer key"):
            session.authenticate(Secret(b"w" * 16))
    assert "locked" in failed(run("token", "lock", "--json"), 6, "AdminKeyIncorrect")["message"]
    _press_when_asked(run, monkeypatch)
    codes = run.file("pressed", "\n")
    assert run("token", "wipe", "--serial", SERIAL, "--codes-file", codes).exit_code == 0
    assert tries(run) == 8


def test_a_wipe_whose_button_nobody_pressed_is_none(programmed):
    said_to_be = programmed.file("pressed", "\n")
    ended = programmed("token", "wipe", "--serial", SERIAL, "--codes-file", said_to_be, "--json")
    assert "was not reset" in failed(ended, 4, "TokenError")["message"]


def test_set_time_says_how_well(programmed):
    programmed.target.shift_clock(-77)
    told = programmed("token", "set-time", "--json").json
    low, high = told["residual_ms"]
    assert low <= 0 <= high < low + 30
    assert programmed("token", "verify", "vpn").exit_code == 0


def test_credentials(programmed):
    assert programmed("token", "rename", "--credential", "vpn", "mail").exit_code == 0
    (only,) = programmed("token", "credentials", "--json").json["credentials"]
    assert only["name"] == "mail"
    error = failed(programmed("token", "rename", "desk", "--json"), 2, "NotSupported")
    assert error["capability"] == "rename-token"
