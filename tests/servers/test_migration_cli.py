"""The commands of the way from an older login, in the file and over HTTP; and the times that people type."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli import server_common, station_options, when
from provision.cli.main import main
from provision.clock import FileClock
from provision.errors import InputError, Rejected
from provision.model import Secret
from provision.otp import code_at
from provision.seeds.otpauth import parse_otpauth
from provision.servers.backend import USUAL, Registration, ServerBackend
from provision.servers.embedded.audit import Action
from provision.servers.embedded.backend import EmbeddedServer

START_S = 1_795_000_000  # 2026-11-18 12:06:40 in Vienna
CUTOVER_S = 1_799_967_600  # 2027-01-15 00:00 there
PEOPLE = ("anna", "ben", "carla", "dora")


@pytest.fixture(autouse=True)
def vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


class Desk:
    """Commands upon one server, whose clock is a file."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.clock = folder / "clock"
        self.clock.write_text(f"{START_S}\n")
        self.run("init")

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        there = ["--server", f"embedded:{self.folder / 'server.db'}", "--clock", f"file:{self.clock}"]
        code = main(["server", *arguments, *there])
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def run(self, *arguments: str) -> str:
        code, out, err = self(*arguments)
        assert code == 0, err
        return out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def wait_until(self, at_s: float) -> None:
        FileClock(self.clock).wait_until(at_s)

    def code(self, uri: Path) -> Path:
        """A file with what shows now."""
        told = parse_otpauth(uri.read_text())
        code = code_at(told.secret, told.parameters, told.parameters.step_at(FileClock(self.clock).now()))
        path = self.folder / "code"
        path.write_text(code)
        path.chmod(0o600)
        return path

    def enrol_and_prove(self, user: str, name: str = "phone") -> Path:
        uri = self.folder / f"{user}-{name}"
        uri.unlink(missing_ok=True)
        self.run("enrol", user, "--name", name, "--otpauth-out", str(uri))
        self.run("prove", name, "--user", user, "--code-file", str(self.code(uri)))
        return uri


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


@pytest.fixture
def nobody_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_common, "has_terminal", lambda: False)


# people


def test_people_come_from_arguments_and_files(desk: Desk) -> None:
    names = desk.folder / "names"
    names.write_bytes("\ufeffanna\r\n\r\n ben \nžofie\n".encode())
    assert desk.json("user", "add", "dora", "ben", "--from-file", str(names)) == {
        "added": ["dora", "ben", "anna", "žofie"],
        "known": [],
    }
    assert desk.run("user", "add", "dora", "emil") == "1 added, 1 known already\n"
    assert [one["user"] for one in desk.json("user", "list")["people"]] == ["anna", "ben", "dora", "emil", "žofie"]
    desk.run("enrol", "anna", "--name", "phone", "--otpauth-out", str(desk.folder / "annas"))
    desk.enrol_and_prove("ben")
    assert [one["devices"] for one in desk.json("user", "list")["people"]] == [0, 1, 0, 0, 0]  # what counts is proved
    assert desk.run("user", "remove", "emil") == "'emil' is forgotten\n"
    assert desk("user", "remove", "emil")[0] == 5


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"anna\n\xff\n", "line 2 of NAMES is not UTF-8"),
        (b"anna\n\nx\x01y\n", "line 3 of NAMES: the user holds the invisible character U+0001"),
        (b"a" * 65, "line 1 of NAMES: the user has 65 characters"),
        (b"\n" * (2**20 + 1), "is over 1048576 bytes"),
        (b"\n", "nobody is named"),
        (b"\n" * 2**20, "nobody is named"),
    ],
)
def test_a_file_of_people_that_cannot_be(desk: Desk, content: bytes, told: str) -> None:
    names = desk.folder / "NAMES"
    names.write_bytes(content)
    code, _, err = desk("user", "add", "--from-file", str(names))
    assert code in (2, 9)
    assert told in err.replace(str(names), "NAMES")
    assert desk.json("user", "list")["people"] == []


def test_one_name_that_cannot_be(desk: Desk) -> None:
    assert desk("user", "add", "anna", "b\ten")[0] == 9
    assert desk.run("user", "list") == "nobody\n"


def test_nobody_and_nothing(desk: Desk) -> None:
    assert desk("user", "add")[0] == 2
    assert desk("user", "add", "--from-file", str(desk.folder / "missing"))[0] == 9
    assert desk.run("user", "list") == "nobody\n"


# the whole way


