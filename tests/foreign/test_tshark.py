"""Debian's tshark opens a capture of a whole programming, of either side, without a malformed packet and without a
secret in anything that it shows."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cli.main import main
from provision.wire.capture.linktypes import Transfer
from provision.wire.capture.recorder import Recorder

pytestmark = pytest.mark.foreign

ROOT = Path(__file__).parents[2]
NOW_S = 1_767_250_800
SEED, PIN, MASTER = bytes(range(101, 121)), b"271828182845", bytes(range(60, 92))


@pytest.fixture(params=["pty", "usbip"])
def token(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a new token, which captures into token.pcapng."""
    (tmp_path / "clock").write_text(str(NOW_S))
    command = [sys.executable, "-m", "firmware_sim", "run", "--link", request.param, "--clock", "file:clock"]
    with subprocess.Popen(
        [*command, "--capture", "token.pcapng"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["address"]
        finally:
            process.terminate()


def tshark(capture: Path, *arguments: str) -> list[str]:
    """Its lines about `capture`, by arguments of its own."""
    program = shutil.which("tshark")
    assert program is not None, "run `make test-foreign`, which installs it"
    command = [program, "-n", "-r", str(capture), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def assert_well_formed(capture: Path) -> None:
    assert tshark(capture, "-Y", '_ws.malformed or _ws.expert.severity >= "Warning" or _ws.short') == []


def secret_file(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


def test_a_whole_programming_of_both_sides(token: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    clock = ("--clock", f"file:{tmp_path / 'clock'}")
    pin, passphrase = secret_file(tmp_path, "pin", PIN), secret_file(tmp_path, "passphrase", b"planted passphrase")
    ledger, server = str(tmp_path / "ledger.db"), f"embedded:{tmp_path / 'server.db'}"
    to_token = ("--token", token, *clock)
    for number, command in enumerate(
        [
            ("ledger", "init", "--ledger", ledger, "--passphrase-file", passphrase, *clock),
            ("server", "init", "--server", server, *clock),
            ("token", "set-pin", *to_token, "--new-pin-file", pin),
            (
                *("token", "program", *to_token, "--user", "anna", "--name", "desk", "--server", server),
                *("--ledger", ledger, "--admin-key-file", secret_file(tmp_path, "master", MASTER.hex().encode())),
                *("--passphrase-file", passphrase, "--pin-file", pin),
                *("--seed-file", secret_file(tmp_path, "seed", SEED.hex().encode()), "--seed-format", "hex"),
            ),
        ]
    ):
        captured = ("--capture", str(tmp_path / f"{number}.pcapng")) if "--token" in command else ()
        assert main([*command, *captured]) == 0, capfd.readouterr()

    both_sides = [tmp_path / "3.pcapng", tmp_path / "token.pcapng"]
    for capture in [tmp_path / "2.pcapng", *both_sides]:
        assert_well_formed(capture)
        # Every way in which tshark shows bytes; Linux's tshark resolves nothing with -n.
        shown = "\n".join(tshark(capture, "-x", "-V", "-T", "json")).encode()
        for secret in (SEED, PIN, MASTER):
            for spelling in (secret.hex().encode(), b":".join(b"%02x" % octet for octet in secret), secret):
                assert spelling not in shown
            assert base64.b32encode(secret) not in shown
    seconds = {
        line.split(".")[0] for side in both_sides for line in tshark(side, "-T", "fields", "-e", "frame.time_epoch")
    }
    assert seconds <= {str(NOW_S + second) for second in range(60)}, "the clock in the file"
    dissector = "rtacser" if token.startswith("serial:") else "usbccid"
    assert all(len(tshark(side, "-Y", dissector)) > 20 for side in both_sides)


def test_apdus_are_dissected_as_such(tmp_path: Path) -> None:
    with open(tmp_path / "c.pcapng", "wb") as file:
        tap = Recorder(file.write, lambda: NOW_S, "test").apdus()
        tap.command(bytes.fromhex("00A4040007A000000527210100"))
        tap.response(bytes.fromhex("79030507007108") + b"deviceid" + b"\x90\x00")
        tap.command(bytes.fromhex("00B2000008 8006") + b"271828")
        tap.response(bytes.fromhex("63C7"))
        tap.command(bytes.fromhex("8001000000012C") + bytes(300))
        tap.response(bytes.fromhex("6E00"))
    assert_well_formed(tmp_path / "c.pcapng")
    fields = ("-T", "fields", "-e", "iso7816.apdu.cla", "-e", "iso7816.apdu.sw1")
    assert tshark(tmp_path / "c.pcapng", *fields) == ["0x00\t", "\t0x90", "0x00\t", "\t0x63", "0x80\t", "\t0x6e"]


def test_urbs_are_usbmons(tmp_path: Path) -> None:
    device = bytes.fromhex("120100020000004009120100000101020301")
    with open(tmp_path / "c.pcapng", "wb") as file:
        tap = Recorder(file.write, lambda: NOW_S, "test").usb(1, 5, b"")
        tap.submit(1, Transfer.CONTROL, 0x80, setup=bytes.fromhex("8006000100001200"), length=18)
        tap.complete(1, 0, data=device, length=18)
        tap.submit(2, Transfer.BULK, 0x02, data=bytes(22), length=22)
        tap.complete(2, 0, length=22)
        tap.submit(3, Transfer.BULK, 0x82, length=64)
        tap.complete(3, -32, length=0)
    assert_well_formed(tmp_path / "c.pcapng")
    fields = ("-T", "fields", "-e", "usb.urb_type", "-e", "usb.idVendor", "-e", "usb.urb_status", "-e", "usb.urb_len")
    assert tshark(tmp_path / "c.pcapng", *fields) == [
        "'S'\t\t-115\t18",
        "'C'\t0x1209\t0\t18",
        "'S'\t\t-115\t22",
        "'C'\t\t0\t22",
        "'S'\t\t-115\t64",
        "'C'\t\t-32\t0",
    ]
