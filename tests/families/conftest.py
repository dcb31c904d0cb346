"""Tokens for the suites of this folder: each on its wires, and behind the command line."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provision.cli.main import main
from provision.clock import FileClock, ManualClock
from provision.links.link import LINKS, Link, LinkOptions
from tests.families.targets import KINDS, START, Card, InProcess, Kind, Process, Target
from tests.pcsc.room import Room


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """pcscd with a reader for the token; this process sees no other. libpcsclite looks only once where pcscd is."""
    room = Room(tmp_path_factory.mktemp("reader"), "Virtual PCD")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PCSCLITE_CSOCK_NAME", room.socket)
        yield room
    room.close()


@pytest.fixture(scope="module")
def wire(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind | Process]:
    """`request.param`: a Kind and a link. The kind of a token in this process, or the process of one on that link."""
    kind, link = request.param
    if link == "inprocess":
        yield kind
        return
    folder = tmp_path_factory.mktemp(link)
    if link == "vpcd":
        process: Process = Card(folder, kind, link, request.getfixturevalue("reader").inside)
    else:
        process = Process(folder, kind, link)
    yield process
    process.close()


@pytest.fixture
def target(wire: Kind | Process) -> Iterator[Target]:
    if isinstance(wire, Kind):
        yield InProcess(wire, ManualClock(START))
        return
    wire.begin()
    yield wire
    wire.end()


@dataclass(frozen=True)
class Ended:
    """How a command ended. `json`: the one object on its standard output, with --json."""

    exit_code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """`provision`, run in this process, where the address test: is an in-process token on a file clock."""

    def __init__(
        self, kind: Kind, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.folder = folder
        self.clock = folder / "clock"
        self.clock.write_text(f"{START}\n")
        self.target = InProcess(kind, FileClock(self.clock))
        self._monkeypatch = monkeypatch
        self._capsys = capsys

        def open_address(rest: str, options: LinkOptions) -> Link:
            return self.target.link(options, f"test:{rest}")

        monkeypatch.setitem(sys.modules, "wire_of_the_test", SimpleNamespace(open_address=open_address))
        monkeypatch.setitem(LINKS, "test", "wire_of_the_test:open_address")
        monkeypatch.delenv("HWTOKEN_TOKEN", raising=False)
        # A developer's terminal must not be asked.
        for module in ("context", "person", "secrets_input"):
            monkeypatch.setattr(f"provision.cli.{module}.has_terminal", lambda: False)

    def file(self, name: str, content: str, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_text(content)
        path.chmod(mode)
        return str(path)

    def __call__(self, *arguments: str, stdin: str = "", token: bool = True) -> Ended:
        where = ("--token", "test:x", "--clock", f"file:{self.clock}") if token else ()
        self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capsys.readouterr()
        code = main([*arguments, *where])
        captured = self._capsys.readouterr()
        return Ended(code, captured.out, captured.err)


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """With a reference token, or one of the kind that the module's KIND names."""
    kind = getattr(request.module, "KIND", KINDS[0])
    return CommandLine(kind, tmp_path, monkeypatch, capsys)
