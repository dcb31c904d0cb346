"""How long each family's driver takes to program and verify a credential, beside Yubico's yubikit on the same token."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bench.links import Row

_ROOT = Path(__file__).parents[1]
_PYTHON = _ROOT / ".lanes" / "foreign" / "bin" / "python"
_HOSTS = Path(__file__).with_name("oath_hosts.py")


def rows() -> list[Row]:
    if not _PYTHON.exists():
        return [Row("program + verify by family", "not measured", "yubikit: `sh tests/foreign/install.sh`", ">= 1 x")]
    command, environment = [_PYTHON, _HOSTS], os.environ | {"PYTHONPATH": str(_ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [
        Row(
            f"program + verify, {name}",
            f"{ours * 1e3:.2f} ms",
            f"yubikit {theirs * 1e3:.2f} ms: {theirs / ours:.2f} x",
            ">= 1 x",
        )
        for name, (ours, theirs) in json.loads(done.stdout).items()
    ]
