"""docs/SERVER.md and docs/WEB.md: the table of routes is the permissions', and the commands run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import routes

ROOT = Path(__file__).resolve().parents[2]
SERVER, WEB = ((ROOT / "docs" / name).read_text("utf-8") for name in ("SERVER.md", "WEB.md"))


def test_the_table_is_current() -> None:
    assert routes.text() in SERVER, "python -m tests.servers.routes"


@pytest.mark.parametrize(
    ("page", "said"),
    [(SERVER, "refused: exit code 4"), (WEB, "open http://127.0.0.1:")],
    ids=["SERVER.md", "WEB.md"],
)
def test_its_blocks_run_as_they_stand(tmp_path: Path, page: str, said: str) -> None:
    program = tmp_path / "bin" / "provision"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m provision "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["sh", "-eu"],
        input="".join(re.findall(r"^```sh\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)),
        cwd=work,
        env={**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert said in done.stdout
