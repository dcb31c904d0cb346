"""`provision drift observe`: codes and clock readings, added to a file that `estimate` reads."""

from __future__ import annotations

import json
import os
import stat
import sys
import types
from fractions import Fraction
from pathlib import Path

import pytest

from firmware_sim.testing.bench import START_S, make_bench
from provision.cli.main import main
from provision.links import link
from provision.links.inprocess import open_channel
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from tests.drift.strategies import TREF

SEED = Secret(b"12345678901234567890")
TOTP = OtpParameters()
EXACT = ("--delay-s", "0", "--server-error-s", "0", "--wander-s", "0")


@pytest.fixture
def observe(tmp_path, capsys):
    """One observation: of the codes that a token `offset_s` off shows at `at_s`, `count` in a row."""
    seed = tmp_path / "seed"
    seed.touch(mode=0o600)
    seed.write_text("3132333435363738393031323334353637383930\n")
    file = tmp_path / "seen.json"

    def run(at_s: float, offset_s: float, *more: str, count: int = 1, code: int = 0, parameters=TOTP) -> dict:
        last = parameters.step_at(at_s + offset_s)
        codes = tmp_path / "codes"
        codes.touch(mode=0o600)
        shown = [code_at(SEED, parameters, step) for step in range(last - count + 1, last + 1)]
        codes.write_text("\n".join(shown) + "\n")
        arguments = ["drift", "observe", "--input", str(file), "--seed-file", str(seed), "--codes", str(codes)]
        assert main([*arguments, "--at", str(at_s), *more, "--json"]) == code
        return json.loads(capsys.readouterr().out)

    run.file = file
    return run


