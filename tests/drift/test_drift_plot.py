"""`provision drift plot`: SVG, PNG and HTML that are the same every time, need nothing else, and can be read."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest

from provision.cli.main import main
from provision.drift.plot.charts import rendered
from provision.drift.plot.rates import Bar, RatesPicture
from provision.drift.plot.report import page
from tests.drift.strategies import TREF
from tests.drift.test_drift_fleet import line
from tests.drift.test_drift_pictures_docs import numbers

_SVG = "{http://www.w3.org/2000/svg}"
Plot = Callable[..., bytes]


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """Ten logins of a clock that loses 10 ppm."""
    seen = []
    for n in range(10):
        t = TREF + n * 2_000_000 + n * 7919
        seen.append({"t": t, "step": (t * 10**5 - (t - TREF)) // (30 * 10**5)})
    path = tmp_path / "seen.json"
    path.write_text(json.dumps({"tref": TREF, "observations": seen}), "utf-8")
    return path


@pytest.fixture
def plot(document: Path, tmp_path: Path) -> Plot:
    """`provision drift plot --input ... --out NAME`; the file's content."""

    def run(name: str, *arguments: str) -> bytes:
        out = tmp_path / name
        command = ["drift", "plot", "--input", str(document), "--server-profile", "freeipa", *arguments]
        assert main([*command, "--out", str(out)]) == 0
        return out.read_bytes()

    return run


def texts(svg: bytes) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{_SVG}text")]


def test_an_svg_is_the_same_every_time_whatever_matplotlib_was_told(plot: Plot) -> None:
    import matplotlib as mpl

    first = plot("one.svg")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.hashsalt": None, "axes.facecolor": "red"}):
        assert plot("two.svg") == first
    assert b"<dc:date>" not in first
    assert b"Matplotlib v" not in first


def test_the_axes_say_what_and_in_which_unit(plot: Plot) -> None:
    written = texts(plot("clock.svg"))
    assert "token's time minus true time (s)" in written
    dates = [text for text in written if re.fullmatch(r"20\d\d-\d\d", text)]
    assert len(dates) >= 5
    assert dates == sorted(dates)
    assert [text[0] for text in written if re.match(r"[ABC] +(20\d\d-|never)", text)] == ["A", "B", "C"]
    polygon = texts(plot("polygon.svg", "--picture", "polygon"))
    assert "rate error (ppm; fast: +)" in polygon
    assert "token's time minus true time (s) on 2026-01-01 00:00 UTC" in polygon


def test_the_dates_differ_without_colours(plot: Plot) -> None:
    svg = plot("clock.svg").decode()
    looks = [re.search(rf'<g id="date-{letter}">.*?style="(.*?)"', svg, flags=re.DOTALL) for letter in "ABC"]
    assert None not in looks
    dashes = {tuple(re.findall(r"stroke-dasharray: ([^;]*)", look[1])) for look in looks if look is not None}
    assert len(dashes) == 3


def test_a_png_is_the_same_picture(plot: Plot) -> None:
    from PIL import Image

    with Image.open(BytesIO(plot("clock.png"))) as image:
        assert image.format == "PNG"
        assert image.width > 1000
        assert json.loads(image.info["Description"]) == numbers(plot("clock.svg").decode())
        assert "Software" not in image.info


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.data += data


def test_a_page_needs_nothing_but_itself(plot: Plot) -> None:
    page = _Page(plot("report.html").decode())
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert [image["alt"] for image in images] == [
        "A token's clock over time", "The clocks that could have shown what was seen",
    ]  # fmt: skip
    assert all((image["src"] or "").startswith("data:image/svg+xml;base64,") for image in images)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "link", "iframe", "object"})
    assert "a code may be refused from" in page.data
    assert "@media print { pre { white-space: pre-wrap } }" in page.data  # on paper nothing scrolls


