"""The wheel, as strangers get it: in a bare environment, without Unix, and on the platforms that cannot be run here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, Built, Venv, run
from tests.unit.test_without_unix import HIDE

pytestmark = pytest.mark.packaging

PACKAGES = ("provision", "firmware_sim", "pytest_hwtoken")


def away(home: Path) -> dict[str, str]:
    """An environment that leads to nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST", "PIP"))}
    return {**kept, "HOME": str(home)}


def test_the_wheel_has_every_module_and_nothing_else(built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    modules = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    data = {f"{package}/py.typed" for package in PACKAGES} | {"provision/udev/70-hwtoken.rules"}
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == modules | data
    assert any(name.endswith("licenses/LICENSE") for name in info)


def test_the_sdist_can_be_read_and_built_by_others(built: Built) -> None:
    """The wheel was built from it."""
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "SECURITY.md", "pyproject.toml", "docs/PROTOCOL.md", "examples/enrol.py"} <= names


def test_the_demo_runs_from_the_wheel(bare: Venv, tmp_path: Path) -> None:
    said = run(bare.bin / "provision", "demo", cwd=tmp_path, env=away(tmp_path))
    assert str(ROOT) not in said
    run(bare.python, "-m", "pip", "check")


def test_nothing_that_an_extra_brings_is_needed(bare: Venv, tmp_path: Path) -> None:
    """No pytest either: the plugin is for whoever has it."""
    listed = json.loads(run(bare.python, "-m", "pip", "list", "--format=json"))
    assert not {"pytest", "numpy", "pyscard"} & {one["name"] for one in listed}
    for program in ("provision", "firmware-sim"):
        run(bare.bin / program, "--help", cwd=tmp_path, env=away(tmp_path))


@pytest.mark.parametrize("order", ["forward", "shuffled"])
def test_a_strangers_project_tests_its_pipeline(tested: Venv, tmp_path: Path, order: str) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "conftest.py").write_text(
        "import pytest, random\n"
        "@pytest.fixture(params=range(10), autouse=True)\n"
        "def again(request): pass\n"
        f"def pytest_collection_modifyitems(items): {order == 'shuffled'} and random.Random(1).shuffle(items)\n"
    )
    said = run(
        *(tested.python, "-m", "pytest", "-n", "2", "--require-link=pty,tcp,usbip", "-W", "error", "examples"),
        cwd=tmp_path,
        env=away(tmp_path),
    )
    assert "hwtoken: links run: pty 10, tcp 10, usbip 10; skipped 0" in said


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
