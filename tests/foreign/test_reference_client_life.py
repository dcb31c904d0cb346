"""The reference client, which knows only docs/PROTOCOL.md, lives a whole life with the simulated token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).with_name("reference_client.py")


def test_a_whole_life_as_the_page_says(token_port: str) -> None:
    client = subprocess.run([sys.executable, CLIENT, "--port", token_port], capture_output=True, text=True, timeout=60)
    print(client.stdout)
    assert client.returncode == 0, client.stderr
    steps = client.stdout.splitlines()
    assert all(line.startswith("ok ") for line in steps)
    assert steps[-1].split()[1:4] == [str(len(steps)), "of", str(len(steps))]
