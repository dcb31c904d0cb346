"""Broken standard streams: the command says so in words, and no traceback is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = f"exec {sys.executable} -m provision token verify x --token bogus"


def test_closed_standard_output_is_like_dev_null() -> None:
    done = subprocess.run(["sh", "-c", f"{COMMAND} --json >&-"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_full_standard_output_is_told_on_the_other_stream() -> None:
    done = subprocess.run(["sh", "-c", f"{COMMAND} --json >/dev/full"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "standard output cannot be written: No space left on device" in done.stderr
