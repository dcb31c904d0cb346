"""A whole life with a server at the other end of HTTP: the station's commands do not know the difference."""

from __future__ import annotations

import json
import os
import sys
import types

import pytest

from provision.cli.main import main
from provision.clock import FileClock, ManualClock
from provision.links import link
from provision.links.inprocess import open_device
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from tests.servers.live import serving


@pytest.fixture
def run(make_world, tmp_path, capsys, monkeypatch):
    """One command with --json against a served file: (exit code, objects)."""
    (tmp_path / "clock").write_text("1767225600.25\n")
    world = make_world(clock=FileClock(tmp_path / "clock"))
    module = types.SimpleNamespace(open_address=lambda rest, options: open_device(world.device, options))
    monkeypatch.setitem(sys.modules, "in_this_process", module)
    monkeypatch.setitem(link.LINKS, "inprocess", "in_this_process:open_address")
    secrets = {"pin": b"123456", "passphrase": b"correct horse", "admin-key": bytes(range(32)).hex().encode()}
    with EmbeddedServer(world.server_path, ManualClock(), os.urandom) as server:
        for role in (Role.ADMINISTRATOR, Role.DESK):
            secrets[role.value] = server.create_api_token(role.value, role)[1].reveal()
    for name, content in secrets.items():
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    clock = ("--clock", "file:clock", "--json")
    with serving(world.server_path, "--clock", f"file:{tmp_path / 'clock'}") as running:

        def run(*arguments, role="administrator"):
            there = ("--server", running.url) if "rotate" not in arguments else ()
            exit_code = main([*arguments, *there, "--api-token-file", role, *clock])
            return exit_code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

        yield run


TOKEN = ("--token", "inprocess:1", "--ledger", "ledger")
ADMIN = ("--admin-key-file", "admin-key")
FILES = (*ADMIN, "--pin-file", "pin", "--passphrase-file", "passphrase")


def test_a_whole_life(run, make_world, monkeypatch, capsys):
    assert main(["ledger", "init", "--ledger", "ledger", "--passphrase-file", "passphrase", "--json"]) == 0
    capsys.readouterr()
    program = ("token", "program", *TOKEN, *FILES, "--user", "alice", "--name", "desk token")

    exit_code, lines = run(*program, "--undisciplined-clock-ok", role="desk")
    assert (exit_code, lines[-1]["error"]["code"]) == (5, "forbidden")
    exit_code, lines = run(*program, "--undisciplined-clock-ok")
    assert (exit_code, lines[-1]["state"]) == (0, "DONE"), lines
    assert run(*program, "--undisciplined-clock-ok")[0] == 0  # done already

    ((device,),) = [lines["devices"] for lines in run("server", "list", role="desk")[1]]
    assert (device["user"], device["serial"]) == ("alice", "HT000001")
    assert device["last_step"] is not None

    exit_code, lines = run("token", "set-time", "--token", "inprocess:1", *ADMIN, "--undisciplined-clock-ok")
    assert (exit_code, lines[-1]["drift_cleared"]) == (0, [device["device_id"]])
    assert run("drift", "import", "HT000001")[0] in (0, 9)  # the clock was set after the only login
    assert run("token", "retire", *TOKEN, *ADMIN, "--serial", "HT000001")[0] == 0
    assert run("server", "list")[1][0]["devices"] == []
