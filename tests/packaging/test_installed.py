"""The wheel, as strangers get it: in a bare environment, without Unix, and on the platforms that cannot be run here."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Built, Venv, away, run
from tests.unit.test_without_unix import HIDE

pytestmark = pytest.mark.packaging

PACKAGES = ("provision", "firmware_sim", "pytest_hwtoken")


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(built: Built) -> None:
    """Rules, type markers and whatever else is no module, too."""
    names = set(zipfile.ZipFile(built.wheel).namelist())
    ours = {
        path.relative_to(built.source).as_posix()
        for package in PACKAGES
        for path in (built.source / package).rglob("*")
        if path.is_file()
    }
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == ours
    assert any(name.endswith("licenses/LICENSE") for name in info)


def test_the_sdist_can_be_read_built_and_tested_by_others(built: Built) -> None:
    """All that is in the repository, but for what is about the repository. The wheel was built from it."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {path.relative_to(built.source).as_posix() for path in built.source.rglob("*") if path.is_file()}
    assert {name for name in tracked if not name.startswith(".")} <= names


@pytest.mark.parametrize("link", ["pty", "usbip"])
def test_the_demo_runs_from_the_wheel(bare: Venv, link: str, tmp_path: Path) -> None:
    said = run(bare.bin / "provision", "demo", "--link", link, cwd=tmp_path, env=away(tmp_path))
    assert str(ROOT) not in said
    assert "\x1b" not in said, "no colour into a pipe"
    kept, promised = re.fullmatch(r"(\d+) of (\d+) steps as promised", said.splitlines()[-1]).groups()
    assert kept == promised
    run(bare.python, "-m", "pip", "check")


def test_nothing_that_an_extra_brings_is_needed(bare: Venv, tmp_path: Path) -> None:
    """No pytest either: the plugin is for whoever has it."""
    listed = json.loads(run(bare.python, "-m", "pip", "list", "--format=json"))
    assert not {"pytest", "numpy", "pyscard"} & {one["name"] for one in listed}
    for program in ("provision", "firmware-sim"):
        run(bare.bin / program, "--help", cwd=tmp_path, env=away(tmp_path))


