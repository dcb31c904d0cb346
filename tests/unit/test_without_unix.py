"""Where pty, termios, fcntl and AF_UNIX do not exist everything still imports, and the control channel is on tcp.

Windows itself is not run here: these processes are made to look as if such things were missing.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# links.pty is looked at only where there are pseudo-terminals. The others import pyserial, which picks its POSIX driver
# here and has another on Windows.
NOT_HERE = {"firmware_sim.links.pty", "provision.links.serial", "provision.links.rfc2217"}

HIDE = """
import os, socket, subprocess, sys, types  # subprocess first: it takes a system with msvcrt for Windows
for name in ("pty", "tty", "termios", "fcntl", "resource"):
    sys.modules[name] = None
for name in ("openpty", "fork", "setsid"):
    delattr(os, name)
del socket.AF_UNIX
def socketpair():  # as the standard library has it for Windows
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        return near, listener.accept()[0]
socket.socketpair = socketpair
stand_in = sys.modules["msvcrt"] = types.ModuleType("msvcrt")
stand_in.LK_LOCK, stand_in.LK_NBLCK, stand_in.LK_UNLCK = 1, 2, 0
stand_in.locking = lambda fd, mode, count: None
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python finds no Unix."""
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    return {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def run(elsewhere: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], env=elsewhere, capture_output=True, text=True, timeout=120)


def test_unix_is_really_hidden(elsewhere: dict[str, str]) -> None:
    for module in ("pty", "termios", "fcntl"):
        assert run(elsewhere, "-c", f"import {module}").returncode == 1
    assert (
        "False False"
        in run(elsewhere, "-c", "import os, socket; print(hasattr(socket, 'AF_UNIX'), hasattr(os, 'fork'))").stdout
    )


def test_every_module_imports(elsewhere: dict[str, str]) -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in ("provision", "firmware_sim", "pytest_hwtoken")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name not in ("__init__.py", "__main__.py")
    ]
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = run(elsewhere, "-c", program, *[name for name in names if name not in NOT_HERE])
    assert done.returncode == 0, done.stderr


def test_the_control_channel_falls_back_to_tcp_behind_a_one_time_secret(elsewhere: dict[str, str]) -> None:
    secrets = []
    for _ in range(2):
        command = [sys.executable, "-m", "firmware_sim", "run", "--json"]
        with subprocess.Popen(command, env=elsewhere, stdout=subprocess.PIPE, text=True) as simulator:
            assert simulator.stdout is not None
            line = json.loads(simulator.stdout.readline())
            assert line["address"].startswith("tcp:127.0.0.1:")
            place, _, secret_file = line["control"].partition("@")
            assert place.startswith("tcp:127.0.0.1:")
            secrets.append(Path(secret_file).read_text("ascii"))
            with socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), timeout=20) as stranger:
                stranger.sendall(b'{"op": "stop"}\n')
                assert json.loads(stranger.makefile().readline())["ok"] is False
            assert run(elsewhere, "-m", "firmware_sim", "stop", "--control", line["control"]).returncode == 0
        assert simulator.returncode == 0
        assert not Path(secret_file).exists()
    assert len(set(secrets)) == 2


def test_what_needs_unix_says_so(elsewhere: dict[str, str]) -> None:
    done = run(elsewhere, "-m", "firmware_sim", "run", "--detach")
    assert done.returncode == 2
    assert "--detach" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_unix_socket_is_refused_in_words(elsewhere: dict[str, str]) -> None:
    ran = run(elsewhere, "-m", "provision", "info", "--token", "usbip:/run/token/1-1")
    assert ran.returncode == 3
    assert "usbip:/run/token/1-1: " in ran.stderr
