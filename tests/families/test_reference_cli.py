"""The token commands against a reference token: what they do, say, print as JSON, and how they end when they cannot."""

from __future__ import annotations

import dataclasses
import json
import sys
from types import SimpleNamespace

import pytest

from provision.links.ports import Place
from provision.model import NewCredential, OathType, OtpParameters, Secret
from provision.otp import code_at

SEED = Secret(bytes(range(20)))
PIN, WRONG = "314159", "000000"
MASTER = "ab" * 32


@pytest.fixture
def programmed(run):
    """A token with our keys, a PIN and the credential `vpn`."""
    session = run.target.session()
    session.authenticate(None)
    session.change_admin_key(Secret(bytes.fromhex(MASTER)))
    session.put(NewCredential("vpn", SEED))
    session.set_pin(Secret(PIN.encode()))
    run.key = run.file("key", MASTER)
    run.pin = run.file("pin", PIN + "\n")
    return run


def failed(ended, exit_code, kind):
    assert ended.exit_code == exit_code, ended
    error = ended.json["error"]
    assert (error["type"], ended.json["exit_code"]) == (kind, exit_code)
    return error


def test_info(run):
    ended = run("info")
    assert ended.exit_code == 0
    assert "serial       HT-0001" in ended.out
    assert "FACTORY KEYS" in ended.out
    info = run("info", "--json").json
    assert (info["serial"], info["family"], info["pin_state"]) == ("HT-0001", "reference", "unset")
    assert info["capabilities"] == sorted(info["capabilities"])


def test_the_token_may_be_named_by_the_environment(run, monkeypatch):
    monkeypatch.setenv("HWTOKEN_TOKEN", "test:env")
    assert run("info", "--json", token=False).json["address"] == "test:env"


def test_no_token_named(run):
    error = failed(run("info", "--json", token=False), 2, "UsageError")
    assert "provision list" in error["hint"]


def test_a_pins_life(programmed):
    run = programmed
    new = run.file("new", "27182818")
    assert run("token", "change-pin", "--pin-file", run.pin, "--new-pin-file", new).exit_code == 0
    error = failed(run("token", "code", "vpn", "--pin-file", run.pin, "--json"), 6, "PinIncorrect")
    assert error["attempts_remaining"] == 7
    ended = run("token", "code", "vpn", "--pin-file", run.pin)
    assert ended.exit_code == 6
    assert (
        ended.err == "error: wrong PIN for the token at test:x: 6 attempts left\nhint: type the PIN again with care\n"
    )
    assert ended.out == ""
    assert run("token", "unblock", "--admin-key-file", run.key, "--keep-pin").exit_code == 0
    assert run("info", "--json").json["attempts_remaining"] == 8
    assert run("token", "unblock", "--admin-key-file", run.key, "--new-pin-file", run.pin).exit_code == 0
    assert run("token", "code", "vpn", "--pin-file", run.pin).exit_code == 0
    failed(run("token", "set-pin", "--new-pin-file", new, "--json"), 4, "TokenRefused")


def test_first_pin_from_standard_input(run):
    assert run("token", "set-pin", "--new-pin-file", "-", stdin=PIN + "\r\n").exit_code == 0
    assert run("info", "--json").json["pin_state"] == "locked"


def test_one_standard_input_for_two_secrets(programmed):
    arguments = ("token", "change-pin", "--pin-file", "-", "--new-pin-file", "-", "--json")
    error = failed(programmed(*arguments, stdin=PIN), 2, "UsageError")
    assert "standard input" in error["message"]
    assert programmed("info", "--json").json["attempts_remaining"] == 8


def test_nobody_to_ask(programmed):
    error = failed(programmed("token", "code", "vpn", "--json"), 2, "UsageError")
    assert "--pin-file" in error["hint"]


def test_keep_pin_or_new_pin(programmed):
    ended = programmed("token", "unblock", "--keep-pin", "--new-pin-file", programmed.pin, "--json")
    failed(ended, 2, "UsageError")


def test_set_admin_key(run):
    key, other = run.file("key", MASTER), run.file("other", "cd" * 16 + "\n")
    assert run("token", "set-admin-key", "--new-admin-key-file", key).exit_code == 0
    failed(run("token", "set-admin-key", "--new-admin-key-file", other, "--json"), 6, "AdminKeyIncorrect")
    arguments = ("token", "set-admin-key", "--admin-key-file", key, "--new-admin-key-file", other)
    assert run(*arguments).exit_code == 0
    failed(run("token", "rename", "x", "--admin-key-file", key, "--json"), 6, "AdminKeyIncorrect")
    assert run("token", "rename", "x", "--admin-key-file", other).exit_code == 0


