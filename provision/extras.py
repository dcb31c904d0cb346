"""What to say when a package is missing that only some users need."""

from __future__ import annotations

import sys


def installing(extra: str) -> str:
    """The command that adds `extra` to the Python that runs this one.

    By its name hwtoken is safe to ask for only there, where pip finds it installed: elsewhere pip would fetch what an
    index has under that name, and that is not from us.
    """
    return f"{sys.executable or 'python'} -m pip install 'hwtoken[{extra}]'"
