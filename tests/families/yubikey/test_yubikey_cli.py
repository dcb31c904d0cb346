"""A YubiKey's life through the command line: programmed, used, taken back, and each thing it lacks said in words."""

from __future__ import annotations

import pytest

from provision.families.yubikey_access import access_key_of_password, response_to
from provision.model import NewCredential, OtpParameters, Secret
from provision.otp import code_at
from provision.wire import oath, oath_password
from provision.wire.apdu import Command, encode_command
from tests.families.targets import KINDS

KIND = next(kind for kind in KINDS if kind.name == "yubikey 5.7.4")
SERIAL = KIND.serial
SEED = bytes(range(1, 21))
DEFAULTS = OtpParameters()


class Station:
    """A ledger, a server and the organisation's key beside the command line."""

    def __init__(self, run) -> None:
        self.run = run
        self.server = f"embedded:{run.folder / 'server.db'}"
        self.key = str(run.folder / "admin-key")
        self.ledger = ["--ledger", str(run.folder / "ledger.db")]
        self.passphrase = ["--passphrase-file", run.file("passphrase", "correct horse battery staple\n")]
        self.seed = run.file("seed", SEED.hex())
        clock = ["--clock", f"file:{run.clock}"]
        new_key = ["--new-admin-key-file", self.key]
        self.ok("ledger", "init", *self.ledger, *self.passphrase, *new_key, *clock, token=False)
        self.ok("server", "init", "--server", self.server, *clock, token=False)

    def ok(self, *arguments, token=True):
        ended = self.run(*arguments, token=token)
        assert ended.exit_code == 0, ended
        return ended

    def program(self, *more):
        who = ["--user", "anna", "--name", "desk token", "--no-pin", "--seed-file", self.seed]
        where = [*self.ledger, *self.passphrase, "--server", self.server, "--admin-key-file", self.key]
        return self.run("token", "program", *who, *where, *more)

    def retire(self, *more):
        where = [*self.ledger, "--server", self.server, "--admin-key-file", self.key]
        return self.run("token", "retire", "--serial", SERIAL, *where, *more)


@pytest.fixture
def station(run):
    return Station(run)


def code_now(run) -> str:
    return code_at(Secret(SEED), DEFAULTS, DEFAULTS.step_at(run.target.clock.now()))


def test_a_whole_life(station, run):
    assert station.program().exit_code == 0
    assert "done already" in station.program().out
    key = ["--admin-key-file", station.key]

    info = run("info", "--json").json
    assert (info["family"], info["serial"], info["model"], info["factory_keys"]) == (
        "yubikey",
        SERIAL,
        "YubiKey 5C",
        False,
    )
    locked = run("token", "code", "hwtoken:anna", "--json")
    assert (locked.exit_code, locked.json["error"]["type"]) == (6, "AdminKeyIncorrect")
    assert "--admin-key-file" in locked.json["error"]["hint"]
    assert station.ok("token", "code", "hwtoken:anna", *key).out.strip() == code_now(run)
    (held,) = station.ok("token", "credentials", *key, "--json").json["credentials"]
    assert held["name"] == "hwtoken:anna"
    assert station.ok("token", "verify", "hwtoken:anna", *key, "--seed-file", station.seed).exit_code == 0
    check = ["server", "check", "--server", station.server, "--user", "anna", "--code-file", "-"]
    run.clock.write_text(f"{run.target.clock.now() + 60}\n")
    assert run(*check, "--clock", f"file:{run.clock}", stdin=f"{code_now(run)}\n", token=False).exit_code == 0

    station.ok("token", "rename", "--credential", "hwtoken:anna", "work", *key)
    station.ok("token", "rename", "--credential", "work", "hwtoken:anna", *key)
    assert station.retire().exit_code == 0
    assert run("token", "credentials", *key).out == "no credentials\n"
    assert station.program("--time-step", "60").exit_code == 0
    assert station.retire("--wipe").exit_code == 0
    assert run("info", "--json").json["factory_keys"] is True


def test_a_lost_key_is_no_end(station, run):
    assert station.program().exit_code == 0
    wiped = run("token", "wipe", "--serial", SERIAL)
    assert (wiped.exit_code, wiped.out) == (0, f"token {SERIAL} is as it left the factory\n")


def test_a_password_of_the_users_own(station, run):
    device_id = oath.SelectReply.decode(run.target.channel.transmit(bytes.fromhex("00A4040007A0000005272101"))[:-2])
    key = access_key_of_password(Secret(b"hunter2"), device_id.device_id)
    data = oath_password.SetCode(key, b"12345678", response_to(key, b"12345678")).encode()
    assert run.target.channel.transmit(encode_command(Command(0, oath.Ins.SET_CODE, 0, 0, data))) == b"\x90\x00"
    password = run.file("password", "hunter2\n")
    assert run("token", "credentials", "--token-key-file", password).out == "no credentials\n"
    wrong = run("token", "credentials", "--token-key-file", run.file("wrong", "hunter3\n"))
    assert wrong.exit_code == 6
    new = ["--new-admin-key-file", station.key]
    station.ok("token", "set-admin-key", "--token-key-file", password, *new)
    assert run("token", "credentials", "--admin-key-file", station.key).out == "no credentials\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["token", "set-time"], "a YubiKey has no clock: its host sends the time"),
        (["token", "set-pin", "--new-pin-file", "PIN"], "a YubiKey's OATH applet has no PIN: it has a password"),
        (["token", "change-pin", "--pin-file", "PIN", "--new-pin-file", "PIN"], "has no PIN: it has a password"),
        (["token", "unblock", "--new-pin-file", "PIN"], "has no PIN: it has a password"),
        (["token", "rename", "front desk"], "a YubiKey has no name of its own"),
    ],
)
def test_what_it_lacks_is_said(run, arguments, says):
    pin = run.file("pin", "314159\n")
    ended = run(*[pin if argument == "PIN" else argument for argument in arguments], "--json")
    assert (ended.exit_code, ended.json["error"]["type"]) == (2, "NotSupported")
    assert says in ended.json["error"]["message"]


@pytest.mark.parametrize("arguments", [["unblock", "--keep-pin"], ["rename", "desk"], ["set-time"]])
def test_what_it_lacks_is_said_before_its_password_is_wanted(station, run, arguments):
    assert station.program().exit_code == 0
    ended = run("token", *arguments, "--json")
    assert ended.json["error"]["type"] == "NotSupported"
    assert "factory keys" not in ended.err


def test_a_job_that_it_cannot_hold_changes_nothing(station, run):
    for more in (["--credential", "15/odd"], ["--digits", "9"], ["--time-step", "4000"]):
        ended = station.program(*more)
        assert ended.exit_code in (2, 9), ended
    assert run("info", "--json").json["factory_keys"] is True


def test_a_seed_that_is_somebody_elses_is_left_alone(station, run):
    session = run.target.session()
    session.authenticate(None)
    session.put(NewCredential("hwtoken:anna", Secret(b"somebody else's seed"), own_clock=False, pin=False))
    assert station.program().exit_code == 10
    session = run.target.session()
    assert session.info().factory_keys is False  # the key was taken over before; the seed was not touched
