"""docs/FAMILIES.md from the conformance suite: `python -m tests.families.table > docs/FAMILIES.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from provision.model import Capability
from tests.families import test_conformance
from tests.families.suite import EXCEPTIONS, WIRES, Test, exception, is_for
from tests.families.targets import KINDS, Kind

HEAD = """# Families

Made by `python -m tests.families.table` from the conformance suite, tests/families/test_conformance.py; a test keeps it
current. What each family is, and on what evidence, is in [families/](families/).

## The suite, by family and wire

Tests that a token has to pass: those for which it has the capabilities. `make test` runs them on the first three wires,
`make test-pcsc` on vpcd, a card in a reader of Debian's pcscd, `make test-kernel-families` on vhci, a USB device in a
guest whose Linux enumerates it (the reference token on its serial line, the others through libusb), where tests of what
no wire can spoil are not repeated."""


def tests() -> Iterator[tuple[str, Test]]:
    for name, found in vars(test_conformance).items():
        if name.startswith("test_"):
            yield name, found


def passed_and_excepted(kind: Kind, link: str) -> tuple[int, int]:
    mine = [name for name, test in tests() if is_for(test, kind, link)]
    excepted = sum(exception(name, kind) is not None for name in mine)
    return len(mine) - excepted, excepted


def text() -> str:
    return "\n".join([HEAD, "", *_wires(), "", "## What they can", "", *_capabilities(), "", *_exceptions(), ""])


def _wires() -> Iterator[str]:
    yield _row("token", *WIRES)
    yield _row(*["---"] * (len(WIRES) + 1))
    for kind in KINDS:
        yield _row(kind.name, *(_result(kind, link) for link in WIRES))


def _result(kind: Kind, link: str) -> str:
    if link not in kind.links:
        return "-"
    passed, excepted = passed_and_excepted(kind, link)
    return f"{passed} passed" + (f", {excepted} excepted" if excepted else "")


def _capabilities() -> Iterator[str]:
    yield _row("", *(kind.name for kind in KINDS))
    yield _row(*["---"] * (len(KINDS) + 1))
    for capability in Capability:
        yield _row(capability.value, *("yes" if capability in kind.capabilities else "-" for kind in KINDS))
    yield _row("clock", *(kind.clock.value for kind in KINDS))
    yield _row("credentials", *(kind.room for kind in KINDS))
    yield _row("hashes", *(" ".join(sorted(one.value for one in kind.hashes)) for kind in KINDS))
    yield _row("digits", *(" ".join(map(str, kind.digits)) for kind in KINDS))
    yield _row("HOTP", *("yes" if kind.hotp else "-" for kind in KINDS))
    yield _row("touch", *("yes" if kind.touch else "-" for kind in KINDS))


def _exceptions() -> Iterator[str]:
    yield "## Exceptions"
    yield ""
    if not EXCEPTIONS:
        yield "None."
    for one in EXCEPTIONS:
        yield f"- {one.kind}, `{one.test}`: {one.why} ({one.source})"


def _row(*cells: Any) -> str:
    return f"| {' | '.join(map(str, cells))} |"


if __name__ == "__main__":
    sys.stdout.write(text())
