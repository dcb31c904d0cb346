"""docs/CONTROL.md tells of every operation there is, and of no other."""

from __future__ import annotations

import re
from pathlib import Path

from firmware_sim.control.ops import OPS


def test_each_op_has_its_line_and_no_other() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "CONTROL.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == sorted(OPS)
