"""Pictures in plain letters, for terminals that know nothing else: ASCII, in lines of a width that the caller gives."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from provision.drift.moments import calendar, iso_or_none
from provision.drift.plot.offsets import BandPoint, OffsetPicture
from provision.drift.plot.pictures import Picture
from provision.drift.plot.polygons import PolygonPicture
from provision.drift.plot.rates import RatesPicture
from provision.drift.plot.ticks import Tick, dates, numbers, unit_of

NARROWEST = 50  # columns
_LABEL = 10  # columns left of a drawing
_ROWS = 24
_BAR = 40  # columns of the longest bar


class _Canvas:
    """Letters on a grid over two scales; what is drawn later is on top."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], columns: int, rows: int = _ROWS) -> None:
        self._x, self._y = x, y
        self.columns, self.rows = columns, rows
        self._cells = [[" "] * columns for _ in range(rows)]

    def column(self, x: float) -> int:
        return round((x - self._x[0]) / (self._x[1] - self._x[0]) * (self.columns - 1))

    def row(self, y: float) -> int:
        return round((self._y[1] - y) / (self._y[1] - self._y[0]) * (self.rows - 1))

    def x(self, column: int) -> float:
        return self._x[0] + (self._x[1] - self._x[0]) * column / (self.columns - 1)

    def y(self, row: int) -> float:
        return self._y[1] - (self._y[1] - self._y[0]) * row / (self.rows - 1)

    def put(self, column: int, row: int, letter: str) -> None:
        if 0 <= column < self.columns and 0 <= row < self.rows:
            self._cells[row][column] = letter

    def upright(self, column: int, y: tuple[float, float], letter: str) -> None:
        for row in range(max(self.row(y[1]), 0), min(self.row(y[0]), self.rows - 1) + 1):
            self.put(column, row, letter)

    def level(self, row: int, columns: tuple[int, int], letter: str) -> None:
        for column in range(max(columns[0], 0), min(columns[1], self.columns - 1) + 1):
            self.put(column, row, letter)

    def framed(self, title: str, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick], marks: str) -> list[str]:
        """With its axes. `marks`: letters on the x axis, one for each column."""
        labels = {self.row(y): label for y, label in y_ticks}
        lines = [title]
        lines += [
            f"{labels.get(row, ''):>{_LABEL - 2}} {'+' if row in labels else '|'}{''.join(cells)}".rstrip()
            for row, cells in enumerate(self._cells)
        ]
        places = {self.column(x): label for x, label in x_ticks}
        axis = [
            mark if mark != " " else "+" if column in places else "-"
            for column, mark in enumerate(marks.ljust(self.columns))
        ]
        lines.append(" " * (_LABEL - 1) + "+" + "".join(axis))
        below = ""
        for column, label in places.items():
            start = min(_LABEL + column - len(label) // 2, _LABEL + self.columns - len(label))
            if start >= len(below) + 2:
                below = below.ljust(start) + label
        return [*lines, below]


def draw(picture: Picture, columns: int) -> str:
    """In `columns` columns, NARROWEST or more; what the letters mean may take more."""
    if isinstance(picture, OffsetPicture):
        return draw_offset(picture, columns)
    if isinstance(picture, PolygonPicture):
        return draw_polygon(picture, columns)
    return "\n\n".join([draw_rates(picture), *picture.batches])


def draw_offset(picture: OffsetPicture, columns: int) -> str:
    low, high = picture.extent_s
    unit, unit_s = unit_of(max(-low, high))
    canvas = _Canvas((picture.begins_s, picture.ends_s), (low, high), columns - _LABEL)
    legend = []
    if (accepted := picture.accepted) is not None:
        across = (canvas.column(accepted.from_s), canvas.columns - 1)
        for bounds, letter in ((accepted.perhaps_s, "-"), (accepted.surely_s, "=")):
            for offset_s in bounds:
                canvas.level(canvas.row(offset_s), across, letter)
        legend = [
            f"=  up to here {accepted.server} accepts every code",
            "-  from here on it accepts none",
        ]
    shown = [(letter, canvas.column(date.unix_s)) for letter, date in picture.lettered if date.unix_s is not None]
    marks = [" "] * canvas.columns
    for letter, column in shown:
        if column < canvas.columns:
            marks[column] = letter
            canvas.upright(column, (low, high), "'")
    middles = []
    for band in picture.bands:
        for column in range(canvas.column(band[0].unix_s), canvas.column(band[-1].unix_s) + 1):
            point = _at(band, canvas.x(column))
            canvas.upright(column, (point.least_s, point.greatest_s), ":")
            middles.append((column, canvas.row(point.likely_s)))
    for one in picture.seen:
        canvas.upright(canvas.column(one.unix_s), (one.least_s, one.greatest_s), "x" if one.left_out else "|")
    for column, row in middles:
        canvas.put(column, row, "*")
    lines = canvas.framed(
        f"offset: the token's time minus true time, in {unit}",
        dates(picture.begins_s, picture.ends_s, canvas.columns),
        [(tick * unit_s, label) for tick, label in numbers(low / unit_s, high / unit_s, 8)],
        "".join(marks),
    )
    keys = ["|  what was seen"] if picture.seen else []
    if any(one.left_out for one in picture.seen):
        keys.append("x  seen, but left out: it contradicts the rest")
    if picture.bands:
        keys += [":  the clock is within this, for certain", "*  most likely"]
    keys += legend
    moments = [iso_or_none(date.unix_s) or "never, as far as is known" for date in picture.dates]
    width = max(map(len, moments), default=0)
    for (letter, date), moment in zip(picture.lettered, moments, strict=True):
        keys.append(f"{letter}  {moment:{width}}  {date.what}")
    return "\n".join([*lines, "", *(" " * _LABEL + key for key in keys)])


def _at(band: Sequence[BandPoint], unix_s: float) -> BandPoint:
    """The nearest point of the outline on the right."""
    return band[min(bisect_left(band, unix_s, key=lambda point: point.unix_s), len(band) - 1)]


def draw_polygon(picture: PolygonPicture, columns: int) -> str:
    seconds, ppm = picture.view
    canvas = _Canvas(seconds, ppm, columns - _LABEL)
    half_row = (ppm[1] - ppm[0]) / (canvas.rows - 1) / 2
    for row in range(canvas.rows):
        crossings = _crossings(picture.vertices, canvas.y(row) - half_row, canvas.y(row) + half_row)
        if crossings:
            canvas.level(row, (canvas.column(min(crossings)), canvas.column(max(crossings))), ":")
    canvas.put(canvas.column(picture.likely[0]), canvas.row(picture.likely[1]), "*")
    lines = canvas.framed(
        "rate error in ppm (fast: +)",
        numbers(*seconds, max(2, canvas.columns // 14)),
        numbers(*ppm, 8),
        "",
    )
    lines.append(f"{'':{_LABEL}}offset in s on {calendar(picture.tref_s):%Y-%m-%d %H:%M} UTC")
    keys = [":  a clock that fits", "*  the middle of all of them"]
    return "\n".join([*lines, "", *(" " * _LABEL + key for key in keys)])


def _crossings(vertices: Sequence[tuple[float, float]], low: float, high: float) -> list[float]:
    """Where the outline of a convex area is between two heights: the x of its corners and crossings there."""
    found = [x for x, y in vertices if low <= y <= high]
    for (ax, ay), (bx, by) in zip(vertices, [*vertices[1:], *vertices[:1]], strict=True):
        found += [ax + (bx - ax) * (y - ay) / (by - ay) for y in (low, high) if min(ay, by) < y < max(ay, by)]
    return found


def draw_rates(picture: RatesPicture) -> str:
    """One bar a line; `%` are tokens of a batch at fault. Empty if no rate is known."""
    most = max((bar.count for bar in picture.bars), default=1)
    lines = []
    for bar in picture.bars:
        at_fault, whole = round(bar.at_fault * _BAR / most), round(bar.count * _BAR / most)
        letters = "%" * at_fault + "#" * (whole - at_fault)
        ends_ppm = bar.from_ppm + picture.width_ppm
        lines.append(f"{bar.from_ppm:+8.2f} to {ends_ppm:+8.2f} ppm  {bar.count:>6}  {letters}".rstrip())
    if any(bar.at_fault for bar in picture.bars):
        lines += ["", f"{'':34}% of a batch at fault"]
    return "\n".join(lines)
