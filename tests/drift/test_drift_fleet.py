"""Fleets: the order, the histogram, and batches that share a fault told from those that only seem to."""

from __future__ import annotations

import contextlib
import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli.drift_fleet import assessed
from provision.cli.main import main
from provision.drift.fleet import Token, _tail, assess, batches, by_urgency, histogram
from provision.drift.moments import iso_or_none
from provision.drift.outlook import Server
from provision.drift.profiles import PROFILES
from provision.errors import InputError, ProvisionError
from tests.drift.strategies import TREF

KEYCLOAK = Server(PROFILES["keycloak"])
WEEK_S = 7 * 86_400
YEAR_LATER = Fraction(TREF + 31_557_600)


def line(number: int, rate_ppm: float, *, offset_s: float = 0, logins: int = 20, jump_s: int = 0, **labels: str) -> str:
    """A token whose owner logs in once a week at odd moments; after half of the logins its clock jumps."""
    rng = random.Random(number)
    seen = []
    for week in range(logins):
        t = TREF + week * WEEK_S + rng.randrange(WEEK_S)
        device_s = t + offset_s + rate_ppm * (t - TREF) / 1e6 + (jump_s if week >= logins / 2 else 0)
        seen.append({"t": t, "step": int(device_s // 30)})
    return json.dumps({"serial": f"SN{number}", **labels, "document": {"observations": seen}})


def fleet(count: int, **at_fault: Any) -> list[Token]:
    """Ten tokens a box, two boxes a month; those in box 3 are as `at_fault` says."""
    rng = random.Random(7)
    tokens = []
    for number in range(count):
        labels = {"box": str(number // 10), "made": f"2025-{1 + number // 20:02}"}
        changes = at_fault if number // 10 == 3 else {}
        tokens.append(
            assess(line(number, **({"rate_ppm": rng.gauss(-2, 1)} | changes), **labels), KEYCLOAK, YEAR_LATER)
        )
    return tokens


@pytest.mark.parametrize(
    ("at_fault", "fault"),
    [
        ({"rate_ppm": -30}, "slow"),
        ({"rate_ppm": 25}, "fast"),
        ({"offset_s": 3604}, "daylight-saving"),
        ({"offset_s": -5 * 3600}, "time-zone"),
        ({"jump_s": 3600}, "daylight-saving"),
    ],
)
def test_a_bad_box_is_named_and_nothing_else(at_fault: dict[str, Any], fault: str) -> None:
    (found,) = batches(fleet(100, **at_fault))
    assert (found.label, found.value, found.fault, found.count, found.size) == ("box", "3", fault, 10, 10)
    assert found.elsewhere == 0
    assert found.chance < 1e-9


def test_no_box_of_a_healthy_fleet_is_named() -> None:
    assert batches(fleet(100)) == []


def test_scattered_faults_are_no_batch() -> None:
    """One in ten is set to another zone, one in each box."""
    tokens = [
        assess(line(n, -2, offset_s=7200 if n % 10 == 0 else 0, box=str(n // 10)), KEYCLOAK, YEAR_LATER)
        for n in range(100)
    ]
    assert sum("time-zone" in token.causes for token in tokens) == 10
    assert batches(tokens) == []


def test_the_order_is_that_of_the_first_failure() -> None:
    tokens = [assess(line(n, rate), KEYCLOAK, YEAR_LATER) for n, rate in enumerate((-1, -30, 0.001, -10))]
    ordered = by_urgency(tokens)
    assert [token.serial for token in ordered[:2]] == ["SN1", "SN3"]
    dates = [token.first_s for token in ordered]
    assert dates == sorted(dates, key=lambda unix_s: (unix_s is None, unix_s))


@given(st.lists(st.floats(-60, 40), max_size=30), st.floats(0.1, 10))
def test_every_rate_is_in_one_bar(rates: list[float], width: float) -> None:
    tokens = [Token(str(n), (None, None), None, None, None, (r, r, r), 0.0, ()) for n, r in enumerate(rates)]
    bars = histogram(tokens, width)
    assert sum(count for _, count in bars) == len(rates)
    for rate in rates:
        assert any(low - 1e-9 <= rate <= low + width + 1e-9 and count for low, count in bars)


@given(st.integers(1, 40), st.data())
def test_the_tail_is_that_of_drawing_without_putting_back(population: int, data: st.DataObject) -> None:
    faulty = data.draw(st.integers(0, population))
    size = data.draw(st.integers(0, population))
    assert _tail(population, faulty, size, 0) == pytest.approx(1)
    count = data.draw(st.integers(0, size))
    # Drawn one by one instead: the distribution of the number of faulty ones after each draw.
    chances = {0: Fraction(1)}
    for drawn in range(size):
        following: dict[int, Fraction] = {}
        for so_far, chance in chances.items():
            hit = Fraction(faulty - so_far, population - drawn)
            following[so_far + 1] = following.get(so_far + 1, Fraction(0)) + chance * hit
            following[so_far] = following.get(so_far, Fraction(0)) + chance * (1 - hit)
        chances = following
    exact = sum(chance for so_far, chance in chances.items() if so_far >= count)
    assert _tail(population, faulty, size, count) == pytest.approx(float(exact), abs=1e-9)


def test_processes_change_nothing() -> None:
    lines = [line(n, -n / 10, logins=3) for n in range(450)]
    assert list(assessed(lines, KEYCLOAK, YEAR_LATER, 2)) == list(assessed(lines, KEYCLOAK, YEAR_LATER, 1))


def test_lines_are_taken_as_they_are_needed() -> None:
    """The memory stays flat because nobody reads ahead: the lines are not a list."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield line(1, 0, logins=1)

    tokens = assessed(endless(), KEYCLOAK, YEAR_LATER, 1)
    for _ in range(10):
        next(tokens)
    assert taken <= 400


def test_a_clock_that_jumped_is_judged_by_what_it_showed_since() -> None:
    token = assess(line(1, -2, jump_s=3600, logins=30), KEYCLOAK, YEAR_LATER)
    assert token.causes == ("daylight-saving",)
    assert token.offset_s == pytest.approx(3600, abs=40)
    assert token.total_s is not None


def test_what_the_server_remembers_counts() -> None:
    told = json.loads(line(1, 0, offset_s=3600)) | {"shift_s": 3600}
    assert (
        assess(json.dumps(told), Server(PROFILES["embedded"]), YEAR_LATER).first_s
        != assess(json.dumps(told | {"shift_s": 0}), Server(PROFILES["embedded"]), YEAR_LATER).first_s
    )


def test_no_logins_no_judgement() -> None:
    token = assess('{"serial": "SN1", "document": {"observations": []}}', KEYCLOAK, YEAR_LATER)
    assert (token.first_s, token.rates_ppm, token.causes) == (None, None, ("no-observations",))


def test_the_command(tmp_path, capsys) -> None:
    file = tmp_path / "fleet.jsonl"
    lines = [line(n, -30 if n // 10 == 3 else -2, box=str(n // 10)) for n in range(60)]
    file.write_text("\n".join([*lines, "", ""]), "utf-8")
    arguments = [
        "drift",
        "fleet",
        "--input",
        str(file),
        "--server-profile",
        "keycloak",
        "--processes",
        "1",
        "--at",
        "2026-06-01",
    ]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["count"] == len(result["tokens"]) == 60
    assert {token["box"] for token in result["tokens"][:10]} == {"3"}
    (batch,) = result["batches"]
    assert (batch["label"], batch["value"], batch["fault"], batch["count"]) == ("box", "3", "slow", 10)
    assert sum(bar["count"] for bar in result["rates"]) == 60
    assert main([*arguments, "--top", "3"]) == 0
    text = capsys.readouterr().out
    assert "60 tokens; listed: 3, those that may fail first\n" in text
    assert "box 3: 10 of 10 are slow, elsewhere 0.0%" in text
    assert text.count("SN") == 3
    assert "####" in text


@pytest.mark.parametrize("command", [["fleet", "--input"], ["plot", "--fleet"]])
def test_a_fleet_of_one(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    file = tmp_path / "fleet.jsonl"
    file.write_text(line(1, 0) + "\n", "utf-8")
    assert main(["drift", *command, str(file), "--server-profile", "keycloak", "--at", "2026-06-01"]) == 0
    text = capsys.readouterr().out
    assert "1 token\n" in text
    assert "1 tokens" not in text


@pytest.mark.parametrize("bad", ["{", "[]", "{}", '{"document": 1}', '{"document": {"observations": [1]}}'])
def test_a_bad_line_is_named(bad: str) -> None:
    with pytest.raises(InputError, match="line 3: "):
        list(assessed([line(1, 0), "", bad], KEYCLOAK, YEAR_LATER, 1))


def test_an_error_crosses_processes_whole() -> None:
    lines = [line(1, 0, logins=1)] * 450
    lines[300] = '{"document": {"observations": [], "wander_s": "much"}}'
    with pytest.raises(InputError, match="line 301: wander_s is no number") as caught:
        list(assessed(lines, KEYCLOAK, YEAR_LATER, 2))
    assert caught.value.hint == "write 1.5 or 3/2"


_exact = st.one_of(
    st.integers(-(10**29), 10**29),
    st.integers(TREF, TREF + 10**8),
    st.fractions(-(10**6), 10**6, max_denominator=10**9),
    st.sampled_from([Fraction("1e99"), Fraction("-1e99"), Fraction("1e-99")]),
)


def _spelled(number: Fraction | int) -> str:
    """Short, as documents have to: 1e99 has 100 digits."""
    return {Fraction("1e99"): "1e99", Fraction("-1e99"): "-1e99", Fraction("1e-99"): "1e-99"}.get(number, str(number))


_numbers = _exact.map(_spelled) | st.sampled_from(["1e999", "x", "", "1/0"])
_pairs = st.tuples(_exact, _exact).map(lambda pair: list(map(_spelled, sorted(pair))))
_observations = st.builds(
    lambda around, shown: {"a": around[0], "b": around[1], "lo": shown[0], "hi": shown[1]}, _pairs, _pairs
) | st.fixed_dictionaries({"t": _numbers, "step": st.integers(-(10**25), 10**25)})
_documents = st.fixed_dictionaries(
    {"observations": st.lists(_observations, max_size=4)},
    optional={
        "tref": _numbers,
        "prior": st.fixed_dictionaries({}, optional={"offset_s": _pairs, "rate_error_ppm": _pairs}),
        "wander_s": _exact.map(lambda number: _spelled(abs(number))),
        "ageing_ppm_per_year_max": _exact.map(lambda number: _spelled(abs(number))),
        "time_step_s": st.integers(1, 86_400),
    },
)


@given(_documents, _numbers, st.sampled_from(sorted(PROFILES)))
def test_any_line_is_judged_or_refused(document: dict[str, Any], shift: Any, profile: str) -> None:
    server = Server(PROFILES[profile], (3, 3))
    told = json.dumps({"document": document, "shift_s": shift})
    with contextlib.suppress(ProvisionError):
        _told([assess(told, server, YEAR_LATER)])


def _told(tokens: list[Token]) -> None:
    """As the command does: dates beyond the calendar are refused there."""
    for token in tokens:
        iso_or_none(token.first_s)
    histogram(tokens)
    batches(tokens)
