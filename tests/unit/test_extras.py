"""Nobody is told to fetch what a package index has under our name."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from provision.extras import installing

ROOT = Path(__file__).resolve().parents[2]


def test_an_extra_is_added_to_the_python_that_runs() -> None:
    assert installing("server") == f"{sys.executable} -m pip install 'hwtoken[server]'"


def test_no_page_installs_by_the_bare_name_and_no_hint_into_just_any_python() -> None:
    told = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("provision/**/*.py")]
    found = [
        (path.name, line.strip())
        for path in told
        for line in path.read_text("utf-8").splitlines()
        if re.search(r"pip install ['\"]?hwtoken", line)
        and not re.search(r"\{[\w.]*(executable|python)\b.*\} -m pip", line)
    ]
    assert found == []
