"""What the tests of whole runs of pytest share."""

from __future__ import annotations

import pytest


def last_line(result: pytest.RunResult) -> str:
    (line,) = [line for line in result.outlines if line.startswith("hwtoken: links run")]
    return line
