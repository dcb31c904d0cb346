"""What a token costs a test: the first one of a run, each further one, a file of a hundred: `python -m bench.plugin`.

The peer is `tmp_path` of pytest itself, in runs that take turns with ours: a folder for each test instead of a token.
Times of a set-up are those of all fixtures of a test, from pytest's own call to its end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.links import Row

RUNS = 9
TESTS = 100
WITNESS = """
import json, pathlib, time
import pytest

setups = []

@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup():
    begun = time.perf_counter()
    yield
    setups.append(time.perf_counter() - begun)

def pytest_sessionfinish():
    pathlib.Path("setups.json").write_text(json.dumps(setups))
"""
TOKENS = f"""
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_token(token, number):
    assert token.session().info().serial == token.serial
"""
FOLDERS = f"""
import pytest

@pytest.mark.parametrize("number", range({TESTS}))
def test_folder(tmp_path, number):
    assert tmp_path.is_dir()
"""


class Run(NamedTuple):
    """Seconds: the first set-up, the median of the others, and the whole of pytest, from its start to its end."""

    first: float
    further: float
    whole: float


def run(folder: Path, tests: str) -> Run:
    (folder / "conftest.py").write_text(WITNESS)
    (folder / "test_it.py").write_text(tests)
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q"], cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True
    )
    whole = time.perf_counter() - begun
    setups = json.loads((folder / "setups.json").read_text())
    assert len(setups) == TESTS
    return Run(setups[0], median(setups[1:]), whole)


def measure() -> tuple[Run, Run]:
    """Of tokens and of folders: the median of each figure, after a run of each that fills Python's caches."""
    with tempfile.TemporaryDirectory() as top:
        folders = [Path(top, name) for name in ("tokens", "folders")]
        for folder in folders:
            folder.mkdir()
        rounds = [[run(*one) for one in zip(folders, (TOKENS, FOLDERS), strict=True)] for _ in range(RUNS + 1)]
    ours, peers = (Run(*map(median, zip(*of_one, strict=True))) for of_one in zip(*rounds[1:], strict=True))
    return ours, peers


def rows() -> Iterator[Row]:
    ours, peer = measure()
    yield Row("pytest: the first token", f"{ours.first * 1e3:.0f} ms", f"tmp_path {peer.first * 1e3:.1f} ms", "< 50 ms")
    yield Row(
        "pytest: each further token",
        f"{ours.further * 1e3:.2f} ms",
        f"tmp_path {peer.further * 1e3:.2f} ms",
        "< 1 ms",
    )
    yield Row(
        f"pytest: a file of {TESTS} token tests",
        f"{ours.whole:.2f} s",
        f"of {TESTS} with tmp_path {peer.whole:.2f} s",
        "< 3 s",
    )


if __name__ == "__main__":
    for row in rows():
        print(f"{row.what:<34}{row.measured:<20}{row.beside:<38}{row.goal}", flush=True)
