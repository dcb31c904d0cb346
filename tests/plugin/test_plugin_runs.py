"""Whole runs of pytest with the plugin: its options, its marker, its last line, workers, orders, repeats."""

from __future__ import annotations

import re
import signal
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.plugin.runs import RERUNS, last_line

pytest_plugins = ["pytester"]


TEST = """
import pytest

def test_in_process(token):
    assert token.session().info().serial == token.serial

def test_on_a_wire(token_process):
    assert token_process.session().info().serial == token_process.serial
"""

# What each test sees of its token, by the test's name: lines on standard output.
WITNESS = """
import pytest
from provision.model import Secret

@pytest.fixture(autouse=True)
def _witness(request, token, token_clock):
    session = token.session()
    yield
    view, now = token.inspect(), token_clock.now()
    print("SAW", request.node.name, token.serial, view["token"]["device_id"], view["truth"]["offset_s"], now)

@pytest.mark.token(pin="271828", offset_s=-4)
@pytest.mark.parametrize("n", range(3))
def test_pin(token, n):
    token.session().verify_pin(Secret(b"271828"))

@pytest.mark.token(aged="18 months", rate_error_ppm=-4)
@pytest.mark.parametrize("n", range(3))
def test_aged(token, token_clock, n):
    token_clock.advance(n)
    token.session().set_pin(Secret(b"314159"))

def test_plain(token):
    token.unplug()
    token.plug()
"""


def saw(result: pytest.RunResult) -> set[str]:
    return {line[line.index("SAW") :] for line in result.outlines if "SAW" in line}


