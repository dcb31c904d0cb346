"""Planted secrets come out nowhere: not in output, logs, tracebacks, the ledger, the server's files or a `ps` line.

A secret is looked for raw and in every spelling that a careless print would give it.
"""

from __future__ import annotations

import base64
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision import otp
from provision.cli.main import main, provision
from provision.wire import oath, reference
from provision.wire.framing import Decoder, Frame

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = 4
NOW = "1767250800"


def spellings(secret: bytes) -> set[bytes]:
    """How `secret` could look in text or files; each is long enough not to be there by chance."""
    b32, b64 = base64.b32encode(secret).rstrip(b"="), base64.b64encode(secret).rstrip(b"=")
    numbers = ", ".join(map(str, secret))
    return {
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        secret.hex(" ").encode(),
        secret.hex(":").encode(),
        b32,
        b32.lower(),
        b64,
        base64.urlsafe_b64encode(secret).rstrip(b"="),
        repr(secret)[2:-1].encode(),
        json.dumps(secret.decode("latin-1"))[1:-1].encode(),
        numbers.encode(),
        numbers.replace(", ", " ").encode(),
        numbers.replace(" ", "").encode(),
    }


def found_in(place: bytes, secrets: dict[str, bytes]) -> list[str]:
    return [name for name, secret in secrets.items() if any(spelling in place for spelling in spellings(secret))]


def test_the_search_finds_what_it_looks_for() -> None:
    secret = bytes(range(7, 27))
    for spelling in spellings(secret):
        assert found_in(b"noise " + spelling + b" noise", {"seed": secret}) == ["seed"]
    assert found_in(b"noise", {"seed": secret}) == []


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[list[dict[str, Any]]]:
    """Fresh tokens on tcp, one for each example; what the simulator says goes to `simulator.log`."""
    (tmp_path / "clock").write_text(NOW)
    with open(tmp_path / "simulator.log", "wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "firmware_sim", "run", "--link", "tcp", "--count", str(EXAMPLES + 2), "--json"),
                *("--capture", str(tmp_path / "simulator.pcapng")),
                *("--clock", f"file:{tmp_path / 'clock'}"),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
        )
        assert process.stdout is not None
        yield [json.loads(process.stdout.readline()) for _ in range(EXAMPLES + 2)]
        process.terminate()
        process.wait(timeout=10)
        process.stdout.close()


