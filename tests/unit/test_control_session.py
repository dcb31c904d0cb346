"""The control channel without a token: lines, secrets, durations, addresses. Whatever comes, the session lives."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.control.address import TcpAddress, UnixAddress, parse_address
from firmware_sim.control.durations import parse_duration
from firmware_sim.control.errors import ControlError
from firmware_sim.control.session import MAX_LINE, ControlSession


def echo(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("op") == "fail":
        raise ControlError("the thing failed", exit_code=6)
    return {"echo": request}


def replies(session: ControlSession, data: bytes) -> list[dict[str, Any]]:
    return [json.loads(reply) for reply in session.receive(data)]


@pytest.fixture
def session() -> ControlSession:
    return ControlSession(echo, None)


def test_a_request_a_line_a_reply_a_line(session: ControlSession) -> None:
    assert replies(session, b'{"op": "a"}\n\n{"op": "b"}\r\n{"op"') == [
        {"ok": True, "echo": {"op": "a"}},
        {"ok": True, "echo": {"op": "b"}},
    ]
    assert replies(session, b': "c"}\n') == [{"ok": True, "echo": {"op": "c"}}]


def test_an_error_carries_its_exit_code(session: ControlSession) -> None:
    assert replies(session, b'{"op": "fail"}\n') == [{"ok": False, "error": "the thing failed", "exit_code": 6}]


def test_a_lifeline_is_asked_for_in_these_words_only(session: ControlSession) -> None:
    assert replies(session, b'{"op": "stop", "when": "later"}\n')[0]["echo"] == {"op": "stop", "when": "later"}
    assert not session.is_lifeline
    assert replies(session, b'{"op": "stop", "when": "hang-up"}\n') == [{"ok": True}]
    assert session.is_lifeline


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (b"hello", "not JSON"),
        (b"[1]", "JSON object"),
        (b'{"op": "a"', "not JSON"),
        (b"\xff\xfe", "UTF-8"),
        (b"[" * 60_000, "too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b"x" * (MAX_LINE + 1), f"over {MAX_LINE} bytes"),
        (b"x" * (3 * MAX_LINE), f"over {MAX_LINE} bytes"),
    ],
)
def test_bad_lines_are_named_and_the_next_good_one_works(session: ControlSession, line: bytes, named: str) -> None:
    data = line + b'\n{"op": "good"}\n'
    got = [reply for start in range(0, len(data), 50_000) for reply in replies(session, data[start : start + 50_000])]
    assert len(got) == 2
    assert named in got[0]["error"]
    assert got[0]["exit_code"] == 2
    assert got[1] == {"ok": True, "echo": {"op": "good"}}


def test_an_error_repeats_nothing_of_the_line(session: ControlSession) -> None:
    (reply,) = session.receive(b'{"op": "type-pin", "pin": "27182818",,}\n')
    assert b"2718" not in reply


@given(st.lists(st.binary(max_size=80), max_size=20))
def test_noise_never_raises_and_is_answered_with_objects(chunks: list[bytes]) -> None:
    session = ControlSession(echo, None)
    for chunk in chunks:
        for reply in session.receive(chunk):
            assert json.loads(reply)["ok"] in (True, False)
    assert json.loads(session.receive(b'\n{"op": "good"}\n')[-1])["ok"] is True


class TestSecret:
    def test_nothing_is_done_before_it(self) -> None:
        done: list[object] = []
        session = ControlSession(lambda request: done.append(request) or {}, "5ec4e7")
        for wrong in (
            b'{"op": "press"}',
            b'{"secret": "no"}',
            b'{"secret": 5}',
            b'{"secret": "\\ud800"}',
            b'{"secret": "5ec4e7\xc3\xa9"}',
            b"5ec4e7",
        ):
            (reply,) = replies(session, wrong + b"\n")
            assert reply["ok"] is False
            assert "5ec4e7" not in reply["error"]
        assert not done
        assert replies(session, b'{"secret": "5ec4e7"}\n{"op": "press"}\n') == [{"ok": True}, {"ok": True}]
        assert done == [{"op": "press"}]


class TestDurations:
    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("0", "0"),
            ("90", "90"),
            ("1.5", "1.5"),
            ("90 s", "90"),
            ("2 days", "172800"),
            ("2d", "172800"),
            ("18 months", "47336400"),
            ("1 year", "31557600"),
            ("1 day, 2 hours and 3 min", "93780"),
            ("1 week 1 sec", "604801"),
            (" 0.25 HOURS ", "900"),
        ],
    )
    def test_words(self, text: str, seconds: str) -> None:
        assert parse_duration(text) == Decimal(seconds)

    @pytest.mark.parametrize(
        ("text", "named"),
        [
            ("", "not a duration"),
            ("months", "not a duration"),
            ("-3 days", "not a duration"),
            ("3 days ago", "not a duration"),
            ("5 parsecs", "'parsecs'"),
            ("201 years", "over 200 years"),
            ("1e400", "'e'"),
            ("nan", "not a duration"),
            ("٣ days", "not a duration"),
        ],
    )
    def test_what_is_none(self, text: str, named: str) -> None:
        with pytest.raises(ControlError, match=named):
            parse_duration(text)

    @given(st.text(max_size=30))
    def test_any_text_is_a_duration_or_an_error(self, text: str) -> None:
        with contextlib.suppress(ControlError):
            assert 0 <= parse_duration(text) <= 200 * 31_557_600


class TestAddresses:
    def test_there_and_back(self) -> None:
        for address in (UnixAddress(Path("/run/x/0.sock")), TcpAddress("127.0.0.1", 4000, Path("/run/x/a@b"))):
            assert parse_address(str(address)) == address

    @pytest.mark.parametrize(
        "text", ["", "unix:", "/run/x", "tcp:1", "tcp:127.0.0.1:0@/x", "tcp:h:99999@/x", "tcp:h:4@"]
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(ControlError, match="no control address"):
            parse_address(text)