@pytest.mark.parametrize("content", ["", "xyz", "abc", "ab" * 15, "ab" * 65, "é"])
def test_an_administrator_key_that_is_none(run, content):
    error = failed(run("token", "rename", "x", "--admin-key-file", run.file("key", content), "--json"), 9, "InputError")
    assert not content or content not in error["message"]


def test_set_time(run):
    run.target.shift_clock(-90)
    done = run("token", "set-time", "--json").json
    assert done["before_ms"][0] == pytest.approx(-90_000, abs=1)
    low, high = done["residual_ms"]
    assert -0.01 < low <= 0 <= high < 0.01
    assert done["station_clock"]["disciplined"]
    assert "residual [" in run("token", "set-time").out


def test_set_time_clears_what_the_server_remembers(programmed):
    from uuid import UUID

    from provision.clock import FileClock
    from provision.servers.backend import Registration
    from provision.servers.embedded.backend import EmbeddedServer

    run = programmed
    path = run.folder / "server.db"
    clock = FileClock(run.clock)
    with EmbeddedServer.init(path, clock, run.target.random.randbytes) as server:
        for number, serial in enumerate(["HT-0001", "HT-0002"]):
            seed = Secret(bytes([number]) * 20)
            user, uuid = f"user{number}", UUID(int=number + 1)
            server.register(Registration(uuid, user, "desk", serial, seed, OtpParameters()))
            server.set_drift(server.list(user)[0].device_id, -3)
        arguments = ("token", "set-time", "--admin-key-file", run.key, "--server", f"embedded:{path}", "--json")
        assert len(run(*arguments).json["drift_cleared"]) == 1
        assert {device.serial: device.drift_steps for device in server.list()} == {"HT-0001": 0, "HT-0002": -3}


