"""`provision drift estimate | predict`: the contract with other people's scripts, and the screen for a person."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provision.cli.main import main

VECTORS = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors" / "drift.json").read_text("utf-8"))
}
_INPUT = ("tref", "time_step_s", "t0_s", "prior", "wander_s", "observations")


@pytest.fixture
def run(tmp_path, capsys):
    """`provision drift ...`; the JSON object that it prints. Also writes a vector to the file `input`."""

    class Run:
        input = str(tmp_path / "input.json")

        def write(self, name: str, **changes: Any) -> str:
            vector = VECTORS[name]
            document = {field: vector[field] for field in _INPUT} | changes
            Path(self.input).write_text(json.dumps(document), "utf-8")
            return self.input

        def __call__(self, *arguments: str, code: int = 0) -> dict[str, Any]:
            assert main(["drift", *arguments, "--json"]) == code
            result: dict[str, Any] = json.loads(capsys.readouterr().out)
            return result

        def text(self, *arguments: str) -> str:
            assert main(["drift", *arguments]) == 0
            return capsys.readouterr().out

    return Run()


@pytest.mark.parametrize("name", sorted(VECTORS))
def test_estimate_prints_the_vectors(run, name: str) -> None:
    result = run("estimate", "--input", run.write(name))
    assert set(result) == {
        "feasible", "vertices", "offset_s", "rate_error_ppm", "centroid", "dropped", "diagnosis",
    }  # fmt: skip
    assert {field: result[field] for field in VECTORS[name]["expected"]} == VECTORS[name]["expected"]


def test_predict_adds_the_dates(run) -> None:
    estimated = run("estimate", "--input", run.write("TV3"))
    result = run("predict", "--input", run.input, "--back-steps", "10", "--forward-steps", "10")
    assert {field: result[field] for field in estimated} == estimated
    assert result["first_possible_failure"] == "2027-02-15T08:10:40Z"
    assert result["certain_failure"] == "2027-03-08T18:37:13Z"
    assert result["total_failure"] == "2027-04-22T13:45:37Z"
    assert result["log_in_before"] is None


def test_a_shift_moves_the_window(run) -> None:
    run.write("TV3")
    window = ("--back-steps", "1", "--forward-steps", "1")
    moved = run("predict", "--input", run.input, *window, "--shift-s", "270")
    assert moved["first_possible_failure"].startswith("2027-02-15")
    assert run("predict", "--input", run.input, *window, "--shift-s", "-270")["first_possible_failure"][:4] == "2026"


def test_a_server_that_follows_has_learnt_from_the_last_login(run) -> None:
    result = run("predict", "--input", run.write("TV3"), "--server-profile", "embedded")
    assert result["shift_s"] == "270"
    assert result["log_in_before"] == result["first_possible_failure"]
    assert result["write"] == {"where": "drift_steps", "value": 9, "unit": "steps"}
    result = run("predict", "--input", run.input, "--server-profile", "privacyidea")
    assert (result["shift_s"], result["back_steps"], result["forward_steps"]) == ("252", 6, 5)
    assert result["write"]["unit"] == "seconds"


def test_a_moment_of_its_own(run) -> None:
    arguments = ("predict", "--input", run.write("TV3"), "--back-steps", "20", "--forward-steps", "20")
    at = run(*arguments, "--at", "2027-12-27T02:23:48Z")["at"]
    assert at["unix"] == str(1_798_338_228 + 365 * 86_400)
    assert at["accepted"] == ["1", "1"]
    assert run(*arguments, "--at", at["unix"])["at"] == at


def test_before_buying(run) -> None:
    arguments = ("--server-profile", "keycloak", "--rate-error-ppm", "-5..5", "--at", "2026-01-01")
    result = run("predict", *arguments)
    assert result["rate_error_ppm"] == ["-5", "5"]
    assert result["first_possible_failure"] == "2026-03-11T10:40:00Z"  # 30 s at 5 ppm are 6,000,000 s
    assert result["certain_failure"] is None
    surely = run("predict", *arguments[:2], "--rate-error-ppm", "4..5", "--at", "2026-01-01")
    assert surely["certain_failure"] == "2026-03-28T19:20:00Z"


def test_a_clock_that_cannot_be_has_no_dates(run) -> None:
    result = run("predict", "--input", run.write("TV5"), "--server-profile", "keycloak")
    assert result["feasible"] is False
    assert result["vertices"] == []
    assert result["first_possible_failure"] is result["certain_failure"] is result["total_failure"] is None
    text = run.text("predict", "--input", run.input, "--server-profile", "keycloak")
    assert "summer time was added" in text
    assert "no date can be given" in text


def test_a_screen_for_a_person(run) -> None:
    text = run.text("predict", "--input", run.write("TV3"), "--server-profile", "privacyidea", "--at", "2027-06-01")
    for part in (
        "offset  +252.000 to +263.269 s on 2026-12-27T02:23:48Z",
        "rate    +7.751 to +8.462 ppm",
        "256 s a year fast",
        "privacyIDEA: -6 to +5 steps of 30 s around +252 s",
        "log in again before 2027-07-04",
        "as timeShift",
        "accepted: 100%",
    ):
        assert part in text
    for when, said in (("2027-07-20", "log in again at once"), ("2028-06-01", None)):
        text = run.text("predict", "--input", run.input, "--server-profile", "privacyidea", "--at", when)
        assert "already" in text
        assert "log in again before" not in text  # a moment that has come
        assert (said in text) if said else ("log in again" not in text)
    text = run.text("estimate", "--input", run.write("TV9"))
    assert "observation 7 was typed late" in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("estimate",), "which observations"),
        (("predict", "--server-profile", "keycloak"), "of which clock"),
        (("predict", "--rate-error-ppm", "1"), "which server"),
        (("predict", "--rate-error-ppm", "1", "--back-steps", "1"), "two sides"),
        (("predict", "--rate-error-ppm", "5..-5", "--server-profile", "keycloak"), "least is over"),
        (("predict", "--rate-error-ppm", "1", "--server-profile", "duo"), "does not publish"),
        (("predict", "--rate-error-ppm", "1", "--server-profile", "keycloak", "--delay-s", "-1"), "not negative"),
        (("predict", "--input", "x", "--server-profile", "keycloak", "--time-step", "60"), "--time-step go with"),
    ],
)
def test_misuse_is_named(run, arguments: tuple[str, ...], what: str) -> None:
    assert what in run(*arguments, code=2)["error"]["message"]


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "1e400"])
def test_no_moment(run, text: str) -> None:
    arguments = ("predict", "--rate-error-ppm", "1", "--server-profile", "keycloak", "--at", text)
    assert run(*arguments, code=9)["error"]["type"] == "InputError"


def test_a_file_that_cannot_be_read(run, tmp_path) -> None:
    assert "cannot be read" in run("estimate", "--input", str(tmp_path / "none"), code=9)["error"]["message"]
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert "UTF-8" in run("estimate", "--input", str(tmp_path / "binary"), code=9)["error"]["message"]


def test_a_time_beyond_the_calendar(run) -> None:
    run.write("TV3", tref="1" + "0" * 29, observations=[])
    message = run("predict", "--input", run.input, "--server-profile", "keycloak", code=9)["error"]["message"]
    assert "beyond the calendar" in message
