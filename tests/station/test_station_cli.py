"""The station's commands as a person types them, against a simulated token in this process."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import types

import pytest

from provision.cli.main import main
from provision.clock import FileClock
from provision.errors import LedgerError
from provision.links import link
from provision.links.inprocess import open_device
from provision.station.ledger import Ledger

SEED_HEX = "3132333435363738393031323334353637383930"
SEED_BASE32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


class Cli:
    """`run` is one command with --json; its exit code, its objects and all that it printed."""

    def __init__(self, world, tmp_path, capsys, monkeypatch):
        self.world, self.folder, self.capsys, self.monkeypatch = world, tmp_path, capsys, monkeypatch
        self.pin = self.secret("pin", "123456")
        self.passphrase = self.secret("passphrase", "correct horse")
        self.admin_key = self.secret("admin-key", bytes(range(32)).hex())
        self.printed = ""

    def secret(self, name, text):
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text + "\n")
        return str(path)

    def run(self, *arguments, stdin=None, as_json=True):
        if stdin is not None:
            self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        clock = ["--clock", f"file:{self.world.clock.path}"]
        exit_code = main([*arguments, *clock, *(["--json"] if as_json else [])])
        captured = self.capsys.readouterr()
        self.printed += captured.out + captured.err
        lines = [json.loads(line) for line in captured.out.splitlines()] if as_json else captured.out
        return exit_code, lines, captured.err

    def program(self, *more, **options):
        return self.run(
            *("token", "program", "--token", "inprocess:1", "--user", "alice", "--name", "desk token"),
            *("--server", self.world.server_address, "--ledger", str(self.world.ledger_path)),
            *("--admin-key-file", self.admin_key, "--pin-file", self.pin, "--passphrase-file", self.passphrase),
            *more,
            **options,
        )

    def server(self, verb, *more, **options):
        return self.run("server", verb, "--server", self.world.server_address, *more, **options)

    def ledger(self, verb, *more, **options):
        return self.run("ledger", verb, "--ledger", str(self.world.ledger_path), *more, **options)


@pytest.fixture
def cli(make_world, tmp_path, capsys, monkeypatch):
    clock_file = tmp_path / "clock"
    clock_file.write_text("1767225600.25\n")
    world = make_world(clock=FileClock(clock_file))
    module = types.SimpleNamespace(open_address=lambda rest, options: open_device(world.device, options))
    monkeypatch.setitem(sys.modules, "in_this_process", module)
    monkeypatch.setitem(link.LINKS, "inprocess", "in_this_process:open_address")
    return Cli(world, tmp_path, capsys, monkeypatch)


def test_a_wiped_token_is_retired_and_programmed_anew(cli):
    cli.program()
    token = ("--token", "inprocess:1", "--serial", "HT000001", "--admin-key-file", cli.admin_key)
    token += ("--ledger", str(cli.world.ledger_path))
    exit_code, text, said = cli.run("token", "wipe", *token, as_json=False)
    assert (exit_code, text) == (0, "token HT000001 is as it left the factory\n")
    assert f"`provision token retire --server {cli.world.server_address}`" in said
    exit_code, [error], _ = cli.program()
    assert (exit_code, error["error"]["type"]) == (2, "UsageError")
    assert "'hwtoken:alice' is no longer on it" in error["error"]["message"]
    assert f"`provision token retire --server {cli.world.server_address}`" in error["error"]["hint"]
    assert cli.run("token", "retire", "--server", cli.world.server_address, *token)[0] == 0
    assert cli.server("list")[1] == [{"devices": []}]
    assert cli.run("token", "set-pin", "--token", "inprocess:1", "--new-pin-file", cli.pin)[0] == 0
    exit_code, lines, _ = cli.program()
    assert (exit_code, lines[-1]["state"]) == (0, "DONE")


def test_a_whole_life(cli):
    exit_code, lines, _ = cli.program()
    assert exit_code == 0
    assert [line["step"] for line in lines[:-1]][-1] == "DONE"
    assert lines[-1]["state"] == "DONE"
    assert lines[-1]["seed"] == "destroyed"
    assert 0 < lines[-1]["machine_s"] < 5

    exit_code, [again], _ = cli.program()
    assert (exit_code, again["already_done"]) == (0, True)

    cli.world.clock.wait_until(cli.world.clock.now() + 30)
    code = cli.world.code()
    exit_code, [accepted], _ = cli.server("check", "--user", "alice", "--code-file", "-", stdin=f"{code}\n")
    assert (exit_code, accepted["drift_steps"]) == (0, 0)
    exit_code, [refused], _ = cli.server("check", "--user", "alice", "--code-file", "-", stdin=code)
    assert (exit_code, refused["error"]["type"]) == (4, "CodeReplayed")

    exit_code, [listed], _ = cli.server("list")
    assert [(d["user"], d["serial"], d["drift_s"]) for d in listed["devices"]] == [("alice", "HT000001", 0)]

    exit_code, [shown], _ = cli.ledger("show", "HT000001")
    assert shown["events"][0]["what"] == "PLANNED"
    assert exit_code == 0

    retire = ("token", "retire", "--token", "inprocess:1", "--server", cli.world.server_address)
    more = ("--ledger", str(cli.world.ledger_path), "--admin-key-file", cli.admin_key)
    exit_code, [error], _ = cli.run(*retire, *more, "--serial", "HT000002")
    assert (exit_code, error["error"]["type"]) == (2, "UsageError")
    exit_code, lines, _ = cli.run(*retire, *more, "--serial", "HT000001")
    assert (exit_code, lines[-1]["state"]) == (0, "RETIRED")
    assert cli.server("list")[1] == [{"devices": []}]


@pytest.mark.parametrize(("escrow", "seed"), [("none", "destroyed"), ("diagnose", "sealed")])
def test_info_says_whether_the_seed_is_kept(cli, escrow, seed):
    info = ("info", "--token", "inprocess:1", "--ledger", str(cli.world.ledger_path))
    assert cli.run(*info)[1][0]["on_record"] is None
    cli.program("--escrow", escrow)
    assert cli.run(*info)[1][0]["on_record"]["seed"] == seed
    text = cli.run(*info, as_json=False)[1]
    assert text.splitlines()[-1] == f"on record    DONE for alice, seed {seed} here"


def test_people_read_one_line_a_step(cli):
    exit_code, text, _ = cli.program(as_json=False)
    assert exit_code == 0
    lines = text.splitlines()
    assert len(lines) == 10
    assert lines[3] == "WRITTEN         seed written, check value equal"
    assert lines[-1].startswith("machine time ")


def test_resume_needs_no_options_repeated(cli):
    wrong = cli.secret("wrong-pin", "654321")
    assert cli.program("--pin-file", wrong, "--digits", "8")[0] == 6
    exit_code, lines, _ = cli.ledger(
        "resume",
        *("--token", "inprocess:1", "--admin-key-file", cli.admin_key, "--pin-file", cli.pin),
        *("--passphrase-file", cli.passphrase),
    )
    assert (exit_code, lines[-1]["state"], lines[-1]["digits"]) == (0, "DONE", 8)


def test_a_server_that_is_not_there_is_found_out_first(cli):
    exit_code, lines, _ = cli.program("--server", "embedded:/nonexistent/server")
    assert (exit_code, lines[-1]["error"]["type"]) == (5, "Unreachable")
    assert cli.ledger("list")[1] == [{"jobs": []}]


def test_a_wrong_pin_says_what_is_left_and_how_to_go_on(cli):
    wrong = cli.secret("wrong-pin", "654321")
    exit_code, lines, _ = cli.program("--pin-file", wrong)
    assert exit_code == 6
    assert lines[-1]["error"]["attempts_remaining"] == 7
    assert "TIME_SET" in lines[-1]["error"]["hint"]
    exit_code, lines, _ = cli.program()
    assert (exit_code, lines[-1]["state"]) == (0, "DONE")


@pytest.mark.parametrize("text", [SEED_HEX, SEED_HEX.lower(), SEED_BASE32, f"  {SEED_BASE32[:8]}-{SEED_BASE32[8:]} "])
def test_a_seed_from_standard_input(cli, text):
    exit_code, lines, _ = cli.program("--seed-file", "-", stdin=text + "\n")
    assert (exit_code, lines[-1]["origin"]) == (0, "imported")
    assert SEED_HEX not in cli.printed
    assert SEED_BASE32 not in cli.printed


@pytest.mark.parametrize(
    ("options", "stdin", "exit_code", "kind"),
    [
        (("--seed-file", "-", "--seed-format", "base32"), SEED_HEX, 9, "SeedSyntax"),
        (("--seed-file", "-"), SEED_HEX[:-1], 9, "SeedSyntax"),
        (("--seed-file", "-"), "3132", 9, "SeedSyntax"),
        (("--seed-file", "/nonexistent"), None, 9, "InputError"),
        (("--otpauth", "-"), "https://example.org", 9, "SeedSyntax"),
        (("--otpauth", "-", "--digits", "8"), "otpauth://totp/x?secret=" + SEED_BASE32, 2, "UsageError"),
        (("--seed-file", "-", "--generate"), SEED_HEX, 2, "UsageError"),
        (("--seed-file", "-", "--otpauth", "-"), SEED_HEX, 2, "UsageError"),
        (("--user", "x" * 60), None, 9, "InputError"),
        (("--name", "bell\a"), None, 9, "InputError"),
        (("--digits", "9"), None, 2, "UsageError"),
        (("--server", "nonsense:1"), None, 2, "UsageError"),
        (("--admin-key-file", "/nonexistent"), None, 9, "InputError"),
    ],
)
def test_bad_input_changes_nothing(cli, options, stdin, exit_code, kind):
    found, lines, _ = cli.program(*options, stdin=stdin)
    assert (found, lines[-1]["error"]["type"]) == (exit_code, kind)
    assert lines[-1]["exit_code"] == exit_code
    assert cli.ledger("list")[1] == [{"jobs": []}]
    assert SEED_HEX[:-1] not in cli.printed
    with cli.world.session() as session:
        assert session.info().factory_keys
        assert session.credentials() == []


def test_a_seed_that_the_server_gave(cli):
    uri = str(cli.folder / "uri")
    exit_code, [told], _ = cli.server(
        "register", "--user", "alice", "--name", "desk token", "--otpauth-out", uri, "--digits", "8"
    )
    assert (exit_code, told["digits"]) == (0, 8)
    assert os.stat(uri).st_mode & 0o777 == 0o600
    exit_code, lines, _ = cli.program("--otpauth", uri)
    assert (exit_code, lines[-1]["origin"], lines[-1]["digits"]) == (0, "server", 8)
    assert lines[-1]["device_id"] == told["device_id"]
    assert len(cli.world.devices()) == 1


def test_a_seed_that_its_person_enrolled(cli):
    exit_code, [told], _ = cli.server("enrol", "alice", "--name", "desk token", "--otpauth-out", "-")
    assert (exit_code, cli.world.devices()[0].pending) == (0, True)
    exit_code, lines, _ = cli.program("--otpauth", "-", stdin=told["otpauth"] + "\n")
    assert (exit_code, lines[-1]["device_id"]) == (0, told["device_id"])
    (device,) = cli.world.devices()
    assert (device.pending, device.last_step is not None) == (False, True)


def test_a_seed_that_no_server_gave(cli):
    exit_code, lines, _ = cli.program("--otpauth", "-", stdin=f"otpauth://totp/alice?secret={SEED_BASE32}\n")
    assert (exit_code, lines[-1]["error"]["type"]) == (5, "Rejected")
    assert cli.ledger("list")[1] == [{"jobs": []}]


def test_the_server_is_administered(cli):
    cli.program()
    cli.world.clock.wait_until(cli.world.clock.now() + 3600)
    cli.world.oscillator.offset_us -= 600_000_000
    code = cli.world.code()
    assert cli.server("check", "--user", "alice", "--code-file", "-", stdin=code)[0] == 4
    cli.world.clock.wait_until(cli.world.clock.now() + 60)
    first = cli.world.code()
    cli.world.clock.wait_until(cli.world.clock.now() + 30)
    codes = f"{first}\n{cli.world.code()}\n"
    exit_code, [learned], _ = cli.server("resync", "HT000001", "--code-file", "-", stdin=codes)
    assert (exit_code, learned["drift_steps"]) == (0, -20)
    exit_code, [listed], _ = cli.server("list", "--user", "alice")
    assert listed["devices"][0]["drift_s"] == -600
    assert cli.server("rename", "desk token", "pocket token", "--user", "alice")[0] == 0
    assert cli.server("disable", "HT000001")[0] == 0
    assert cli.server("list", as_json=False)[1].splitlines()[1].split("  ")[1] == "pocket token"
    cli.world.clock.wait_until(cli.world.clock.now() + 30)
    assert cli.server("check", "--user", "alice", "--code-file", "-", stdin=cli.world.code())[0] == 5
    assert cli.server("enable", "HT000001")[0] == 0
    assert cli.server("check", "--user", "alice", "--code-file", "-", stdin=cli.world.code())[0] == 0
    exit_code, [error], _ = cli.server("delete", "pocket token")
    assert (exit_code, error["error"]["type"]) == (9, "InputError")
    assert cli.server("delete", "HT000001")[0] == 0
    assert cli.world.devices() == []


@pytest.mark.parametrize("codes", ["12345a", "", "123456\n123456", "12345"])
def test_what_cannot_be_a_code_costs_no_attempt(cli, codes):
    cli.program()
    exit_code, [error], _ = cli.server("check", "--user", "alice", "--code-file", "-", stdin=codes)
    assert (exit_code, error["error"]["type"]) == (9, "InputError")
    assert cli.world.devices()[0].consecutive_failures == 0


def test_a_ledger_is_made_with_the_master_key(cli):
    path, key = str(cli.folder / "new.sqlite"), cli.folder / "new-admin-key"
    init = ("ledger", "init", "--ledger", path, "--passphrase-file", cli.passphrase, "--new-admin-key-file", str(key))
    exit_code, [made], _ = cli.run(*init)
    assert (exit_code, made["ledger"]) == (0, path)
    assert len(bytes.fromhex(key.read_text())) == 32
    assert key.stat().st_mode & 0o777 == 0o600
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert key.read_text().strip() not in cli.printed
    exit_code, [error], _ = cli.run(*init)
    assert (exit_code, error["error"]["type"]) == (9, "InputError")


def test_the_ledger_is_exported_without_secrets(cli):
    cli.program("--escrow", "diagnose", "--name", "=cmd()")
    out = cli.folder / "export.csv"
    assert cli.ledger("export", "--format", "csv", "--out", str(out))[0] == 0
    [row] = csv.DictReader(io.StringIO(out.read_text()))
    assert (row["serial"], row["seed"], row["name"]) == ("HT000001", "sealed", "'=cmd()")
    _, text, _ = cli.ledger("export", as_json=False)
    assert [job["state"] for job in json.loads(text)] == ["DONE"]
    assert cli.ledger("export", "--out", str(out))[0] == 9
    assert "SERIAL" in cli.ledger("list", as_json=False)[1]
    assert "QUARANTINED" not in cli.ledger("show", "HT000001", as_json=False)[1]
    assert cli.ledger("show", "HT999999")[0] == 9


def test_an_unknown_ledger_is_named(cli):
    exit_code, [error], _ = cli.run("ledger", "list", "--ledger", "/nonexistent/ledger")
    assert exit_code == 9
    assert "/nonexistent/ledger" in error["error"]["message"]


def test_a_ledger_that_cannot_be_made_leaves_no_master_key_behind(cli, monkeypatch):
    """It would be in the way of the same command again."""

    def full(*_):
        raise LedgerError("the disk is full")

    init = ("ledger", "init", "--ledger", str(cli.folder / "new"), "--passphrase-file", cli.passphrase)
    key = cli.folder / "new-key"
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "create", full)
        exit_code, _, _ = cli.run(*init, "--new-admin-key-file", str(key))
    assert exit_code == 1
    assert not key.exists()
    assert cli.run(*init, "--new-admin-key-file", str(key))[0] == 0
