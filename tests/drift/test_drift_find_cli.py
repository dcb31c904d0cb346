"""`provision drift find-clock`: the contract with other people's scripts, what a person reads, and what is refused."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from provision.cli.main import main
from provision.drift import fastest
from provision.drift.search_numpy import scan_with_numpy
from provision.model import OtpParameters, Secret
from provision.otp import code_at

AT = 1_767_225_600  # 2026-01-01 UTC
SEED = bytes.fromhex("3f0a91c45be27d8816f3a0c90e5512b7d46a8c31")
USUAL = OtpParameters()


def codes(unix_s: int, key: bytes = SEED, parameters: OtpParameters = USUAL, count: int = 2) -> str:
    step = parameters.step_at(unix_s)
    return "\n".join(code_at(Secret(key), parameters, step + n) for n in range(count)) + "\n"


@pytest.fixture
def find_clock(tmp_path, monkeypatch, capsys):
    """`provision drift find-clock` of SEED, the codes on standard input; its exit code and what it prints."""
    seed_file = tmp_path / "seed"
    seed_file.touch(0o600)
    seed_file.write_text(SEED.hex())
    monkeypatch.setattr(fastest, "scan_fastest", scan_with_numpy)  # compiling takes longer than these searches

    def run(typed: str, *options: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
        code = main(["drift", "find-clock", "--seed-file", str(seed_file), "--codes", "-", *options])
        captured = capsys.readouterr()
        for secret in (SEED.hex(), *typed.split()):
            assert secret not in captured.out + captured.err
        return code, captured.out + captured.err

    return run


@pytest.fixture
def found(find_clock):
    """The JSON that it prints."""

    def run(typed: str, *options: str, code: int = 0) -> dict[str, Any]:
        done, out = find_clock(typed, *options, "--json")
        assert done == code
        result: dict[str, Any] = json.loads(out)
        return result

    return run


@pytest.mark.parametrize("at", [str(AT), "2026-01-01T00:00:00Z", "2026-01-01"])
def test_the_contract(found, at: str) -> None:
    result = found(codes(AT + 7215), "--at", at)
    assert set(result) == {"candidates", "seed_mistakes"} and result["seed_mistakes"] == []
    [candidate] = result["candidates"]
    assert 0 < candidate.pop("odds") < 1e-9
    assert candidate == {"unix": AT + 7200, "offset_s": 7200, "reason": "time-zone"}


def test_codes_as_people_copy_them(found) -> None:
    first, second = codes(AT).split()
    for typed in (
        f"{first} {second}",
        f"{first[:3]} {first[3:]}\n\n{second[:3]} {second[3:]}\n",
        f"{first}\r\n{second}",
    ):
        assert found(typed, "--at", str(AT))["candidates"][0]["unix"] == AT


def test_without_a_time_the_last_code_is_of_now(found, tmp_path) -> None:
    clock = tmp_path / "clock"
    clock.write_text(str(AT + 60))
    result = found(codes(AT, count=3), "--clock", f"file:{clock}")
    assert [(one["unix"], one["offset_s"]) for one in result["candidates"]] == [(AT, 0)]


def test_the_date_of_birth_names_a_clock_that_stood_still(found) -> None:
    hours = OtpParameters(time_step_s=3600)
    options = ("--time-step", "3600", "--at", str(AT))
    [candidate] = found(codes(1_650_000_000, parameters=hours), *options, "--born", "2020-09-13")["candidates"]
    assert candidate["reason"] == "stopped"
    [candidate] = found(codes(1_650_000_000, parameters=hours), *options, "--born", "2022-12-01")["candidates"]
    assert candidate["reason"] == "elsewhere"


def test_a_mistaken_seed_is_told_instead(found, find_clock) -> None:
    typed = codes(AT - 30, key=SEED.hex().encode())
    result = found(typed, "--at", str(AT))
    assert result["candidates"] == []
    [mistake] = result["seed_mistakes"]
    assert set(mistake) == {"name", "what", "unix", "offset_s", "odds"}
    assert (mistake["name"], mistake["unix"], mistake["offset_s"]) == ("hex-as-text", AT - 30, -30)
    code, out = find_clock(typed, "--at", str(AT))
    assert code == 0 and "letters of the right one in hex" in out and "behind (-30 s)" in out


def test_no_clock_at_all(found, find_clock) -> None:
    options = ("--time-step", "3600", "--at", str(AT))
    assert found("123456\n654321\n", *options, code=4) == {"candidates": [], "seed_mistakes": []}
    code, out = find_clock("123456\n654321\n", *options)
    assert code == 4 and "no clock from 1970 to 2106" in out


def test_everywhere_goes_on_and_finds_the_same(found) -> None:
    hours = OtpParameters(time_step_s=3600, digits=8)
    result = found(codes(AT, parameters=hours), "--time-step", "3600", "--at", str(AT), "--everywhere")
    assert [one["unix"] for one in result["candidates"]] == [AT]


def test_for_a_person(find_clock) -> None:
    code, out = find_clock(codes(946_684_800 + 90_000), "--at", str(AT))
    assert code == 0
    assert "2000-01-02T01:00:00Z, 9495 d 23 h behind (-820450800 s): it began anew at 2000-01-01" in out
    assert "by mere chance: 1 in 1,7" in out


@pytest.mark.parametrize(
    ("typed", "code"),
    [("", 9), ("123456\n", 9), ("123456\n1234567\n", 9), ("12345\n12345\n", 9), ("123456\nabcdef\n", 9)],
)
def test_what_are_no_codes(find_clock, typed: str, code: int) -> None:
    assert find_clock(typed, "--at", str(AT))[0] == code


@pytest.mark.parametrize("at", ["-1", "4294967296", "tomorrow", "1e30"])
def test_a_time_that_cannot_be(find_clock, at: str) -> None:
    assert find_clock(codes(AT), "--at", at)[0] == 9


def test_standard_input_is_given_away_once(find_clock) -> None:
    assert find_clock(SEED.hex(), "--seed-file", "-")[0] == 2


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_for_who_sees_it(find_clock, monkeypatch, terminal: bool) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    stream = Stream()
    monkeypatch.setattr("sys.stderr", stream)
    assert find_clock(codes(AT + 3 * 86_400), "--at", str(AT))[0] == 0
    assert ("1970 to 2106" in stream.getvalue()) == terminal