def test_the_report_tells_who_would_be_locked_out(desk: Desk) -> None:
    desk.run("user", "add", *PEOPLE)
    assert desk.run("cutover") == "there is no old way\n"
    code, out, err = desk("cutover", "2027-01-15")
    assert (code, out) == (0, "the old way closes 2027-01-15 00:00 CET, in 57 days\n")
    assert "4 people without a working device would be locked out then" in err
    desk.enrol_and_prove("anna")
    desk.run("enrol", "ben", "--name", "tablet", "--otpauth-out", str(desk.folder / "bens"))
    desk.enrol_and_prove("carla")
    desk.run("disable", "phone", "--user", "carla")
    desk.run("fallback", "anna", "--until", "18:00")
    assert desk.run("report") == (
        "USER   DEVICES                NOW                                 ON 2027-01-15 00:00 CET\n"
        "anna   phone                  old way until 2026-11-18 18:00 CET  device\n"
        "ben    tablet (to be proved)  old way                             LOCKED OUT\n"
        "carla  phone (disabled)       LOCKED OUT                          LOCKED OUT\n"
        "dora   none                   old way                             LOCKED OUT\n"
        "\n"
        "the old way closes 2027-01-15 00:00 CET, in 57 days\n"
        "4 people: 2 with a device, 1 with one to prove, 3 by the old way, 1 locked out now, "
        "3 on 2027-01-15 00:00 CET\n"
    )
    before = desk.json("report", "--at", "2027-01-14")
    assert [one["way_then"] for one in before["people"]] == ["device", "old-way", "locked-out", "old-way"]
    assert desk.json("report")["counts"] == {
        "people": 4,
        "with_device": 2,
        "pending": 1,
        "old_way": 3,
        "locked_out": 1,
        "locked_out_then": 3,
    }
    desk.wait_until(CUTOVER_S)
    told = desk.json("report")
    assert [one["way"] for one in told["people"]] == ["device", "locked-out", "locked-out", "locked-out"]
    assert "the old way closed 2027-01-15 00:00 CET" in desk.run("report")
    code, _, err = desk("fallback", "anna", "--until", "2h")
    assert (code, "there is no old way to fall back to" in err) == (5, True)


def test_a_login_is_told_of_the_old_way(desk: Desk) -> None:
    desk.run("user", "add", "anna")
    desk.run("cutover", "3d")
    (desk.folder / "code").write_text("000000")
    code, out, _ = desk("check", "--user", "anna", "--code-file", str(desk.folder / "code"), "--json")
    error = json.loads(out)["error"]
    assert (code, error["type"], error["until_s"]) == (4, "Fallback", START_S + 3 * 86_400)


def test_the_old_way_is_closed_at_once_only_if_that_is_meant(desk: Desk, nobody_to_ask: None) -> None:
    desk.run("cutover", "2027-01-15")
    assert desk.run("cutover", "none") == "the old way is closed\n"  # nobody was on it
    desk.run("user", "add", "anna")
    desk.run("cutover", "2027-01-15")
    code, _, err = desk("cutover", "none")
    assert (code, "This locks 1 person out at once" in err) == (2, True)
    assert desk.json("cutover")["cutover_s"] == CUTOVER_S
    assert desk.json("cutover", "none", "--yes") == {"cutover_s": None, "locked_out_then": ["anna"]}
    desk.run("cutover", "2027-01-15")
    desk.run("enrol", "anna", "--name", "phone", "--otpauth-out", str(desk.folder / "annas"))
    code, _, err = desk("cutover", "none")
    assert (code, "This locks 1 person out at once" in err) == (2, True)  # a device that is not proved is no way in
    desk.run("prove", "phone", "--user", "anna", "--code-file", str(desk.code(desk.folder / "annas")))
    desk.run("fallback", "anna", "--until", "18:00")
    desk.run("cutover", "none")  # whoever is on it has another way


def test_a_fallback_has_an_end(desk: Desk) -> None:
    desk.enrol_and_prove("anna")
    desk.run("cutover", "2h")
    assert desk("fallback", "anna")[0] == 2
    assert desk("fallback", "anna", "--until", "18:00", "--end")[0] == 2
    assert desk("fallback", "nobody", "--until", "18:00")[0] == 5
    told = desk.run("fallback", "anna", "--until", "18:00")
    assert told == "'anna' is sent to the old way until 2026-11-18 14:06 CET, when it closes\n"
    assert "2026-11-18 14:06 CET" in desk.run("user", "list")
    assert desk.run("fallback", "anna", "--end") == "'anna' is not sent to the old way any more\n"
    code, _, err = desk("fallback", "anna", "--until", "06:00")
    assert (code, "2026-11-18 06:00 CET is past: it is 2026-11-18 12:06 CET now" in err) == (9, True)
    assert desk("fallback", "anna", "--until", "8d")[0] == 9


