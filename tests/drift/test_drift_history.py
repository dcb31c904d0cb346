"""Past logins: from the embedded server's own history and from CSV, to documents that say the same."""

from __future__ import annotations

import contextlib
import json
import random
from fractions import Fraction
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli.main import main
from provision.clock import ManualClock
from provision.drift import document
from provision.drift.history import Allowance, document_of, from_csv
from provision.errors import CodeMismatch, InputError
from provision.model import OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import HistoryEntry, Registration
from provision.servers.embedded.backend import EmbeddedServer
from tests.drift.strategies import TREF, fractions

EXACT = Allowance(Fraction(0), Fraction(0), Fraction(0))
SEED, OTHER = Secret(b"12345678901234567890"), Secret(b"a quite different secret")
TOTP = OtpParameters()


@pytest.fixture
def address(tmp_path):
    """A server with two tokens: SN1, 40 s fast, logs in three times; SN2's clock is set after its first login."""
    clock = ManualClock(TREF + 7.25)
    path = tmp_path / "server.db"
    with EmbeddedServer.init(path, clock, random.Random(1).randbytes) as server:
        for number, (user, secret) in enumerate((("alice", SEED), ("bob", OTHER)), 1):
            server.register(Registration(UUID(int=number), user, "desk", f"SN{number}", secret, TOTP))
        for offset_s in (40, 41, 42):
            server.check("alice", code_at(SEED, TOTP, TOTP.step_at(clock.now() + offset_s)))
            with pytest.raises(CodeMismatch):
                server.check("alice", code_at(SEED, TOTP, TOTP.step_at(clock.now() + 9000)))
            clock.advance(86_400.5)
        server.check("bob", code_at(OTHER, TOTP, TOTP.step_at(clock.now() + 30)))
        server.set_drift(str(UUID(int=2)), 0)
        clock.advance(86_400)
        server.check("bob", code_at(OTHER, TOTP, TOTP.step_at(clock.now())))
        hotp = OtpParameters(OathType.HOTP)
        server.register(Registration(UUID(int=3), "carol", "app", None, Secret(b"3" * 20), hotp))
        server.check("carol", code_at(Secret(b"3" * 20), hotp, 0))
        server.register(Registration(UUID(int=4), "dave", "new", "SN4", Secret(b"4" * 20), TOTP))
    return f"embedded:{path}"


