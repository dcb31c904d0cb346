"""What the lane installs once: the sdist, the wheel that is built from it, and all that pip will find."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("PACKAGING_PYTHON", "/usr/bin/python3")  # Debian's: a bare machine has no other

WITH_TESTS = ("pytest", "pytest-xdist")
IN_A_CROWD = (*WITH_TESTS, "pytest-randomly", "pytest-rerunfailures")  # other people's plugins: here alone, not in dev
BUILDS = "setuptools>=77"  # as [build-system] says


def away(home: Path | None = None) -> dict[str, str]:
    """An environment that leads to nothing of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}
    return kept if home is None else {**kept, "HOME": str(home)}


def run(*command: str | Path, timeout: float = 300, **options: object) -> str:
    """Standard output of a command that must succeed, away from here unless `env` says otherwise."""
    options.setdefault("env", away())
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        **options,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@dataclass(frozen=True)
class Built:
    """`source`: what is tracked, as a clean clone has it. `wheels`: the folder with our wheel, and everything that it,
    its users and its making need."""

    source: Path
    sdist: Path
    wheel: Path
    wheels: Path


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    dist, wheels = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("wheels")
    source = dist / "source"
    # Whoever runs this lane is root, and the clone may be somebody's.
    listed = (
        "-c",
        f"safe.directory={ROOT}",
        "-C",
        ROOT,
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    )
    tracked = run("git", *listed).split("\0")
    for name in filter(None, tracked):  # a clean copy: nothing that lies about here gets into the wheel
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    wheels.chmod(0o755)  # for the unprivileged user
    shutil.copytree(source, dist / "build")
    run(sys.executable, "-m", "build", "--outdir", dist, dist / "build")
    (sdist,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    run(PYTHON, "-m", "venv", dist / "pip")
    wanted = (f"{wheel}[server]", *WITH_TESTS, *IN_A_CROWD, BUILDS)
    run(dist / "pip/bin/python", "-m", "pip", "download", "--quiet", "--dest", wheels, *wanted)
    return Built(source, sdist, wheel, wheels)


class Venv:
    """A virtual environment with our wheel, and nothing from anywhere else."""

    def __init__(self, folder: Path, built: Built, *more: str, extra: str = "") -> None:
        run(PYTHON, "-m", "venv", folder)
        self.python = folder / "bin" / "python"
        self.bin = folder / "bin"
        options = ("--quiet", "--no-index", "--find-links", built.wheels)
        run(self.python, "-m", "pip", "install", *options, f"hwtoken{extra}", *more)


@pytest.fixture(scope="session")
def bare(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """With our wheel and its base dependencies alone."""
    return Venv(tmp_path_factory.mktemp("bare") / "venv", built)


@pytest.fixture(scope="session")
def tested(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """As a project has it that tests with tokens."""
    return Venv(tmp_path_factory.mktemp("tested") / "venv", built, *WITH_TESTS)


@pytest.fixture(scope="session")
def crowded(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """As a project has it whose tests are shuffled and repeated, too."""
    return Venv(tmp_path_factory.mktemp("crowded") / "venv", built, *IN_A_CROWD)


@pytest.fixture(scope="session")
def serving(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """As a machine has it that serves."""
    return Venv(tmp_path_factory.mktemp("serving") / "venv", built, extra="[server]")