def test_what_a_fleet_calls_its_boxes_is_only_text(tmp_path: Path) -> None:
    box = '<script>alert("$x_1$")</script>'
    tokens = [line(n, -30 if n < 10 else -2 - n % 7 / 7, box=box if n < 10 else str(n // 10)) for n in range(60)]
    fleet = tmp_path / "fleet.jsonl"
    fleet.write_text("\n".join(tokens), "utf-8")
    for name in ("rates.html", "rates.svg"):
        command = [
            "drift",
            "plot",
            "--fleet",
            str(fleet),
            "--server-profile",
            "keycloak",
            "--out",
            str(tmp_path / name),
        ]
        assert main(command) == 0
    page = _Page((tmp_path / "rates.html").read_text("utf-8"))
    assert "script" not in {tag for tag, _ in page.elements}
    assert box in page.data
    assert "60 tokens; listed: 50, those that may fail first\n" in page.data
    svg = (tmp_path / "rates.svg").read_bytes()
    assert any(box in text for text in texts(svg))
    assert ET.fromstring(svg).find(f".//{_SVG}script") is None


def test_a_box_may_be_called_anything(tmp_path: Path) -> None:
    batch = "box 箱\ud800\x07\x1b[2J&<: 10 of 10 are slow"
    picture = RatesPicture(60, 0, 1.0, (Bar(-30.0, 10, 10), Bar(-2.0, 50, 0)), (batch,))
    for form in ("svg", "png"):
        assert rendered(picture, "rates", form)
    shown = [text for text in texts(rendered(picture, "rates", "svg")) if text.startswith("box")]
    assert shown == [
        "box 箱\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}[2J&<: 10 of 10 are slow"
    ]
    assert page([("rates", picture)], batch).encode("utf-8")


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param([], id="nothing"),
        pytest.param([(TREF, TREF), (TREF + 9, TREF + 9)], id="a-point"),
        pytest.param([(TREF, TREF), (TREF + 9, 946_684_800)], id="began-anew"),
    ],
)
def test_what_is_too_small_or_too_far_is_drawn_too(seen: list[tuple[int, int]], plot: Plot, document: Path) -> None:
    edges = [{"a": t, "b": t, "lo": c, "hi": c} for t, c in seen]
    document.write_text(json.dumps({"tref": TREF, "observations": edges}), "utf-8")
    assert plot("report.html").count(b"<img") >= 1


def test_json_has_the_numbers_that_are_drawn(plot: Plot, document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    svg = plot("clock.svg").decode()
    capsys.readouterr()
    assert main(["drift", "plot", "--input", str(document), "--server-profile", "freeipa", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["file"] is None
    assert printed["pictures"]["offset"] == numbers(svg)
    assert set(printed["pictures"]) == {"offset", "polygon"}


def test_without_matplotlib_it_says_what_to_install(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("charts", "report"):
        monkeypatch.delitem(sys.modules, f"provision.drift.plot.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["drift", "plot", "--input", str(document)]) == 0
    assert "most likely" in capsys.readouterr().out
    assert main(["drift", "plot", "--input", str(document), "--out", str(tmp_path / "clock.svg")]) == 9
    assert f"hint: {sys.executable} -m pip install 'hwtoken[drift]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "--fleet FILE"),
        (("--input", "seen.json", "--fleet", "seen.json"), 2, "--fleet FILE"),
        (("--input", "seen.json", "--out", "clock.gif"), 2, ".svg, .png or .html"),
        (("--input", "seen.json", "--out", "missing/clock.svg"), 9, "cannot be written"),
        (("--input", "seen.json", "--shift-s", "30"), 2, "--server-profile"),
        (("--input", "missing.json"), 9, "cannot be read"),
        (("--input", "mad.json", "--picture", "polygon"), 9, "no one clock fits"),
        (("--fleet", "empty.jsonl"), 9, "no token"),
        (("--fleet", "empty.jsonl", "--until", "2030-01-01"), 2, "for one token"),
    ],
)
def test_misuse_is_told(
    arguments: tuple[str, ...], code: int, says: str, document: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(document.parent)
    mad = [{"a": n, "b": n, "lo": n * n * 999, "hi": n * n * 999} for n in range(9)]
    Path("mad.json").write_text(json.dumps({"observations": mad}), "utf-8")
    Path("empty.jsonl").write_text("", "utf-8")
    assert main(["drift", "plot", *arguments]) == code
    assert says in capsys.readouterr().err


def test_until_says_how_far_to_look(document: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "plot", "--input", str(document), "--picture", "offset", "--until", "2040-01-01"]) == 0
    drawing = capsys.readouterr().out
    assert re.search(r"2026 .* 2038", drawing)
    assert "ppm" not in drawing
