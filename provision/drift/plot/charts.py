"""Pictures drawn by Matplotlib (extra `drift`), as SVG or PNG: the same bytes for the same numbers, on any day.

Nothing rests on colour: lines differ in their dashes, areas in their hatching. The numbers themselves are in the file,
as JSON in its description.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from provision.drift.moments import calendar, iso_or_none
from provision.drift.plot.offsets import Accepted, BandPoint, OffsetPicture, Seen
from provision.drift.plot.pictures import Picture, printable, written
from provision.drift.plot.polygons import PolygonPicture
from provision.drift.plot.rates import RatesPicture
from provision.drift.plot.ticks import dates, unit_of

Format = Literal["svg", "png"]

_STYLE = {
    "svg.hashsalt": "hwtoken",  # else the names inside an SVG are new each time
    "svg.fonttype": "none",  # text stays text, for who searches in it
    "text.parse_math": False,  # a box may be called $1
    "font.size": 10,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "hatch.linewidth": 0.6,
    "figure.constrained_layout.use": True,
}
_BAND, _WINDOW, _INK = "#9ecae1", "#a63603", "#202020"  # light, middle and dark in grey, too
_DASHES = {"A": ":", "B": "--", "C": "-"}  # of the three dates
_HEIGHTS = {"A": 0.98, "B": 0.91, "C": 0.84}  # of their letters, so that two that are close are both read
_BATCHES = 5  # that are named below a histogram; the worst come first
_ROOM = 95  # characters below an axis
_PNG_DPI = 150


def rendered(picture: Picture, title: str, format: Format) -> bytes:
    """The file's content."""
    with matplotlib.style.context(["default", _STYLE]), warnings.catch_warnings():  # whatever matplotlibrc says
        # A box named in letters that this font lacks: an SVG's reader has others.
        warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
        figure = Figure(figsize=(9, 5.6))
        axes = figure.add_subplot()
        if isinstance(picture, OffsetPicture):
            _offset(axes, picture)
        elif isinstance(picture, PolygonPicture):
            _polygon(axes, picture)
        else:
            _rates(axes, picture)
        axes.set_title(title, loc="left")
        content, numbers = BytesIO(), json.dumps(written(picture))
        if format == "svg":
            about = {"Creator": None, "Date": None, "Title": title, "Description": numbers}
            figure.savefig(content, format="svg", metadata=about)
        else:
            about = {"Software": None, "Title": title, "Description": numbers}
            figure.savefig(content, format="png", dpi=_PNG_DPI, metadata=about)
    return content.getvalue()


