"""Every trouble is named rightly or not at all: the table of docs/EXPLAIN.md.

python -m tests.explain.test_explain_table   writes it anew
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest

from provision.station.explain.case import Explanation
from provision.station.explain.judge import UNDECIDED
from tests.explain.office import TROUBLES, Office, at_the_edge

PAGE = Path(__file__).resolve().parents[2] / "docs" / "EXPLAIN.md"
HEAD = "| what happened | `cause` | certainty |\n|---|---|---|\n"
SEEDS = (1, 2)


def explained(what: str, seed: int) -> Explanation:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        office = Office.open(Path(folder) / "server.db", seed)
        try:
            return TROUBLES[what][0](office)
        finally:
            office.server.close()


def row(what: str, found: list[Explanation]) -> str:
    causes = " or ".join(dict.fromkeys(f"`{one.cause}`" for one in found))
    certainties = " or ".join(dict.fromkeys(one.certainty.value for one in found))
    return f"| {what} | {causes} | {certainties} |\n"


@pytest.mark.parametrize("what", TROUBLES)
def test_it_is_named_rightly_or_not_at_all(what: str) -> None:
    found = [explained(what, seed) for seed in SEEDS]
    assert {one.cause for one in found} <= {TROUBLES[what][1], UNDECIDED}
    assert all(one.now and one.for_good for one in found)
    assert all(one.unknown for one in found if one.cause == UNDECIDED), "what would decide it"
    assert row(what, found) in PAGE.read_text("utf-8")


@pytest.mark.parametrize("seed", SEEDS)
def test_a_clock_at_the_edge_is_not_told_from_a_mistyped_code(seed: int, tmp_path: Path) -> None:
    """Both leave a refused code behind and codes that are good now: naming either would be a guess."""
    office = Office.open(tmp_path / "server.db", seed)
    found = at_the_edge(office)
    office.server.close()
    assert found.cause == UNDECIDED
    assert any("a code that has just appeared" in what for what in found.unknown)


def test_nine_of_ten_are_named() -> None:
    rows = re.findall(r"^\| ([^|]+) \| (`[^|]+) \|", PAGE.read_text("utf-8").partition(HEAD)[2], flags=re.MULTILINE)
    assert {what for what, _ in rows} == set(TROUBLES)
    named = [causes for _, causes in rows if f"`{UNDECIDED}`" not in causes]
    assert 10 * len(named) >= 9 * len(rows), f"{len(named)} of {len(rows)}"


if __name__ == "__main__":
    head, _, _ = PAGE.read_text("utf-8").partition(HEAD)
    rows = [row(what, [explained(what, seed) for seed in SEEDS]) for what in TROUBLES]
    PAGE.write_text(head + HEAD + "".join(rows), "utf-8")