def test_the_server_is_served_from_the_wheel_with_its_extra(serving: Venv, tmp_path: Path) -> None:
    address = ("--server", f"embedded:{tmp_path / 'server.db'}")
    run(serving.bin / "provision", "server", "init", *address, cwd=tmp_path, env=away(tmp_path))
    command = [serving.bin / "provision", "server", "serve", *address]
    with subprocess.Popen(command, cwd=tmp_path, env=away(tmp_path), stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            place = server.stdout.readline().strip()
            with urllib.request.urlopen(f"{place}/openapi.json", timeout=20) as answer:
                assert "/v1/check" in json.load(answer)["paths"]
            with urllib.request.urlopen(place, timeout=20) as answer:  # and its pages, which are no modules
                assert b"<form" in answer.read()
        finally:
            server.terminate()


REPEATS = 500


def test_a_strangers_pipeline_is_tested_500_times_without_a_flake(crowded: Venv, tmp_path: Path) -> None:
    """On two workers, in a random order, where each failure would be tried again, and would show as `rerun`."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "conftest.py").write_text(
        f"import pytest\n@pytest.fixture(params=range({REPEATS}), autouse=True)\ndef again(request): pass\n"
    )
    said = run(
        *(crowded.python, "-m", "pytest", "-n", "2", "--reruns", "1", "-W", "error", "examples"),
        cwd=tmp_path,
        env=away(tmp_path),
        timeout=1800,
    )
    assert f"hwtoken: links run: pty {REPEATS}; skipped 0" in said
    assert re.search(rf"^=+ {REPEATS} passed in ", said, flags=re.MULTILINE), said
    assert "Using --randomly-seed" in said


def test_a_strangers_pipeline_runs_on_every_link_that_it_requires(tested: Venv, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    said = run(
        *(tested.python, "-m", "pytest", "-n", "2", "--require-link=pty,tcp,usbip", "-W", "error", "examples"),
        cwd=tmp_path,
        env=away(tmp_path),
    )
    assert "hwtoken: links run: pty 1, tcp 1, usbip 1; skipped 0" in said


def test_the_pipelines_test_is_short_enough_to_be_read() -> None:
    assert len((ROOT / "examples/test_enrol.py").read_text("utf-8").splitlines()) <= 20


FLAKY = """
import pathlib
from provision.model import Secret

def test_flaky(token, token_process, request):
    for one in (token, token_process):
        one.session().set_pin(Secret(b"271828"))
    before = pathlib.Path(__file__).with_name("before")
    seen = f"{token.serial} {token.inspect()['token']['device_id']}"
    assert before.exists() or not before.write_text(seen)
    assert before.read_text() == seen
"""


def test_a_rerun_gets_the_same_token_out_of_its_box(crowded: Venv, tmp_path: Path) -> None:
    (tmp_path / "test_flaky.py").write_text(FLAKY)
    said = run(crowded.python, "-m", "pytest", "-n", "2", "--reruns", "2", cwd=tmp_path, env=away(tmp_path))
    assert "1 passed, 1 rerun in" in said
    assert "hwtoken: links run: inprocess 1, pty 1; skipped 0" in said


WITNESS = """
import sys
from importlib.machinery import SourceFileLoader

pytest_plugins = ["pytester"]

def test_outside(token, pytester):
    for name in ("firmware_sim.core.token", "provision.errors", "pytest_hwtoken.making"):
        assert type(sys.modules[name].__loader__) is SourceFileLoader
    pytester.makepyfile("def test_inside(token): token.session()")
    pytester.runpytest_inprocess("-W", "error").assert_outcomes(passed=1)
"""


def test_pytest_leaves_our_modules_as_they_are(tested: Venv, tmp_path: Path) -> None:
    """It rewrites all that comes with a plugin, unless told otherwise, and warns of what it could not rewrite."""
    (tmp_path / "test_witness.py").write_text(WITNESS)
    said = run(tested.python, "-m", "pytest", "-W", "error", cwd=tmp_path, env=away(tmp_path))
    assert "1 passed in" in said


def test_who_has_tests_in_a_package_called_provision_keeps_the_words_of_their_asserts(
    tested: Venv, tmp_path: Path
) -> None:
    (tmp_path / "provision").mkdir()
    (tmp_path / "provision" / "__init__.py").touch()
    (tmp_path / "provision" / "test_it.py").write_text("def test_it():\n    two = 2\n    assert two == 3\n")
    command = [tested.python, "-m", "pytest", "provision"]
    done = subprocess.run(command, cwd=tmp_path, env=away(tmp_path), capture_output=True, text=True)
    assert "assert 2 == 3" in done.stdout


TESTS_WITHOUT_UNIX = """
def test_in_process(token, token_server):
    assert token.session().info().serial == token.serial
    assert list(token_server.backend.list()) == []

def test_on_a_wire(token_process):
    assert token_process.address.startswith("tcp:127.0.0.1:")
    assert token_process.session().info().serial == token_process.serial
    assert token_process.inspect()["cable"]["plugged"]
"""


def test_without_unix_demo_and_plugin_work_over_tcp(tested: Venv, tmp_path: Path) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "sitecustomize.py").write_text(HIDE)
    environment = {**away(tmp_path), "PYTHONPATH": str(tmp_path / "hidden")}
    assert subprocess.run([tested.python, "-c", "import fcntl"], env=environment, capture_output=True).returncode == 1
    said = run(tested.python, "-m", "provision", "demo", cwd=tmp_path, env=environment)
    assert " on 127.0.0.1:" in said
    (tmp_path / "test_tokens.py").write_text(TESTS_WITHOUT_UNIX)
    said = run(tested.python, "-m", "pytest", "--require-link=tcp", "test_tokens.py", cwd=tmp_path, env=environment)
    assert "hwtoken: links run: inprocess 1, tcp 1; skipped 0" in said


@pytest.mark.parametrize("platform", ["win_amd64", "macosx_11_0_arm64", "macosx_10_12_x86_64"])
def test_every_base_dependency_has_a_wheel_there(built: Built, platform: str, tmp_path: Path) -> None:
    """Only that it would install: neither Windows nor macOS was run."""
    options = ("--platform", platform, "--python-version", "3.11", "--implementation", "cp", "--only-binary", ":all:")
    run(sys.executable, "-m", "pip", "download", "--quiet", *options, "--dest", tmp_path, built.wheel)
    assert any("cryptography" in path.name for path in tmp_path.iterdir())