def secret_file(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(content)
    return str(path)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    seed=st.binary(min_size=20, max_size=32).filter(lambda value: len(set(value)) > 8),
    pin=st.text("0123456789", min_size=12, max_size=16).filter(lambda text: len(set(text)) > 3),
    admin_key=st.binary(min_size=32, max_size=32).filter(lambda value: len(set(value)) > 8),
)
def test_a_whole_life_at_its_most_verbose(
    seed: bytes,
    pin: str,
    admin_key: bytes,
    fleet: list[dict[str, Any]],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if len(fleet) <= 2:
        return  # Hypothesis asks again for what it has seen
    token = fleet.pop()
    folder = tmp_path / token["serial"]
    folder.mkdir()
    passphrase, wrong_pin = "planted passphrase " + seed.hex()[:12], pin[::-1] + "0" * (pin == pin[::-1])
    secrets = {
        "seed": seed,
        "PIN": pin.encode(),
        "wrong PIN": wrong_pin.encode(),
        "admin key": admin_key,
        "passphrase": passphrase.encode(),
    }
    pin_file = secret_file(folder, "pin", f"{pin}\n".encode())
    passphrase_file = secret_file(folder, "passphrase", f"{passphrase}\n".encode())
    admin_key_file = secret_file(folder, "admin-key", admin_key.hex().encode())
    seed_file = secret_file(folder, "seed", seed.hex().encode())
    ledger, server, address = str(folder / "ledger.db"), f"embedded:{folder / 'server.db'}", token["address"]
    program = [
        *("token", "program", "--token", address, "--user", "anna", "--name", "desk", "--server", server),
        *("--ledger", ledger, "--admin-key-file", admin_key_file, "--passphrase-file", passphrase_file),
        *("--seed-file", seed_file, "--seed-format", "hex"),
    ]
    serial = token["serial"]
    told: list[str] = []

    def run(*arguments: str, expect: int = 0, as_json: bool = True) -> None:
        argv = [*arguments, "--clock", f"file:{tmp_path / 'clock'}", "-vv", *(["--json"] if as_json else [])]
        if "--token" in argv:
            argv += ["--capture", str(folder / f"{len(told)}.pcapng")]
        code = main(argv)
        out, err = capfd.readouterr()
        told.append(out + err)
        assert code == expect, (arguments, out, err)
        assert found_in((out + err).encode("utf-8", "surrogateescape"), secrets) == [], arguments

    run("ledger", "init", "--ledger", ledger, "--passphrase-file", passphrase_file)
    run("server", "init", "--server", server)
    run("token", "set-pin", "--token", address, "--new-pin-file", pin_file)
    run(*program, "--pin-file", secret_file(folder, "wrong", wrong_pin.encode()), expect=6)
    run(*program, "--pin-file", pin_file, as_json=False)
    run(*program, "--pin-file", pin_file)
    run("info", "--token", address)
    run("token", "credentials", "--token", address)
    run("token", "verify", "hwtoken:anna", "--token", address, "--pin-file", pin_file)
    run("token", "set-time", "--token", address, expect=6)  # the factory keys are not the token's any more
    run("token", "set-time", "--token", address, "--admin-key-file", admin_key_file)
    for command in ("list", "export"):
        run("ledger", command, "--ledger", ledger)
    run("ledger", "show", serial, "--ledger", ledger)
    run("server", "list", "--server", server)
    # Seeds in a wrong form: the complaint must not repeat them.
    for number, bad in enumerate((seed.hex()[1:], base64.b32encode(seed).decode() + "!", "0x" + seed.hex(), pin + "é")):
        bad_seed = secret_file(folder, f"bad-{number}", bad.encode())
        other = [part if part != seed_file else bad_seed for part in program]
        run(*other, "--pin-file", pin_file, expect=9)
    uri = f"otpauth://totp/a:b?secret={base64.b32encode(seed).decode()}&digits=nine"
    run(*program[:16], "--otpauth", secret_file(folder, "uri", uri.encode()), "--pin-file", pin_file, expect=9)
    retire = ("token", "retire", "--token", address, "--serial", serial, "--server", server, "--ledger", ledger)
    run(*retire, "--admin-key-file", admin_key_file)

    for path in folder.iterdir():
        if path.name.startswith(("ledger.db", "server.db")) and path.is_file():
            assert found_in(path.read_bytes(), secrets) == [], path.name
    assert found_in((tmp_path / "simulator.log").read_bytes(), secrets) == []
    captures = [tmp_path / "simulator.pcapng", *folder.glob("*.pcapng")]
    assert len(captures) > 9
    for path in captures:
        assert found_in(path.read_bytes(), secrets) == [], path.name
        assert found_in(payloads(path.read_bytes()), secrets) == [], path.name


def payloads(capture: bytes) -> bytes:
    """What stands in the frames of a capture of serial lines, before it was stuffed."""
    found, position = b"", 0
    while position < len(capture):
        kind, size = struct.unpack_from("<II", capture, position)
        if kind == 6:
            (length,) = struct.unpack_from("<I", capture, position + 20)
            line = capture[position + 28 + 12 : position + 28 + length]
            frames = list(Decoder().feed(line))
            assert all(isinstance(frame, Frame) for frame in frames), "nothing went wrong on this line"
            found += b"|".join(frame.payload for frame in frames if isinstance(frame, Frame))
        position += size
    assert reference.MANAGEMENT_AID in found
    return found


def test_a_seed_that_crosses_usb_in_the_clear_is_in_no_capture(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A YubiKey is written without a secure channel: what hides its seed in a capture is the mask alone."""
    seed, master, passphrase = bytes(range(150, 170)), bytes(range(60, 92)), b"planted passphrase"
    (tmp_path / "clock").write_text(NOW)
    options = ("--clock", f"file:{tmp_path / 'clock'}")
    captures = [tmp_path / f"{side}.pcapng" for side in ("token", "station")]
    command = [sys.executable, "-m", "firmware_sim", "run", "--family", "yubikey", *options]
    with subprocess.Popen([*command, "--capture", str(captures[0])], stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        passphrase_file = ("--passphrase-file", secret_file(tmp_path, "passphrase", passphrase))
        ledger, server = ("--ledger", str(tmp_path / "l.db")), ("--server", f"embedded:{tmp_path / 's.db'}")
        for arguments in (
            ("ledger", "init", *ledger, *passphrase_file),
            ("server", "init", *server),
            (
                *("token", "program", "--token", address, "--user", "anna", "--name", "desk", "--no-pin"),
                *(*ledger, *server, *passphrase_file, "--capture", str(captures[1])),
                *("--admin-key-file", secret_file(tmp_path, "master", master.hex().encode())),
                *("--seed-file", secret_file(tmp_path, "seed", seed.hex().encode()), "--seed-format", "hex"),
            ),
        ):
            assert main([*arguments, *options]) == 0, capfd.readouterr()
        process.terminate()
    for path in captures:
        capture = path.read_bytes()
        put = bytes((0x00, oath.Ins.PUT, 0x00, 0x00))
        assert re.search(re.escape(put) + rb".\*{30,}", capture, re.DOTALL), "the command is there, its data are not"
        assert found_in(capture, {"seed": seed, "admin key": master, "passphrase": passphrase}) == []


def test_a_defect_tells_no_values(
    monkeypatch: pytest.MonkeyPatch, fleet: list[dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An exception of someone else's, with a secret in its text and in every frame's variables."""
    seed = bytes(range(40, 60))

    def broken(*arguments: object, **_: object) -> str:
        planted = seed.hex()
        raise RuntimeError(f"{planted} {arguments!r}")

    monkeypatch.setattr(otp, "code_at", broken)
    address = fleet.pop()["address"]
    pin_file = secret_file(tmp_path, "pin", b"271828182845\n")
    main(["token", "set-pin", "--token", address, "--new-pin-file", pin_file, "-vv"])
    main(["ledger", "init", "--ledger", str(tmp_path / "l.db"), "--passphrase-file", pin_file, "-vv"])
    main(["server", "init", "--server", f"embedded:{tmp_path / 's.db'}"])
    monkeypatch.setattr("provision.station.proof.code_at", broken)
    code = main(
        [
            *("token", "program", "--token", address, "--user", "a", "--name", "b", "-vv"),
            *("--server", f"embedded:{tmp_path / 's.db'}", "--ledger", str(tmp_path / "l.db"), "--pin-file", pin_file),
            *("--admin-key-file", secret_file(tmp_path, "admin", bytes(range(60, 92)).hex().encode())),
            *("--seed-file", secret_file(tmp_path, "seed", seed.hex().encode()), "--clock", f"file:{tmp_path}/clock"),
        ]
    )
    out, err = capfd.readouterr()
    assert code == 1
    assert "RuntimeError" in err
    assert "in broken" in err, "the traceback is there"
    planted = {"seed": seed, "PIN": b"271828182845", "admin key": bytes(range(60, 92))}
    assert found_in((out + err).encode(), planted) == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="only Linux shows other processes in /proc")
def test_what_ps_shows(fleet: list[dict[str, Any]], tmp_path: Path) -> None:
    """The seed comes on standard input; while the tool waits for it, and after, its command line tells nothing."""
    seed, pin = bytes(range(80, 100)), "314159265358"
    secrets = {"seed": seed, "PIN": pin.encode()}
    pin_file = secret_file(tmp_path, "pin", pin.encode())
    process = subprocess.Popen(
        [sys.executable, "-m", "provision", "token", "set-pin", "--token", fleet[0]["address"], "--new-pin-file", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )
    assert process.stdin is not None
    proc = SimpleNamespace(**{name: Path(f"/proc/{process.pid}/{name}") for name in ("cmdline", "environ")})
    while not proc.cmdline.read_bytes():  # the kernel is still putting the new program into place
        assert process.poll() is None
    process.stdin.write(Path(pin_file).read_bytes())
    shown = proc.cmdline.read_bytes() + proc.environ.read_bytes()
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert found_in(shown + output, secrets) == []
    assert b"set-pin" in shown


def options_of(command: click.Command) -> Iterator[str]:
    """Of a command and of all below it."""
    here = click.Context(command)
    if isinstance(command, click.Group):
        for name in command.list_commands(here):
            below = command.get_command(here, name)
            assert below is not None
            yield from options_of(below)
    for parameter in command.params:
        yield from parameter.opts
        yield from parameter.secondary_opts


def test_no_option_takes_a_secret_as_its_value() -> None:
    """No command has an option or argument whose value would be a PIN, seed, key or passphrase itself."""
    options = set(options_of(provision))
    assert {"--pin-file", "--seed-file"} <= options
    assert {one for one in options if one.endswith(("pin", "key"))} <= {"--no-pin", "--keep-pin"}
    assert not options & {"--pin", "--seed", "--passphrase", "--secret", "--password", "--code", "pin", "seed", "code"}
    assert os.environ.get("HWTOKEN_PIN") is None