def test_it_is_installed_as_a_plugin(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.token(family=*"])
    result = pytester.runpytest("--fixtures", "-v")
    for name in ("token", "token_clock", "token_process", "token_address", "token_server"):
        result.stdout.fnmatch_lines([f"{name} -- *plugin.py:*"])


def test_a_project_with_such_an_option_or_fixture_of_its_own_goes_first(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_addoption(parser): parser.addoption('--token')")
    pytester.makepyfile("def test_own(pytestconfig): assert pytestconfig.getoption('token') == 'abc'")
    pytester.runpytest("-p", "no:hwtoken", "--token=abc").assert_outcomes(passed=1)
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef token(): return 'abc'")
    pytester.makepyfile("def test_own(token): assert token == 'abc'")
    pytester.runpytest().assert_outcomes(passed=1)


def test_who_uses_no_token_sees_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    result = pytester.runpytest()
    result.assert_outcomes(passed=1)
    assert not [line for line in result.outlines if "hwtoken" in line and not line.startswith("plugins: ")]


def test_the_last_line_says_what_ran(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest("--junitxml=out.xml", "-p", "no:randomly")
    result.assert_outcomes(passed=2)
    assert last_line(result) == "hwtoken: links run: inprocess 1, pty 1; skipped 0"
    properties = [
        (case.get("name"), one.get("name"), one.get("value"))
        for case in ET.parse(pytester.path / "out.xml").iter("testcase")
        for one in case.iter("property")
    ]
    assert properties == [
        ("test_in_process", "hwtoken_link", "inprocess"),
        ("test_on_a_wire", "hwtoken_link", "pty"),
    ]


def test_every_kind_of_skip_is_counted_and_nothing_else(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.skip
def test_never(token_process): pass

def test_halfway(token): pytest.skip("no more")

def test_none_of_ours(): pytest.skip()

@pytest.mark.xfail(strict=True)
def test_expected(token): assert token is None

def test_fails(token): assert token is None
"""
    )
    result = pytester.runpytest("-p", "no:randomly")
    result.assert_outcomes(skipped=3, xfailed=1, failed=1)
    assert last_line(result) == "hwtoken: links run: inprocess 2; skipped 2"


def test_each_required_link_is_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest("--require-link=tcp,usbip", "-v", "-p", "no:randomly")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*::test_on_a_wire?tcp? PASSED*", "*::test_on_a_wire?usbip? PASSED*"])
    assert last_line(result) == "hwtoken: links run: inprocess 1, tcp 1, usbip 1; skipped 0"


def test_a_required_link_that_is_missing_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TEST)
    pytester.makeconftest("import os\nif hasattr(os, 'openpty'): del os.openpty")
    result = pytester.runpytest_subprocess("--require-link=vhci,tcp")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*--link usbip*"])  # the simulator's own words
    assert last_line(result).endswith("required and not run: vhci")


def test_links_that_are_required_one_by_one_are_all_required(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(token_process): pass")
    result = pytester.runpytest("--require-link=tcp", "--require-link=usbip, tcp")
    result.assert_outcomes(passed=2)
    assert last_line(result) == "hwtoken: links run: tcp 1, usbip 1; skipped 0"


def test_a_link_is_not_chosen_where_there_is_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('token', ['usbip'], indirect=True)\ndef test_it(token): pass"
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["the fixture token has no link to choose*"])


def test_a_required_link_that_no_test_uses_fails_the_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_in_process(token): pass")
    result = pytester.runpytest("--require-link=tcp")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert last_line(result) == "hwtoken: links run: inprocess 1; skipped 0; required and not run: tcp"


def test_a_required_link_fails_a_run_without_any_test(pytester: pytest.Pytester) -> None:
    """Some take "no tests were collected" for a success."""
    result = pytester.runpytest("--require-link=tcp")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert last_line(result) == "hwtoken: links run: none; skipped 0; required and not run: tcp"


def test_a_link_that_such_a_token_cannot_have_is_not_asked_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.mark.token(family="yubikey")
def test_yubikey(token_process):
    assert token_process.address.startswith("usbip:")

@pytest.mark.parametrize("token_process", ["tcp"], indirect=True)
def test_chosen(token_process):
    assert token_process.address.startswith("tcp:")
"""
    )
    result = pytester.runpytest("--require-link=tcp,usbip")
    result.assert_outcomes(passed=2)
    assert last_line(result) == "hwtoken: links run: tcp 1, usbip 1; skipped 0"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--require-link="], "--require-link has an empty name in it"),
        (["--require-link=tcp,"], "--require-link has an empty name in it"),
        (["--require-link=smoke"], "--require-link does not know smoke; there are pty, tcp, usbip"),
        (["--token=tcp:127.0.0.1:1"], "wants --token-serial too"),
        (["--token-serial=SN-1"], "are for --token=ADDRESS"),
        (["--token-erase"], "are for --token=ADDRESS"),
        (["--token=tcp:127.0.0.1:1", "--token-serial=SN-1", "--require-link=tcp"], "--require-link is for simulated"),
        (["--token=tcp:127.0.0.1:1", "--token-serial=SN-1", "-n2"], "a real token has one port"),
        (["--token=tcp:127.0.0.1:1", "--token-serial=SN-1"], "tcp:127.0.0.1:1"),  # nobody is there
        (["--token=smoke", "--token-serial=SN-1"], "unknown token address"),
    ],
)
def test_a_wrong_option_ends_the_run_in_one_line(pytester: pytest.Pytester, options: list[str], complaint: str) -> None:
    pytester.makepyfile(TEST)
    result = pytester.runpytest(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [line for line in result.errlines if line.startswith("ERROR:")]
    assert len(errors) == 1
    assert complaint in errors[0]
    assert "Traceback" not in result.stderr.str()


# marker -> what its test says
WRONG = {
    "rate_eror_ppm=-4": "does not know rate_eror_ppm; it knows family, model",
    "'271828'": "takes names only",
    "clock='sundial'": '"file" or "system"',
    "family='smoke'": "no token family 'smoke'; there are: reference",
    "aged='18 parsecs'": "no unit 'parsecs'",
    "rate_error_ppm='much'": "much",
    "profile='oven'": "'oven'",
    "pin='12'": "PIN",
    "pin=271828": "pin=...) is text",
    "serial='S/N 1'": "a serial has 1 to 27 letters",
    "temperature_c=20, profile='car'": "not both",
    "family='yubikey', pin='271828'": "PIN",
}


@pytest.mark.parametrize(
    ("fixture", "option"), [("token", "--strict-markers"), ("token_process", "--require-link=tcp")]
)
def test_a_wrong_marker_fails_its_test_in_words(pytester: pytest.Pytester, fixture: str, option: str) -> None:
    tests = [
        f"@pytest.mark.token({marker})\ndef test_{number}({fixture}): pass\n" for number, marker in enumerate(WRONG)
    ]
    pytester.makepyfile("import pytest\n" + "\n".join(tests))
    result = pytester.runpytest(option, "-p", "no:randomly")
    result.assert_outcomes(errors=len(WRONG))
    _, *told = re.split(r"^_+ ERROR at setup of .*$", result.stdout.str(), flags=re.MULTILINE)
    for said, complaint in zip(told, WRONG.values(), strict=True):
        assert complaint in said
    for mark in ("Traceback", "During handling", "def "):  # no source of ours either
        assert mark not in result.stdout.str()


def test_who_moves_the_machines_clock_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.token(clock='system')\ndef test_it(token_clock): token_clock.advance('1 day')"
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the machine's clock cannot be moved*"])


def test_a_server_is_closed_with_its_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest
kept = []

def test_it(token_server):
    kept.append(token_server.backend)
    assert not kept[0].list()

def test_after_it():
    with pytest.raises(Exception, match="closed database"):
        kept[0].list()
"""
    )
    pytester.runpytest("-p", "no:randomly").assert_outcomes(passed=2)


def test_a_simulator_that_dies_in_a_test_is_told(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import os, signal, socket
def test_killed(token_process, monkeypatch):
    os.kill(token_process._bench._client._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED), signal.SIGKILL)
"""
    )
    result = pytester.runpytest()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*the simulator of * ended with -9*"])


def test_killed_pytest_leaves_no_simulator_behind(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import os, pathlib, signal
def test_killed(token_process):
    pathlib.Path("control").write_text(str(token_process._bench._client._address.path))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    )
    assert pytester.runpytest_subprocess().ret == -signal.SIGKILL
    control = Path((pytester.path / "control").read_text(encoding="utf-8"))
    patience_s = time.monotonic() + 20
    while control.parent.exists():  # which goes last when it ends cleanly
        assert time.monotonic() < patience_s
        time.sleep(0.05)


def test_a_test_may_stop_its_simulator_itself(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_stopped(token_process): token_process.control('stop')")
    pytester.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_order_and_workers_change_nothing(pytester: pytest.Pytester, seed: int) -> None:
    pytester.makepyfile(WITNESS)
    straight = pytester.runpytest("-rP", "-p", "no:randomly")
    straight.assert_outcomes(passed=7)
    pytester.makeconftest(
        f"import random\ndef pytest_collection_modifyitems(items): random.Random({seed}).shuffle(items)"
    )
    shuffled = pytester.runpytest("-rP", "-p", "no:randomly")
    shuffled.assert_outcomes(passed=7)
    assert saw(shuffled) == saw(straight)
    assert len(saw(straight)) == 7
    if seed == 1:
        pytester.makeconftest("")
        parallel = pytester.runpytest_subprocess("-n2", "-rP", "-p", "no:randomly")
        parallel.assert_outcomes(passed=7)
        assert saw(parallel) == saw(straight)
        assert last_line(parallel) == last_line(straight)


def test_a_rerun_starts_from_the_same_token(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(RERUNS)
    pytester.makepyfile(
        """
from provision.model import Secret
seen = []

def test_flaky(token, token_process):
    for one in (token, token_process):
        one.session().set_pin(Secret(b"271828"))
    seen.append((token.serial, token.inspect()["token"]["device_id"]))
    assert len(seen) == 2 and seen[0] == seen[1]
"""
    )
    result = pytester.runpytest("-p", "no:randomly", "-p", "no:rerunfailures")
    assert result.parseoutcomes() == {"rerun": 1, "passed": 1}
    assert last_line(result) == "hwtoken: links run: inprocess 1, pty 1; skipped 0"


def test_the_import_costs_a_stranger_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import sys
def test_other():
    ours = {name.split(".")[0] for name in sys.modules} & {"provision", "firmware_sim", "serial", "click"}
    assert not ours
    assert {name for name in sys.modules if name.startswith("pytest_hwtoken.")} == {
        "pytest_hwtoken.plugin", "pytest_hwtoken.declared", "pytest_hwtoken.report"}
"""
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=1)