def _offset(axes: Axes, picture: OffsetPicture) -> None:
    low, high = picture.extent_s
    unit, unit_s = unit_of(max(-low, high))
    axes.set_xlim(picture.begins_s, picture.ends_s)
    axes.set_ylim(low / unit_s, high / unit_s)
    if picture.accepted is not None:
        _accepted(axes, picture.accepted, picture.ends_s, unit_s)
    for number, band in enumerate(picture.bands):
        _band(axes, band, unit_s, number)
    for left_out in (False, True):
        _seen(axes, [one for one in picture.seen if one.left_out is left_out], unit_s, left_out)
    for letter, date in picture.lettered:
        when = iso_or_none(date.unix_s) or "never, as far as is known"
        axes.plot([], [], color=_INK, ls=_DASHES[letter], lw=1.4, label=f"{letter}  {when}  {date.what}")
        if date.unix_s is not None and picture.begins_s <= date.unix_s <= picture.ends_s:
            axes.axvline(date.unix_s, color=_INK, ls=_DASHES[letter], lw=1.4, gid=f"date-{letter}")
            axes.annotate(
                letter, (date.unix_s, _HEIGHTS[letter]), xycoords=("data", "axes fraction"), xytext=(3, 0),
                textcoords="offset points", weight="bold", va="top",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
    axes.set_ylabel(f"token's time minus true time ({unit})")
    _date_axis(axes, picture.begins_s, picture.ends_s)
    _legend(axes)


def _accepted(axes: Axes, accepted: Accepted, ends_s: float, unit_s: int) -> None:
    across = [accepted.from_s, ends_s]
    for number, offset_s in enumerate(accepted.surely_s):
        label = None if number else f"up to here {accepted.server} accepts every code"
        axes.plot(across, [offset_s / unit_s] * 2, color=_WINDOW, lw=2.4, label=label, gid=f"surely-{number}")
    low, high = (limit * unit_s for limit in axes.get_ylim())
    for number, ends in enumerate(((low, accepted.perhaps_s[0]), (accepted.perhaps_s[1], high))):
        axes.fill_between(
            across,
            ends[0] / unit_s,
            ends[1] / unit_s,
            facecolor="none",
            edgecolor=_WINDOW,
            hatch="///",
            lw=0.5,
            label=None if number else "here it accepts none",
            gid=f"refused-{number}",
        )


def _band(axes: Axes, band: Sequence[BandPoint], unit_s: int, number: int) -> None:
    times = [point.unix_s for point in band]
    least, greatest = [point.least_s / unit_s for point in band], [point.greatest_s / unit_s for point in band]
    label = None if number else "the clock is within this, for certain"
    axes.fill_between(times, least, greatest, facecolor=_BAND, edgecolor=_INK, label=label, gid=f"band-{number}")
    for name, outline in (("least", least), ("greatest", greatest)):
        axes.plot(times, outline, color=_INK, lw=0.8, zorder=3, gid=f"{name}-{number}")
    likely = [point.likely_s / unit_s for point in band]
    label = None if number else "most likely"
    axes.plot(times, likely, color=_INK, ls="-.", lw=1, zorder=3, label=label, gid=f"likely-{number}")


def _seen(axes: Axes, seen: Sequence[Seen], unit_s: int, left_out: bool) -> None:
    """With a dot in its middle each: next to a jump of years, a step is too short for a line."""
    if not seen:
        return
    look: tuple[str, str, str, Literal[":", "-"], str] = ("what was seen", "seen", "0.4", "-", "o")
    if left_out:
        look = ("seen, but left out: it contradicts the rest", "left-out", _INK, ":", "x")
    label, name, colour, dashes, marker = look
    times, width = [one.unix_s for one in seen], _pen(len(seen))
    least, greatest = [one.least_s / unit_s for one in seen], [one.greatest_s / unit_s for one in seen]
    axes.vlines(times, least, greatest, colors=colour, linewidths=width, linestyles=dashes, gid=name)
    middles = [(low + high) / 2 for low, high in zip(least, greatest, strict=True)]
    axes.plot(times, middles, color=colour, marker=marker, ms=2 * width, ls="", label=label, gid=f"{name}-middle")


def _pen(count: int) -> float:
    """How wide so many lines are drawn, in points: the more, the finer."""
    return min(2.0, max(0.4, 60 / count))


def _polygon(axes: Axes, picture: PolygonPicture) -> None:
    seconds, ppm = picture.view
    axes.set_xlim(*seconds)
    axes.set_ylim(*ppm)
    width = _pen(len(picture.bounds) + 60)
    for number, bounds in enumerate(picture.bounds):
        label = None if number else "a bound that an observation sets"
        axes.plot(bounds, ppm, color="0.6", lw=width, ls="--", zorder=1, label=label, gid=f"bound-{number}")
    x, y = [[vertex[i] for vertex in picture.vertices] for i in (0, 1)]
    label = "the clocks that fit: each point is one"
    axes.fill(x, y, facecolor=_BAND, edgecolor=_INK, lw=1.4, label=label, gid="polygon")
    axes.plot(*picture.likely, color=_INK, marker="+", ms=12, mew=2, ls="", label="the middle of them", gid="likely")
    axes.set_xlabel(f"token's time minus true time (s) on {calendar(picture.tref_s):%Y-%m-%d %H:%M} UTC")
    axes.set_ylabel("rate error (ppm; fast: +)")
    _legend(axes)


def _rates(axes: Axes, picture: RatesPicture) -> None:
    at_fault = [bar.at_fault for bar in picture.bars]
    others = [bar.count - bar.at_fault for bar in picture.bars]
    label = "\n".join(["of a batch at fault:", *map(printable, picture.batches[:_BATCHES])])
    if len(picture.batches) > _BATCHES:
        label += f"\nand {len(picture.batches) - _BATCHES} more"
    _bars(axes, picture, others, at_fault, facecolor=_BAND, label="of other batches", gid="others")
    if picture.batches:
        _bars(axes, picture, at_fault, None, facecolor="white", hatch="///", label=label, gid="at-fault")
        _legend(axes)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rate error (ppm; fast: +)")
    axes.set_ylabel(f"tokens for each {picture.width_ppm:g} ppm")


def _bars(
    axes: Axes, picture: RatesPicture, counts: list[int], below: list[int] | None, gid: str, label: str, **look: Any
) -> None:
    if any(counts):
        left = [bar.from_ppm for bar in picture.bars]
        bars = axes.bar(
            left, counts, picture.width_ppm, bottom=below, align="edge", edgecolor=_INK, lw=0.8, label=label, **look
        )
        for number, bar in enumerate(bars):
            bar.set_gid(f"{gid}-{number}")


def _date_axis(axes: Axes, begins_s: float, ends_s: float) -> None:
    ticks = dates(begins_s, ends_s, _ROOM)
    axes.set_xticks([unix_s for unix_s, _ in ticks], [label for _, label in ticks])


def _legend(axes: Axes) -> None:
    """Below, where it hides nothing."""
    figure = axes.get_figure()
    assert figure is not None, "these axes were made by a figure"
    figure.legend(loc="outside lower left", frameon=False, handlelength=3.5)
