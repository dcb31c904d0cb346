"""The table of docs/WEB.md, from the pages themselves: `python -m tests.web.table`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from provision.servers.roles import Role
from provision.servers.web.app import PAGES
from provision.servers.web.pages import ROOT, Page


def text() -> str:
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _row("", "what for", "by the route", "nobody", *(role.value for role in Role))
    yield _row(*["---"] * (len(Role) + 4))
    for page in PAGES:
        route = "-" if page.takes is None else f"`{page.takes.method} {page.takes.path}`"
        yield _row(f"`{page.method} {ROOT}{page.path}`", page.summary, route, *_for_whom(page))


def _for_whom(page: Page) -> Iterator[str]:
    if page.roles is None:
        yield from ["yes"] * (len(Role) + 1)
        return
    yield "-"
    for role in Role:
        if role not in page.roles:
            yield "-"
        else:
            yield "yes" if page.takes is None else page.takes.scopes[role].value


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(text())
