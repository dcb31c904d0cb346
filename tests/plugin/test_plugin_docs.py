"""docs/PYTEST.md, and what the README says of the plugin: the examples run as they stand, the tables are whole."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_hwtoken.declared import Declared
from pytest_hwtoken.plugin import LINKS
from pytest_hwtoken.token import BenchToken

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/PYTEST.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")


def examples(page: str) -> list[str]:
    """Those blocks of Python that are tests."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "def test_" in block]


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> set[str]:
    """What stands in backquotes in the first column of its tables."""
    cells = re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_example_passes_as_a_file(pytester: pytest.Pytester) -> None:
    """Those of the page as they stand, that of the README with the imports that go without saying there."""
    files = {f"test_page_{number}": example for number, example in enumerate(examples(PAGE))}
    (short,) = examples(README)
    files["test_readme"] = f"import pytest\nfrom provision.model import Secret\n{short}"
    pytester.makepyfile(**files)
    result = pytester.runpytest_subprocess("-W", "error", "--strict-markers")
    result.assert_outcomes(passed=sum(text.count("def test_") for text in files.values()))


def test_the_page_has_examples_of_every_fixture() -> None:
    everything = "\n".join(examples(PAGE))
    for fixture in first_column(section("Fixtures").partition("are the same to a test")[0]):
        assert re.search(rf"def test_\w+\([^)]*\b{fixture}\b", everything), fixture


def test_the_table_of_the_marker_is_whole() -> None:
    assert first_column(section("The marker")) == {one.name for one in fields(Declared)}


def test_the_table_of_fixtures_is_whole(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest("--fixtures").stdout.str()
    ours = set(re.findall(r"^(token\w*) -- ", listed, flags=re.MULTILINE))
    assert first_column(section("Fixtures").partition("are the same to a test")[0]) == ours


def test_the_table_of_the_token_is_whole() -> None:
    told = first_column(section("Fixtures").partition("are the same to a test")[2])
    has = {name for name, _ in inspect.getmembers(BenchToken) if not name.startswith("_")}
    assert {re.match(r"\.(\w+)", name)[1] for name in told} == has - {"close"} | {"serial", "family", "clock"}  # type: ignore[index]
    assert "`close()`" in section("Fixtures")


def test_the_links_are_those_that_there_are() -> None:
    assert f"(`{'`, `'.join(LINKS)}`)" in section("Links")
