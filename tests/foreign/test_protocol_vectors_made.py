"""The vectors are what the reference client computes, and the client is held to a published dialogue."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_the_vectors_are_those_that_the_reference_client_makes() -> None:
    made = subprocess.run([sys.executable, HERE / "make_vectors.py"], check=True, capture_output=True, text=True)
    assert made.stdout == (HERE.parent / "vectors" / "protocol.json").read_text(encoding="utf-8")
