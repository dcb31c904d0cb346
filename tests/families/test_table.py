"""docs/FAMILIES.md is what the conformance suite says, and the suite is for everybody."""

from __future__ import annotations

from pathlib import Path

from firmware_sim.families.family import NAMES
from provision.families.driver import DRIVERS
from tests.families import table
from tests.families.suite import EXCEPTIONS, is_for
from tests.families.targets import KINDS

DOCS = Path(__file__).parents[2] / "docs"


def test_the_table_is_current():
    assert (DOCS / "FAMILIES.md").read_text() == table.text(), "python -m tests.families.table > docs/FAMILIES.md"


def test_every_family_is_in_the_suite_on_both_sides_and_has_its_page():
    families = {kind.family for kind in KINDS}
    assert families == set(NAMES) == DRIVERS.keys() == {page.stem for page in (DOCS / "families").iterdir()}


def test_at_most_one_test_in_twenty_is_excepted_and_each_on_somebody_elses_word():
    counts = [table.passed_and_excepted(kind, link) for kind in KINDS for link in kind.links]
    assert sum(excepted for _, excepted in counts) <= 0.05 * sum(passed for passed, _ in counts)
    tests = dict(table.tests())
    kinds = {kind.name: kind for kind in KINDS}
    for one in EXCEPTIONS:
        assert is_for(tests[one.test], kinds[one.kind], "inprocess")
        assert one.source