def test_code_and_verify(programmed):
    run = programmed
    seed = run.file("seed", SEED.reveal().hex())
    ended = run("token", "code", "vpn", "--pin-file", run.pin)
    now = float(run.clock.read_text())
    assert ended.out == code_at(SEED, OtpParameters(), int(now // 30)) + "\n"
    done = run("token", "verify", "vpn", "--pin-file", run.pin, "--seed-file", seed, "--json").json
    assert done["seed_compared"] is True
    assert abs(done["offset_ms"][0]) < 1
    text = run("token", "verify", "vpn", "--pin-file", run.pin).out
    assert "well formed" in text
    other = run.file("other", "ff" * 20)
    arguments = ("token", "verify", "vpn", "--pin-file", run.pin, "--json")
    failed(run(*arguments, "--seed-file", other), 9, "SeedSyntax")
    failed(run(*arguments, "--seed-file", other, "--seed-format", "hex"), 4, "CodeMismatch")
    run.target.shift_clock(-61)
    error = failed(run(*arguments, "--seed-file", seed), 4, "OutOfWindow")
    assert error["drift_steps"] == -2
    assert run(*arguments, "--tolerance-s", "90").exit_code == 0


def test_codes_of_the_other_kinds(run):
    session = run.target.session()
    session.authenticate(None)
    hotp = OtpParameters(OathType.HOTP, counter=5)
    session.put(NewCredential("host", SEED, own_clock=False, pin=False))
    session.put(NewCredential("count", SEED, hotp, pin=False))
    seed = run.file("seed", SEED.reveal().hex())
    for name in ("host", "count"):
        assert run("token", "verify", name, "--seed-file", seed, "--json").json["offset_ms"] is None
    assert run("token", "code", "count").out.strip() == code_at(SEED, hotp, 6)


def test_credentials(programmed):
    text = programmed("token", "credentials").out
    assert "vpn" in text
    assert "PIN" in text
    (listed,) = programmed("token", "credentials", "--json").json["credentials"]
    assert listed["name"] == "vpn"
    assert listed["parameters"]["algorithm"] == "SHA1"
    programmed.target.session()
    arguments = ("token", "delete", "vpn", "--admin-key-file", programmed.key, "--serial", "HT-0001")
    assert programmed(*arguments).exit_code == 0
    assert programmed("token", "credentials").out == "no credentials\n"


def test_rename(programmed):
    key = ("--admin-key-file", programmed.key)
    assert programmed("token", "rename", "Büro", *key, "--json").json["new"] == "Büro"
    assert programmed("info", "--json").json["label"] == "Büro"
    assert programmed("token", "rename", "--credential", "vpn", "mail", *key).exit_code == 0
    failed(programmed("token", "rename", "--credential", "vpn", "x", *key, "--json"), 4, "NoSuchCredential")
    failed(programmed("token", "rename", *key, "--json"), 2, "UsageError")
    failed(programmed("token", "rename", "x", "--credential", "a", "b", *key, "--json"), 2, "UsageError")


@pytest.mark.parametrize("command", [("delete", "vpn"), ("wipe",)])
@pytest.mark.parametrize("serial", [(), ("--serial", "HT-0002"), ("--serial", "ht-0001")])
def test_destruction_demands_the_exact_serial(programmed, command, serial):
    arguments = ("token", *command, *serial, "--admin-key-file", programmed.key, "--json")
    error = failed(programmed(*arguments), 2, "UsageError")
    assert "HT-0001" in error["message"]
    assert programmed("info", "--json").json["credentials_used"] == 1


def test_destruction_by_typing_the_serial(programmed, monkeypatch):
    monkeypatch.setattr("provision.cli.context.has_terminal", lambda: True)
    arguments = ("token", "wipe", "--admin-key-file", programmed.key, "--json")
    failed(programmed(*arguments, stdin="HT-0009\n"), 2, "UsageError")
    assert programmed(*arguments, stdin="HT-0001\n").exit_code == 0
    info = programmed("info", "--json").json
    assert (info["credentials_used"], info["factory_keys"]) == (0, True)


def test_nothing_of_that_name(programmed):
    for command in ("code", "verify", "delete"):
        failed(programmed("token", command, "nothing", "--json"), 4, "NoSuchCredential")


def test_the_log_shows_neither_pin_nor_code_nor_key(programmed):
    run = programmed
    ended = run("token", "code", "vpn", "--pin-file", run.pin, "-vv")
    assert "test:x > 00 B2 00 00 Lc=8 Le=-" in ended.err
    assert PIN not in ended.err
    assert ended.out.strip() not in ended.err
    ended = run("token", "rename", "x", "--admin-key-file", run.key, "-v")
    assert MASTER[:8] not in ended.err.lower()
    assert "test:x > 84 56 00 00" in ended.err


def test_a_secret_that_others_may_read(programmed):
    pin = programmed.file("open-pin", PIN, 0o644)
    ended = programmed("token", "code", "vpn", "--pin-file", pin)
    assert ended.exit_code == 0
    assert "warning" in ended.err
    assert "chmod 600" in ended.err


def test_json_is_one_object(programmed):
    ended = programmed("token", "credentials", "--json")
    assert len(ended.out.splitlines()) == 1
    json.loads(ended.out)
    assert ended.err == ""


@pytest.fixture
def ports(run, monkeypatch):
    """One token, and every other thing that can be found on a port."""
    from provision.errors import Busy, LinkError, PermissionDenied, RemoteProtocolError, TokenRefused
    from provision.links.link import LINKS, open_link

    reasons = {
        "busy": Busy("no"),
        "shut": PermissionDenied("no"),
        "modem": RemoteProtocolError("no"),
        "faulty": TokenRefused("no", status_word=0x6F00),
        "gone": LinkError("no"),
    }

    def open_address(rest, options):
        assert options.timeout_s < 1
        if rest in reasons:
            raise reasons[rest]
        return open_link("test:x", options)

    wire = SimpleNamespace(open_address=open_address)
    monkeypatch.setitem(sys.modules, "ports_of_the_test", wire)
    monkeypatch.setitem(LINKS, "port", "ports_of_the_test:open_address")
    monkeypatch.setitem(LINKS, "stranger", "ports_of_the_test:open_address")
    found = [
        Place("port:token", 0x1209, 0x0001, "hwtoken reference token", "HT-0001"),
        *(Place(f"port:{name}", chosen=True) for name in reasons),
        Place("stranger:gone", 0x0403, 0x6001, "FT232R USB UART", "A50285BI"),
    ]
    monkeypatch.setattr("provision.cli.listing.serial_ports", lambda folder: found)
    monkeypatch.setattr("provision.links.usb_places.usb_readers", lambda: run.usb)
    monkeypatch.setattr("provision.links.pcsc.readers", lambda: run.pcsc)
    run.found, run.usb, run.pcsc = found, [], []
    return run


def test_list_bears_with_whatever_sits_on_a_port(ports):
    everything = ports("list", "--all", "--json", token=False).json["tokens"]
    statuses = ["ready", "busy", "no permission", "foreign", "foreign", "silent", "silent"]
    assert [row["status"] for row in everything] == statuses
    assert everything[0]["serial"] == "HT-0001"
    assert [(row["family"], row["serial"]) for row in everything[1:]] == [(None, None)] * 6
    text = ports("list", token=False).out
    assert text.splitlines()[1].split() == ["port:token", "reference", "HT-0001", "-", "ready"]
    assert "port:gone" not in text


def test_list_leaves_other_peoples_devices_alone(ports):
    ports.found[:] = ports.found[-1:]
    ended = ports("list", token=False)
    assert ended.out == "no token found\n"
    assert "1 serial port of other devices not asked" in ended.err
    assert "not asked" not in ports("list", "--all", token=False).err


def test_list_names_a_token_that_does_not_answer(ports):
    place = ports.found[0]
    ports.found[:] = [
        dataclasses.replace(place, address=f"port:{why}", serial=f"of {why}") for why in ("gone", "busy", "shut")
    ]
    rows = ports("list", "--json", token=False).json["tokens"]
    assert [(row["family"], row["serial"], row["status"]) for row in rows] == [
        ("reference", "of gone", "silent"),
        ("reference", "of busy", "busy"),
        ("reference", "of shut", "no permission"),
    ]


def usb(serial, **more):
    return Place(f"usb:1209:0001/{serial}", 0x1209, 0x0001, "hwtoken reference token", serial, **more)


def reader(serial, name="hwtoken reference token"):
    full = f"{name} ({serial}) 00 00"
    return Place(f"pcsc:{full}", serial=serial, reader=full)


def test_list_shows_a_token_once(ports):
    ports.found[:] = ports.found[:1]
    ports.usb = [usb("HT-0001"), usb("HT-0002"), usb("HT-0003", openable=False)]
    ports.pcsc = [reader("HT-0001"), reader("HT-0003"), reader("7", name="Gem e-Seal Pro")]
    rows = ports("list", "--json", token=False).json["tokens"]
    assert [(row["address"], row["status"], row["also"]) for row in rows] == [
        ("port:token", "ready", ["usb:1209:0001/HT-0001", "pcsc:hwtoken reference token (HT-0001) 00 00"]),
        ("usb:1209:0001/HT-0002", "present", []),
        ("pcsc:hwtoken reference token (HT-0003) 00 00", "present", ["usb:1209:0001/HT-0003"]),
    ]
    assert [row["serial"] for row in rows] == ["HT-0001", "HT-0002", "HT-0003"]
    text = ports("list", token=False).out.splitlines()
    assert text[3].endswith("present; also usb:1209:0001/HT-0003")
    everything = ports("list", "--all", "--json", token=False).json["tokens"]
    assert everything[-1] == {
        "address": "pcsc:Gem e-Seal Pro (7) 00 00",
        "family": None,
        "serial": None,
        "label": None,
        "status": "present",
        "also": [],
    }


def test_two_tokens_of_one_serial_are_two(ports):
    ports.found[:] = [ports.found[0], dataclasses.replace(ports.found[0], address="port:busy")]
    ports.usb = [usb("HT-0001"), usb("HT-0001")]
    rows = ports("list", "--json", token=False).json["tokens"]
    assert [(row["address"], row["also"]) for row in rows] == [
        ("port:token", ["usb:1209:0001/HT-0001"]),
        ("usb:1209:0001/HT-0001", ["port:busy"]),
    ]


def test_a_token_does_not_steer_the_terminal(ports):
    ports.found.clear()
    ports.usb = [usb("\x1b[2Jgone\r\x9b"), usb("two\nlines")]
    text = ports("list", token=False).out
    assert r"\x1b[2Jgone\x0d\x9b" in text
    assert not set(text) & {"\x1b", "\r", "\x9b"}
    assert len(text.splitlines()) == 3, "nor does it forge a line of the table"
    rows = ports("list", "--json", token=False).json["tokens"]
    assert rows[0]["serial"] == "\x1b[2Jgone\r\x9b"


def test_list_of_nothing(ports):
    ports.found.clear()
    ended = ports("list", token=False)
    assert (ended.exit_code, ended.out) == (0, "no token found\n")
