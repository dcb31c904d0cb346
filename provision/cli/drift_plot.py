"""`provision drift plot`: clocks and fleets as pictures, in the terminal or in a file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_fleet import how_many, judged, token_table
from provision.cli.drift_options import as_moment, as_number, at_option, read_text, server_options
from provision.cli.drift_text import told_estimate, told_outlook
from provision.cli.output import columns, counted
from provision.drift import document, outlook
from provision.drift.diagnosis import diagnose
from provision.drift.fleet import batches
from provision.drift.outlook import Server
from provision.drift.plot.offsets import offset_picture
from provision.drift.plot.pictures import Picture, written
from provision.drift.plot.polygons import polygon_picture
from provision.drift.plot.rates import rates_picture
from provision.drift.plot.terminal import NARROWEST, draw
from provision.errors import InputError, UsageError
from provision.extras import installing

_WIDEST = 120  # columns; wider, and a line is no longer taken in at a glance
_UNSEEN = 100  # columns, where no terminal says how many it has
_LISTED = 50  # tokens of a fleet in its report, those that fail first
_ANY = Server(None, (0, 0))  # a fleet's rates are the same at every server


@dataclass(frozen=True, slots=True)
class _Drawn:
    """`pictures`: by name, each with its title; the first is the one that a file of one picture shows. `told`: the same
    in words."""

    pictures: dict[str, tuple[str, Picture]]
    told: str


@click.command("plot")
@click.option("--input", "file", metavar="FILE", help="One token's observations, as JSON; - for standard input.")
@click.option("--fleet", "fleet_file", metavar="FILE", help="All tokens, a line of JSON each; - for standard input.")
@click.option("--out", metavar="FILE", help="Draw into FILE.svg, FILE.png or FILE.html (default: in the terminal).")
@click.option(
    "--picture",
    type=click.Choice(["offset", "polygon"]),
    help="Only the offset over time, or only the polygon of all clocks that fit (an .svg or .png: offset).",
)
@server_options
@click.option("--shift-s", metavar="S", callback=as_number, help="What the server remembers of this clock (fast: +).")
@at_option
@click.option("--until", "until_s", metavar="TIME", callback=as_moment, help="Show the time until then.")
@click.option("--bin-ppm", type=click.FloatRange(0.01, 100), default=1.0, help="Width of a fleet's bars (1).")
@common_options
def plot(
    context: Context,
    file: str | None,
    fleet_file: str | None,
    out: str | None,
    picture: str | None,
    server: Server | None,
    shift_s: Fraction | None,
    at_s: Fraction | None,
    until_s: Fraction | None,
    bin_ppm: float,
) -> None:
    """Draw what is known of a clock: its offset over time, and the polygon of all clocks that fit.

    With a server: what it accepts too, and the dates of failure. With --fleet: how the rates of all tokens are spread.
    """
    kind = None if out is None else Path(out).suffix.lower().removeprefix(".")
    if kind not in (None, "svg", "png", "html"):
        raise UsageError(f"what is {out} to be?", hint="its name ends in .svg, .png or .html")
    if server is None and (shift_s is not None or at_s is not None):
        raise UsageError("--shift-s and --at are about a server", hint="give --server-profile NAME, too")
    if file is not None and fleet_file is None:
        drawn = _token(file, server and replace(server, shift_s=shift_s), at_s, until_s)
    elif fleet_file is not None and file is None:
        if any(option is not None for option in (picture, shift_s, until_s)):
            raise UsageError("--picture, --shift-s and --until are for one token", hint="give --input instead")
        drawn = _fleet(fleet_file, server, Fraction(int(context.clock.now())) if at_s is None else at_s, bin_ppm)
    else:
        raise UsageError("of what?", hint="give --input FILE for one token, or --fleet FILE for all")
    if picture is not None:
        if picture not in drawn.pictures:
            raise InputError("no one clock fits all of this: there is no polygon", hint="`provision drift estimate`")
        drawn = replace(drawn, pictures={picture: drawn.pictures[picture]})
    if out is not None:
        _save(Path(out), _content(drawn, kind))
    numbers = {name: written(one) for name, (_, one) in drawn.pictures.items()}
    context.result({"file": out, "pictures": numbers}, out if out is not None else _in_letters(drawn))


def _token(file: str, server: Server | None, at_s: Fraction | None, until_s: Fraction | None) -> _Drawn:
    found = document.read(read_text(file))
    diagnosis = diagnose(found.model, found.observations)
    now = outlook.present(found.model, found.observations, diagnosis)
    ahead = None if server is None else outlook.outlook(now, server, server.window(found), at_s)
    run = diagnosis.runs[-1] if diagnosis.runs else range(len(found.observations))
    pictures: dict[str, tuple[str, Picture]] = {
        "offset": ("A token's clock over time", offset_picture(found, diagnosis, ahead, until_s))
    }
    polygon = polygon_picture(now, [found.observations[i] for i in run if i not in diagnosis.dropped])
    if polygon is not None:
        pictures["polygon"] = ("The clocks that could have shown what was seen", polygon)
    told = told_estimate(diagnosis)
    return _Drawn(pictures, told if ahead is None else f"{told}\n\n{told_outlook(ahead)}")


def _fleet(file: str, server: Server | None, at_s: Fraction, bin_ppm: float) -> _Drawn:
    tokens = judged(file, server or _ANY, at_s)
    rates = rates_picture(tokens, batches(tokens), bin_ppm)
    if not rates.bars:
        raise InputError("there is no token with a clock that fits")
    title = f"The rates of {counted(rates.tokens - rates.unknown, 'token')}"
    if rates.unknown:
        title += f"; of {rates.unknown} more no clock fits"
    listed = tokens[:_LISTED] if server is not None else []
    parts = [how_many(tokens, listed), *rates.batches]
    if listed:
        parts.append(token_table(listed))
    return _Drawn({"rates": (title, rates)}, "\n\n".join(parts))


def _in_letters(drawn: _Drawn) -> str:
    wide = columns(_UNSEEN, least=NARROWEST, most=_WIDEST)
    return "\n\n".join(f"{title}\n\n{draw(one, wide)}" for title, one in drawn.pictures.values())


def _content(drawn: _Drawn, kind: str | None) -> bytes:
    """Raises InputError where Matplotlib is missing."""
    try:
        from provision.drift.plot.charts import rendered
        from provision.drift.plot.report import page
    except ImportError:
        raise InputError(
            "pictures in files need Matplotlib, which is not installed here",
            hint=f"{installing('drift')}; without --out it is drawn in the terminal",
        ) from None
    if kind == "html":
        return page(drawn.pictures.values(), drawn.told).encode("utf-8")
    title, first = next(iter(drawn.pictures.values()))
    return rendered(first, title, "png" if kind == "png" else "svg")


def _save(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