def test_the_last_device_goes_back_to_the_old_way(desk: Desk, nobody_to_ask: None) -> None:
    desk.enrol_and_prove("anna")
    desk.enrol_and_prove("anna", "tablet")
    desk.run("cutover", "2027-01-15")
    assert desk.run("delete", "tablet", "--user", "anna") == "'tablet' is deleted\n"
    code, _, err = desk("delete", "phone", "--user", "anna")
    assert code == 2
    assert "'phone' is anna's last device: without it they log in by the old way, until it closes 2027-01-15" in err
    told = desk.run("delete", "phone", "--user", "anna", "--yes")
    assert told == "'phone' is deleted; anna logs in by the old way again, until 2027-01-15 00:00 CET\n"
    desk.wait_until(CUTOVER_S)
    desk.enrol_and_prove("anna")
    assert desk.run("delete", "phone", "--user", "anna") == "'phone' is deleted; anna has no way in now\n"


def test_whoever_can_be_asked_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.enrol_and_prove("anna")
    desk.run("cutover", "2027-01-15")
    monkeypatch.setattr(server_common, "has_terminal", lambda: True)
    for answer, exit_code in (("n\n", 130), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert desk("delete", "phone", "--user", "anna")[0] == exit_code


def test_ones_own_last_device_after_the_cut_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, nobody_to_ask: None
) -> None:
    """As over HTTP by an API token of one's own: the server wants to hear that it is meant."""
    desk.enrol_and_prove("anna")
    open_file = station_options.open_server

    @contextlib.contextmanager
    def as_anna(*arguments: Any) -> Iterator[ServerBackend]:
        with open_file(*arguments) as server:
            assert isinstance(server, EmbeddedServer)
            with server.acting_as("anna's", own_only="anna"):
                yield server

    monkeypatch.setattr(server_common, "open_server", as_anna)
    code, _, err = desk("delete", "phone", "--user", "anna", "--yes")
    assert (code, "'phone' is your last way in: you will be locked out" in err) == (2, True)
    assert "--even-if-locked-out" in err
    monkeypatch.setattr(server_common, "has_terminal", lambda: True)
    for answer, exit_code in (("n\n", 130), ("y\n", 0)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert desk("delete", "phone", "--user", "anna")[0] == exit_code
    desk.enrol_and_prove("anna")
    with monkeypatch.context() as meanwhile:  # somebody else was faster
        gone = Rejected("there is no device", code="unknown-device")
        meanwhile.setattr(EmbeddedServer, "delete", lambda *_, **__: (_ for _ in ()).throw(gone))
        code, _, err = desk("delete", "phone", "--user", "anna")
    assert (code, "there is no device" in err) == (5, True)
    assert "anna has no way in now" in desk.run("delete", "phone", "--user", "anna", "--even-if-locked-out")


# enrolling


def test_the_seed_goes_where_it_was_asked_for_and_nowhere_else(desk: Desk) -> None:
    uri = desk.folder / "uri"
    for arguments in ((), ("--qr", "--json"), ("--qr", "--otpauth-out", "-")):
        assert desk("enrol", "anna", "--name", "phone", *arguments)[0] == 2
    code, out, err = desk("enrol", "anna", "--name", "phone", "--otpauth-out", str(uri))
    secret = uri.read_text().partition("secret=")[2].partition("&")[0]
    assert (code, uri.stat().st_mode & 0o777) == (0, 0o600)
    assert secret not in out + err
    assert "prove it by a code before 2026-11-19 12:06 CET: `provision server prove 'phone' --user anna`" in err
    assert desk("enrol", "anna", "--name", "other", "--otpauth-out", str(uri))[0] == 9  # it is there already
    assert [device["name"] for device in desk.json("list")["devices"]] == ["phone"]  # nobody had the other's seed
    assert parse_otpauth(desk.run("enrol", "anna", "--name", "tablet", "--otpauth-out", "-")).account == "anna"
    assert "pending" in desk.run("list")


def test_a_name_that_means_two_devices_means_none(desk: Desk) -> None:
    """A device may be called as another one's serial says."""
    desk.enrol_and_prove("anna", "40123")
    with EmbeddedServer(desk.folder / "server.db", FileClock(desk.clock), os.urandom) as server:
        server.register(Registration(UUID(int=1), "anna", "key ring", "40123", Secret(bytes(20)), USUAL))
    code, _, err = desk("disable", "40123", "--user", "anna")
    assert (code, "the server has 2 devices '40123'" in err) == (9, True)
    assert [device["disabled"] for device in desk.json("list")["devices"]] == [False, False]


def test_a_seed_that_was_not_registered_leaves_no_file(desk: Desk) -> None:
    desk.enrol_and_prove("anna")
    uri = desk.folder / "uri"
    assert desk("register", "--user", "anna", "--name", "Phone", "--otpauth-out", str(uri))[0] == 5
    assert not uri.exists()


def test_a_device_that_is_not_there_is_told_as_it_was_asked_for(desk: Desk) -> None:
    code, _, told = desk("delete", "fone", "--yes")
    assert (code, "a friendly name needs --user" in told) == (9, True)
    code, _, told = desk("delete", "fone", "--user", "anna", "--yes")
    assert (code, "no device 'fone' of 'anna'" in told, "needs --user" in told) == (9, True, False)


def test_a_qr_code_is_the_uri(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    import segno

    drawn = []
    make = segno.make
    monkeypatch.setattr(segno, "make", lambda text, **more: drawn.append(text) or make(text, **more))
    uri = desk.folder / "uri"
    told = desk.run("enrol", "anna", "--name", "phone", "--qr", "--otpauth-out", str(uri))
    assert drawn == [uri.read_text().strip()]
    assert "▀" in told


def test_without_the_extra_no_qr_code_and_no_device(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segno", None)
    code, _, err = desk("enrol", "anna", "--name", "phone", "--qr")
    assert (code, f"hint: {sys.executable} -m pip install 'hwtoken[server]'" in err) == (2, True)
    assert desk.json("list")["devices"] == []


def test_every_act_is_on_record(desk: Desk) -> None:
    desk.run("user", "add", "ben")
    desk.enrol_and_prove("anna")
    desk.run("cutover", "2027-01-15")
    desk.run("fallback", "anna", "--until", "18:00")
    desk.run("user", "remove", "ben")
    with EmbeddedServer(desk.folder / "server.db", FileClock(desk.clock), lambda n: bytes(n)) as server:
        told = [entry.action for entry in server.audit()]
    assert told == [
        Action.ADD_PERSON,
        Action.ENROL,
        Action.PROVE,
        Action.SET_CUTOVER,
        Action.SET_FALLBACK,
        Action.REMOVE_PERSON,
    ]


# times


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("18:00", "2026-11-18 18:00 CET"),
        ("13:05", "2026-11-18 13:05 CET"),
        ("2027-01-15", "2027-01-15 00:00 CET"),
        ("2027-07-15", "2027-07-15 00:00 CEST"),
        ("2027-01-15T18:00", "2027-01-15 18:00 CET"),
        ("2027-01-15 18:00", "2027-01-15 18:00 CET"),
        ("2027-01-15T18:00Z", "2027-01-15 19:00 CET"),
        ("2027-01-15T18:00-05:00", "2027-01-16 00:00 CET"),
        ("90min", "2026-11-18 13:36 CET"),
        ("8h", "2026-11-18 20:06 CET"),
        ("3 d", "2026-11-21 12:06 CET"),
    ],
)
def test_what_is_meant(text: str, meant: str) -> None:
    assert when.shown(when.moment(text, START_S)) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("12:06", "2026-11-18 12:06 CET is past: it is 2026-11-18 12:06 CET now (name the date too"),
        ("2026-11-18", "2026-11-18 00:00 CET is past: it is 2026-11-18 12:06 CET now (name a time that is to come"),
        ("0h", "is past"),
        ("2027-03-28T02:30", "give the offset"),  # that hour is not
        ("2027-10-31T02:30", "2027-10-31T02:30+02:00 or 2027-10-31T02:30+01:00"),  # that one comes twice
        ("tomorrow", "is no time"),
        ("25:00", "is no time"),
        ("", "is no time"),
        ("99999999h", "is no time"),
        ("0001-01-01", "is"),
        ("٣h", "is no time"),
    ],
)
def test_what_is_no_time_to_come(text: str, told: str) -> None:
    with pytest.raises(InputError) as refusal:
        when.moment(text, START_S)
    assert told in str(refusal.value)


@given(st.text() | st.from_regex(r"[0-9T:+\-dhm ]{1,25}", fullmatch=True))
def test_any_text_is_a_moment_to_come_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        assert when.moment(text, START_S) > START_S


def test_how_long() -> None:
    assert [when.span(s) for s in (5, 150, 5400, 8000, 200_000)] == [
        "5 seconds",
        "2 minutes",
        "90 minutes",
        "2 hours",
        "2 days",
    ]
