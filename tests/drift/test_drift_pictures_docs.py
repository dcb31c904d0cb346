"""The pictures in docs/pictures are what the commands in docs/DRIFT.md make: number by number, not pixel by pixel.

python -m tests.drift.test_drift_pictures_docs   writes them anew, and the fleet that one of them shows
"""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from math import floor
from pathlib import Path
from random import Random
from typing import Any

from tests.drift.test_drift_docs import FLEET, PAGE, folder, shown

PICTURES = PAGE.parent / "pictures"


def fleet_csv() -> str:
    """120 invented tokens of six boxes, six logins each within a year. Box D was made of slower quartzes."""
    rng = Random(26)
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["serial", "time", "drift_steps", "box"])
    for number in range(120):
        box = "ABCDEF"[number // 20]
        rate_ppm = (-19 if box == "D" else -3) + 4 * (rng.random() + rng.random() + rng.random() - 1.5)
        for month in range(6):
            since_s = floor((60 * month + 30 * rng.random()) * 86_400)
            received = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=since_s)
            typing_s, phase_s = 3 + 20 * rng.random(), received.timestamp() % 30
            steps = floor((phase_s - typing_s + rate_ppm * since_s / 1e6) / 30)
            rows.writerow([f"SN{2001 + number}", f"{received:%Y-%m-%dT%H:%M:%SZ}", steps, box])
    return text.getvalue()


def made(directory: Path) -> dict[str, str]:
    """The SVG files that the page's commands make in `directory`, by name."""
    page = PAGE.read_text("utf-8")
    commands = re.findall(r"^[$] (provision drift (?:import --csv|plot) .*)$", page, flags=re.MULTILINE)
    with folder(page, directory):
        shown(commands)
    return {path.name: path.read_text("utf-8") for path in directory.glob("*.svg")}


def numbers(svg: str) -> Any:
    (description,) = re.findall(r"<dc:description>(.*?)</dc:description>", svg, flags=re.DOTALL)
    return json.loads(unescape(description))


def parts(svg: str) -> list[str]:
    """What is drawn, by the names that charts.py gives; Matplotlib's own have numbers."""
    return re.findall(r'<g id="([a-z]+(?:-[a-zA-Z0-9]+)*)"', svg)


def test_the_pictures_are_what_the_commands_make(tmp_path: Path) -> None:
    found = made(tmp_path)
    kept = {path.name: path.read_text("utf-8") for path in PICTURES.glob("*.svg")}
    assert found.keys() == kept.keys()
    for name, svg in found.items():
        assert numbers(svg) == numbers(kept[name]), name
        assert parts(svg) == parts(kept[name]) != [], name


def test_the_page_shows_each_of_them() -> None:
    shown_there = set(re.findall(r"!\[[^]]+\]\(pictures/(.*?)\)", PAGE.read_text("utf-8")))
    assert shown_there == {path.name for path in PICTURES.glob("*.svg")}


def test_the_fleet_is_the_one_described_here() -> None:
    assert FLEET.read_text("utf-8") == fleet_csv()


if __name__ == "__main__":
    from tempfile import TemporaryDirectory

    FLEET.write_text(fleet_csv(), "utf-8")
    with TemporaryDirectory() as directory:
        for name, svg in made(Path(directory)).items():
            (PICTURES / name).write_text(svg, "utf-8")
