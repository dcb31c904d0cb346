"""Another key for the seeds: whenever it is cut short, one key opens all of them, and servers on the file go on."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest

from provision import newfile, sqlite
from provision.cli.main import main
from provision.clock import ManualClock
from provision.errors import CodeReplayed, Unreachable
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded import devices, keys, rotation, storage
from provision.servers.embedded.audit import Action
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.backup import back_up

START_S = 1_767_225_600.0
TOTP = OtpParameters()
NOW = TOTP.step_at(START_S)
PEOPLE = 2
STRIDE = 5  # lines between two deaths; with 1 it takes 20 s, and finds no more


def seed(number: int) -> Secret:
    return Secret(bytes([number] * 20))


def code(number: int, step: int = NOW) -> str:
    return code_at(seed(number), TOTP, step)


def opened(path: Path) -> EmbeddedServer:
    return EmbeddedServer(path, ManualClock(START_S), os.urandom)


def register(server: EmbeddedServer, number: int) -> None:
    server.register(Registration(UUID(int=number), f"user {number}", "phone", None, seed(number), TOTP))


def populate(path: Path) -> None:
    with EmbeddedServer.init(path, ManualClock(START_S), os.urandom) as server:
        for number in range(1, PEOPLE + 1):
            register(server, number)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "server.db"
    populate(path)
    return path


def test_everything_goes_on_under_the_new_key_and_the_old_one_opens_nothing(path: Path) -> None:
    old = keys.key_path(path).read_bytes()
    with opened(path) as server:
        assert server.rotate_key() == PEOPLE
        assert server.check("user 1", code(1)).step == NOW
        register(server, 9)
        assert server.audit()[PEOPLE].action is Action.ROTATE_KEY
    assert keys.key_path(path).read_bytes()[:32] != old
    assert {file.name for file in path.parent.iterdir()} == {"server.db", "server.db.key"}
    with opened(path) as server:
        assert server.check("user 9", code(9)).step == NOW
        server.rotate_key()
        assert server.check("user 2", code(2)).step == NOW
    keys.key_path(path).write_bytes(old)
    with pytest.raises(Unreachable, match="is not the key of"):
        opened(path)


def test_no_sealed_seed_of_before_is_left_in_the_file(path: Path) -> None:
    with opened(path) as server:
        with server._storage.snapshot() as db:
            before = [device.sealed for device in devices.every(db)]
        server.rotate_key()
        left = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert not [sealed for sealed in before if sealed in left]


def test_a_server_that_runs_meanwhile_finds_the_new_key(path: Path) -> None:
    with opened(path) as running:
        assert running.check("user 1", code(1)).step == NOW
        with opened(path) as other:
            other.rotate_key()
        assert running.check("user 2", code(2)).step == NOW
        with opened(path) as other:
            other.rotate_key()
        register(running, 9)  # sealed before anything was opened
        with opened(path) as other:
            assert other.check("user 9", code(9)).step == NOW
            other.rotate_key()
        running.rotate_key()
    with opened(path) as server:
        assert server.check("user 2", code(2, NOW + 1)).step == NOW + 1


def test_used_codes_of_a_deleted_device_stay_used(path: Path) -> None:
    with opened(path) as server:
        server.check("user 1", code(1))
        server.delete(str(UUID(int=1)))
        server.rotate_key()
        register(server, 1)
        with pytest.raises(CodeReplayed):
            server.check("user 1", code(1))


def test_a_backup_is_opened_by_its_own_key_afterwards(path: Path, tmp_path: Path) -> None:
    back_up(path, tmp_path / "before.db")
    with opened(path) as server:
        server.rotate_key()
    back_up(path, tmp_path / "after.db")
    for name in ("before.db", "after.db"):
        with opened(tmp_path / name) as copy:
            assert copy.check("user 1", code(1)).step == NOW


def test_a_key_that_is_rotated_while_it_is_copied(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Just after the key was read: the copy then needs the new one."""
    load_key = keys.load_key

    def then_rotated(file: Path) -> bytes:
        content = load_key(file)
        monkeypatch.undo()
        with opened(path) as server:
            server.rotate_key()
        return content

    monkeypatch.setattr(keys, "load_key", then_rotated)
    back_up(path, tmp_path / "copy.db")
    with opened(tmp_path / "copy.db") as copy:
        assert copy.check("user 1", code(1)).step == NOW


WATCHED = {module.__file__ for module in (rotation, keys, storage, sqlite, newfile)}


def rotate_until(path: Path, lines: int) -> bool:
    """In a process of its own, which dies before so many lines of ours are done; whether it did."""
    child = os.fork()
    if child == 0:
        with opened(path) as server:
            left = lines

            def trace(frame: FrameType, event: str, _: object) -> Any:
                nonlocal left
                if frame.f_code.co_filename not in WATCHED:
                    return None
                if event == "line":
                    left -= 1
                    if left < 0:
                        os._exit(1)
                return trace

            sys.settrace(trace)
            server.rotate_key()
            os._exit(0)
    return os.waitpid(child, 0)[1] != 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="without fork there is no cheap process to kill")
def test_killed_at_any_line_it_leaves_one_key_that_opens_all(tmp_path: Path) -> None:
    made = tmp_path / "made"
    made.mkdir()
    populate(made / "server.db")
    old_ones = new_ones = waited = lines = 0
    while True:
        path = tmp_path / str(lines) / "server.db"
        shutil.copytree(made, path.parent)
        old = keys.key_path(path).read_bytes()
        killed = rotate_until(path, lines)
        waited += any(keys.waiting(path))
        with opened(path) as server:
            assert [server.check(f"user {n}", code(n)).step for n in range(1, PEOPLE + 1)] == [NOW] * PEOPLE
            changed = keys.key_path(path).read_bytes() != old
            assert changed == any(entry.action is Action.ROTATE_KEY for entry in server.audit())
            server.rotate_key()
            assert not keys.waiting(path)
        old_ones, new_ones = old_ones + (not changed), new_ones + changed
        if not killed:
            break
        lines += STRIDE
    assert old_ones > 10
    assert new_ones > 3
    assert waited > 2
    print(f"killed at {lines} lines: {old_ones} kept the old key, {new_ones} had the new one")


def test_the_command(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "rotate-key", "--server", f"embedded:{path}"]) == 0
    assert capsys.readouterr().out == "2 seeds are sealed under a new key\n"
