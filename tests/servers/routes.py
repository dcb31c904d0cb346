"""The table of docs/SERVER.md, from the permissions themselves: `python -m tests.servers.routes`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from provision.servers.roles import Role
from provision.servers.service.permissions import ROUTES


def text() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _row("", "what it does", *(role.value for role in Role))
    yield _row(*["---"] * (len(Role) + 2))
    for route in ROUTES:
        scopes = [route.scopes[role].value if role in route.scopes else "-" for role in Role]
        yield _row(f"`{route.method} {route.path}`", route.summary, *scopes)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(text())
