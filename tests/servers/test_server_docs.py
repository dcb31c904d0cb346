"""docs/SERVER.md: its table is the permissions', and its commands run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.servers import routes

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "SERVER.md").read_text("utf-8")


def test_the_table_is_current() -> None:
    assert routes.text() in PAGE, "python -m tests.servers.routes"


def test_its_blocks_run_as_they_stand(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "provision"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m provision "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["sh", "-eu"],
        input="".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)),
        cwd=work,
        env={**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refused: exit code 4" in done.stdout