def test_two_logins_half_a_year_apart(observe, capsys) -> None:
    """drift.md's TV2: truth +4 s, +8 ppm."""
    later_s = 1_782_777_617
    assert observe(TREF + 10, 4, *EXACT)["observation"]["step"] == 58_907_520
    assert observe(later_s, 4 + 8e-6 * (later_s - TREF), *EXACT)["count"] == 2
    content = json.loads(observe.file.read_text())
    assert content["tref"] == TREF + 10
    content |= {"tref": TREF, "prior": {"offset_s": [-200_000, 200_000], "rate_error_ppm": [-200, 200]}}
    observe.file.write_text(json.dumps(content))
    assert main(["drift", "estimate", "--input", str(observe.file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["centroid"] == ["77758905/15552007", "113000000/15552007"]


def test_one_code_is_looked_for_nearby_and_two_further(observe) -> None:
    assert observe(TREF, 590)["observation"]["step"] == TREF // 30 + 19
    message = observe(TREF, 5000, code=4)["error"]
    assert message["hint"].startswith("read two codes")
    assert observe(TREF, -5000, count=2)["observation"]["step"] == (TREF - 5000) // 30
    assert "find-clock" in observe(TREF, 90_000, count=2, code=4)["error"]["hint"]


def test_a_code_that_fits_two_steps_is_no_answer(observe) -> None:
    """338813 is this seed's code of two steps, 18 apart."""
    at_s = TREF + 18_547 * 30
    assert "several steps" in observe(at_s, 0, code=4)["error"]["message"]
    assert observe(at_s, 0, count=2)["observation"]["step"] == at_s // 30


def test_codes_that_do_not_follow_each_other(observe, tmp_path, capsys) -> None:
    observe(TREF, 0, count=2)
    (tmp_path / "codes").write_text("755224\n287082\n")
    before = observe.file.read_bytes()
    arguments = ["--seed-file", str(tmp_path / "seed"), "--codes", str(tmp_path / "codes"), "--at", str(TREF)]
    assert main(["drift", "observe", "--input", str(observe.file), *arguments]) == 4
    assert observe.file.read_bytes() == before
    captured = capsys.readouterr()
    assert "755224" not in captured.out + captured.err


def test_what_was_exact_stays_exact(observe) -> None:
    observe.file.write_text('{"observations": [{"a": 0.1, "b": "1/3", "lo": 1e-3, "hi": 2}], "wander_s": 0.25}')
    observe(TREF, 0)
    content = json.loads(observe.file.read_text())
    assert content["observations"][0] == {"a": "0.1", "b": "1/3", "lo": "1e-3", "hi": 2}
    assert content["wander_s"] == "0.25"


def test_steps_of_60_s_and_eight_digits(observe) -> None:
    sixty = OtpParameters(digits=8, time_step_s=60)
    assert observe(TREF, 70, "--time-step", "60", parameters=sixty)["observation"]["step"] == TREF // 60 + 1
    assert observe(TREF + 600, 70, parameters=sixty)["count"] == 2  # the file says it
    assert "not of 30 s" in observe(TREF, 0, "--time-step", "30", code=9)["error"]["message"]


def test_a_file_that_is_no_document_is_left_alone(observe) -> None:
    observe.file.write_text('{"observations": [], "colour": 1}')
    assert "colour" in observe(TREF, 0, code=9)["error"]["message"]
    assert observe.file.read_text() == '{"observations": [], "colour": 1}'


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a mode says nothing of who may read a file")
def test_a_file_that_colleagues_read_stays_theirs(observe) -> None:
    observe(TREF, 0)
    observe.file.chmod(0o664)
    assert observe(TREF + 600, 0)["count"] == 2
    assert stat.S_IMODE(observe.file.stat().st_mode) == 0o664


def test_a_directory_that_is_not_there(observe) -> None:
    observe.file = observe.file.parent / "none" / "seen.json"
    arguments = [
        "--seed-file",
        str(observe.file.parents[1] / "seed"),
        "--codes",
        str(observe.file.parents[1] / "codes"),
    ]
    observe(TREF, 0)
    assert main(["drift", "observe", "--input", str(observe.file), *arguments, "--at", str(TREF)]) == 9


@pytest.mark.parametrize(
    ("codes", "what"), [("", "holds 0 codes"), ("1\n2\n3\n4\n", "holds 4 codes"), ("12a456\n", "not a code")]
)
def test_what_cannot_be_codes(observe, tmp_path, capsys, codes: str, what: str) -> None:
    observe(TREF, 0)
    (tmp_path / "codes").write_text(codes)
    arguments = ["--seed-file", str(tmp_path / "seed"), "--codes", str(tmp_path / "codes")]
    assert main(["drift", "observe", "--input", str(observe.file), *arguments]) == 9
    assert what in capsys.readouterr().err


@pytest.fixture
def connected(tmp_path, monkeypatch):
    """A token on a wire at inprocess:1, and the arguments that put everybody on its clock."""
    bench = make_bench()
    bench.token.power_on()
    clock = tmp_path / "clock"
    clock.write_text(f"{START_S}\n")
    channel = bench.token.open_channel()
    module = types.SimpleNamespace(open_address=lambda rest, options: open_channel(channel, options))
    monkeypatch.setitem(sys.modules, "in_this_process", module)
    monkeypatch.setitem(link.LINKS, "inprocess", "in_this_process:open_address")
    return bench, ["--token", "inprocess:1", "--clock", f"file:{clock}", "--json"]


def test_the_clock_of_a_token_on_the_wire(connected, tmp_path, capsys) -> None:
    bench, arguments = connected
    bench.oscillator.offset_us = 1_250_000
    file = tmp_path / "seen.json"
    assert main(["drift", "observe", "--input", str(file), *arguments]) == 0
    seen = json.loads(capsys.readouterr().out)["observation"]
    assert Fraction(seen["lo"]) - Fraction(seen["b"]) <= Fraction(5, 4) <= Fraction(seen["hi"]) - Fraction(seen["a"])
    assert main(["drift", "estimate", "--input", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["feasible"] is True


def test_another_tokens_clock_is_not_added(connected, tmp_path, capsys) -> None:
    bench, arguments = connected
    file = tmp_path / "seen.json"
    command = ["drift", "observe", "--input", str(file), *arguments]
    assert main(command) == 0
    content = json.loads(file.read_text())
    assert content["serial"] == bench.token.serial
    assert main(command) == 0
    before = json.dumps(content | {"serial": "SN-9"})
    file.write_text(before)
    capsys.readouterr()
    assert main(command) == 2
    assert "token SN-9" in json.loads(capsys.readouterr().out)["error"]["message"]
    assert file.read_text() == before


def test_a_serial_that_is_no_text(observe) -> None:
    observe(TREF, 0)
    observe.file.write_text(json.dumps(json.loads(observe.file.read_text()) | {"serial": 1}))
    assert 'serial" is text' in observe(TREF, 0, code=9)["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((), "what is to be seen"),
        (("--seed-file", "x", "--token", "y"), "what is to be seen"),
        (("--token", "y", "--codes", "z"), "go with --seed-file"),
        (("--token", "y", "--at", "5"), "go with --seed-file"),
    ],
)
def test_misuse_is_named(arguments: tuple[str, ...], what: str, tmp_path, capsys) -> None:
    file = tmp_path / "seen.json"
    assert main(["drift", "observe", "--input", str(file), *arguments]) == 2
    assert what in capsys.readouterr().err
    assert not Path(file).exists()