def imported(capsys, *arguments: str) -> list[dict]:
    assert main(["drift", "import", *arguments]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_servers_history(address: str) -> None:
    with EmbeddedServer(Path(address.partition(":")[2]), ManualClock(TREF), random.Random(1).randbytes) as server:
        everything = list(server.history())
        one, other, third = (str(UUID(int=number)) for number in (1, 2, 3))
        assert [entry.device_id for entry in everything] == [one] * 3 + [other] * 3 + [third]
        assert everything[0] == HistoryEntry(one, TREF + 7.25, TOTP.step_at(TREF + 7.25 + 40))
        assert [entry.step is None for entry in everything[3:6]] == [False, True, False]
        assert list(server.history(other)) == everything[3:6]
        assert list(server.history("nobody")) == []
        assert len(server.list()) == 4  # the history has been read, and others are served again


def test_of_all_tokens_a_line_each(address: str, capsys) -> None:
    first, second = imported(capsys, "--server", address)
    assert (first["serial"], first["user"], first["shift_s"]) == ("SN1", "alice", 30)
    seen = first["document"]["observations"]
    assert len(seen) == 3
    assert seen[0] == {
        "t": "7068902429/4",
        "step": TOTP.step_at(TREF + 47),
        "delay_s": 45,
        "server_error_s": "1001/1000",
    }
    assert len(second["document"]["observations"]) == 1  # what it showed before its clock was set is left out
    found = document.of_json(first["document"])
    assert (found.model.wander_s, found.model.tref_s, found.last_code is None) == (6, TREF + 7, False)


def test_of_one_token_what_estimate_reads(address: str, capsys, tmp_path) -> None:
    (found,) = imported(
        capsys, "--server", address, "SN1", "--delay-s", "0", "--server-error-s", "0", "--wander-s", "0"
    )
    assert imported(capsys, "--server", address, "alice", "--delay-s=0", "--server-error-s=0", "--wander-s=0") == [
        found
    ]
    file = tmp_path / "alice.json"
    file.write_text(json.dumps(found), "utf-8")
    assert main(["drift", "estimate", "--input", str(file), "--json"]) == 0
    low, high = map(Fraction, json.loads(capsys.readouterr().out)["offset_s"])
    assert low <= 40 <= high
    assert high - low < 60


def test_a_token_without_logins_is_none(address: str, capsys) -> None:
    assert main(["drift", "import", "--server", address, "SN4"]) == 9
    assert "no tokens with logins" in capsys.readouterr().err


def test_csv(tmp_path, capsys) -> None:
    file = tmp_path / "logins.csv"
    file.write_text(
        "serial,time,drift_steps,box\r\n"
        f"SN1,{TREF},-2,7\r\n"
        "SN1,2026-01-02T00:00:10Z,-3,\r\n"
        "SN2,2026-01-02 00:00:10+01:00,0,8\r\n",
        "utf-8-sig",
    )
    first, second = imported(capsys, "--csv", str(file), "--delay-s", "1/2")
    assert (first["serial"], first["box"], second["box"]) == ("SN1", "7", "8")
    step = TREF // 30
    seen = first["document"]["observations"]
    assert [one["step"] for one in seen] == [step - 2, step + 2880 - 3]
    assert seen[1] == {"t": TREF + 86_410, "step": step + 2877, "delay_s": "1/2", "server_error_s": 1}
    assert second["document"]["observations"][0]["t"] == TREF + 86_410 - 3600
    assert imported(capsys, "--csv", str(file), "SN2", "--delay-s", "1/2") == [second["document"]]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "has to name serial, time"),
        ("serial,time\nSN1,5\n", "has to name serial, time"),
        ("serial,time,step\nSN1,5\n", "line 2 has more or fewer"),
        ("serial,time,step\nSN1,5,6,7\n", "line 2 has more or fewer"),
        ("serial,time,step\nSN1,soon,6\n", "line 2: time is no number"),
        ("serial,time,step\nSN1,5,1.5\n", "line 2: step is a whole"),
        ("serial,time,step\nSN1,5,\n", "line 2: drift_steps is no number"),
        ("serial,time,step\nSN1,5,1\nSN2,5,1\nSN1,5,1\n", "do not stand together"),
        ('serial,time,step\n"SN1,5,1\n' + "x" * 200_000, "is no CSV"),
    ],
)
def test_bad_csv_is_named(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        list(from_csv(text.splitlines(keepends=True), 30, EXACT))


_cells = st.sampled_from(["SN1", "5", "-1", "2026-01-01", "9999-12-31T23:59:59-23:59", "1e99", "1/0", "", '"', "x,y"])


@given(st.lists(st.lists(_cells | st.text(max_size=9), min_size=1, max_size=5).map(",".join), max_size=5))
def test_any_csv_is_read_or_refused(rows: list[str]) -> None:
    for head in ("serial,time,step", "serial,time,drift_steps,box"):
        with contextlib.suppress(InputError):
            for token in from_csv([f"{row}\n" for row in (head, *rows)], 30, EXACT):
                document.of_json(token["document"])


@given(st.lists(st.tuples(fractions(TREF, TREF + 10**7, 6), st.integers(0, 10**9)), min_size=1, max_size=5))
def test_cut_to_milliseconds_it_still_holds(logins: list[tuple[Fraction, int]]) -> None:
    """What is cut off a time is added to its error: the observation contains the exact one."""
    exact = [(t - t % 1, step) for t, step in logins]
    read = document.of_json(document_of(logins, 30, 0, EXACT)).observations
    for seen, (received_s, step) in zip(read, logins, strict=True):
        assert seen.a <= received_s <= seen.b
        assert (seen.lo, seen.hi) == (step * 30, step * 30 + 30)
        assert seen.b - seen.a <= Fraction(2, 1000)
    read = document.of_json(document_of(exact, 30, 0, EXACT)).observations
    assert [(seen.a, seen.b) for seen in read] == [(received_s, received_s) for received_s, _ in exact]


@pytest.mark.parametrize("arguments", [(), ("--server", "embedded:x", "--csv", "y")])
def test_one_source(arguments: tuple[str, ...], capsys) -> None:
    assert main(["drift", "import", *arguments]) == 2
    assert "from where" in capsys.readouterr().err
