"""How this very program is called, for hints that somebody can paste."""

from __future__ import annotations

import os
import shlex
import sys


def own_command() -> str:
    """With the whole path: sudo looks along a PATH of its own, where no virtual environment is."""
    started_as = os.path.abspath(sys.argv[0])
    if os.path.basename(started_as) == "__main__.py" or not os.path.exists(started_as):
        return shlex.join((sys.executable, "-m", "provision"))
    return shlex.quote(started_as)
