"""The frame around every command: help, completion, errors, exit codes, pipes that break, defects that stay silent."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import click
import pytest

from provision.cli import commands, main
from provision.cli.context import common_options
from provision.errors import (
    LinkError,
    LocalProtocolError,
    OutcomeUnknown,
    PinIncorrect,
    ProvisionError,
    RemoteProtocolError,
    Timeout,
)

SECRET = "314159265"


@pytest.fixture
def added(monkeypatch):
    """Register a command `probe` that does what it is told."""

    def add(action):
        @click.command("probe")
        @common_options
        def probe(context):
            action(context)

        monkeypatch.setattr("provision.cli.lazy.added_by_the_test", probe, raising=False)
        monkeypatch.setitem(commands.TOP, "probe", ("provision.cli.lazy:added_by_the_test", "do as told"))

    return add


def raising(error):
    def action(context):
        raise error

    return action


def provision(*arguments, **options):
    command = [sys.executable, "-m", "provision", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, **options)


def test_every_command_loads_and_helps(capsys):
    groups = {"token": commands.TOKEN, "ledger": commands.LEDGER, "server": commands.SERVER, "drift": commands.DRIFT}
    for words, table in [((), commands.TOP), *(((group,), table) for group, table in groups.items())]:
        for name in table:
            assert main.main([*words, name, "--help"]) == 0, name
            assert "Usage: provision" in capsys.readouterr().out


def test_help_by_its_short_name_everywhere(capsys):
    for words in ((), ("token",), ("info",), ("token", "program")):
        assert main.main([*words, "-h"]) == 0
        assert "Usage: provision" in capsys.readouterr().out


@pytest.mark.parametrize("error", [LinkError, Timeout, OutcomeUnknown, RemoteProtocolError, LocalProtocolError])
def test_a_broken_wire_has_a_way_out_even_where_nobody_thought_of_one(error):
    assert error("it broke").hint
    assert error("it broke", hint="mend it").hint == "mend it"


def test_help_loads_no_command():
    code = (
        "import sys; from provision.cli.main import main; main(['--help']);"
        "print(sorted({'cryptography', 'serial', 'sqlite3', 'pyotp', 'provision.clock'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"


def test_as_a_module_and_by_completion():
    assert "Commands:" in provision("--help").stdout
    environment = {
        **os.environ,
        "_PROVISION_COMPLETE": "bash_complete",
        "COMP_WORDS": "provision to",
        "COMP_CWORD": "1",
    }
    assert provision(env=environment).stdout == "plain,token\n"


def test_an_error_in_words_and_as_json(added, capsys):
    added(raising(PinIncorrect("wrong PIN", attempts_remaining=3, hint="type it again")))
    assert main.main(["probe"]) == 6
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: wrong PIN\nhint: type it again\n")
    assert main.main(["probe", "--json"]) == 6
    captured = capsys.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == {
        "error": {"type": "PinIncorrect", "message": "wrong PIN", "hint": "type it again", "attempts_remaining": 3},
        "exit_code": 6,
    }


def test_every_error_class_has_an_exit_code_of_the_list():
    def tree(cls):
        yield cls
        for child in cls.__subclasses__():
            yield from tree(child)

    assert {cls.exit_code for cls in tree(ProvisionError)} <= {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["info", "--nonsense"], ["token", "nonsense"], ["info", "--token", "tcp:1", "extra"]]
)
def test_misuse(arguments, capsys):
    assert main.main(arguments) == 2
    assert "Usage" in capsys.readouterr().err
    assert main.main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "UsageError"


@pytest.mark.parametrize(
    ("clock", "code"), [("sundial", 2), ("file:", 2), ("file:/no/such/file", 9)], ids=["kind", "path", "absent"]
)
def test_a_clock_that_is_none(added, clock, code):
    added(lambda context: None)
    assert main.main(["probe", "--clock", clock]) == code


@pytest.mark.parametrize(("address", "warned"), [("tcp:127.0.0.1:4000", False), ("tcp:10.0.0.1:4000", True)])
def test_a_wire_that_leaves_this_machine_in_the_clear_is_warned_of(added, monkeypatch, capsys, address, warned):
    monkeypatch.setattr("provision.cli.context.open_link", lambda address, options: None)
    added(lambda context: context.open_link(address))
    main.main(["probe"])
    assert ("in the clear" in capsys.readouterr().err) is warned


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(added, capsys, error):
    added(raising(error))
    assert main.main(["probe"]) == 130
    assert capsys.readouterr().err.strip() == "interrupted"


def test_whoever_reads_json_is_told_of_an_interruption_too(added, capsys):
    added(raising(KeyboardInterrupt()))
    assert main.main(["probe", "--json"]) == 130
    told = json.loads(capsys.readouterr().out)
    assert (told["error"]["type"], told["exit_code"]) == ("Interrupted", 130)


@pytest.mark.parametrize("verbosity", [[], ["-v"], ["-vv"]])
def test_a_defect_tells_where_and_never_what(added, capsys, verbosity):
    def action(context):
        pin = SECRET
        raise ValueError(f"invalid PIN {pin}")

    added(action)
    assert main.main(["probe", *verbosity]) == 1
    error = capsys.readouterr().err
    assert "internal error: ValueError in action" in error
    assert SECRET not in error
    assert ("in action\n" in error) == (verbosity == ["-vv"])


def test_a_reader_that_has_had_enough():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "provision", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=30)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""


def test_verbose_shows_the_wire_only(added, capsys):
    added(lambda context: context.say("for people"))
    assert main.main(["probe", "--json"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main.main(["probe"]) == 0
    assert capsys.readouterr() == ("", "for people\n")
