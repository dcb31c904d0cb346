"""`provision drift find-clock`."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import as_moment
from provision.cli.station_options import algorithm_option, parameters_from, time_step_option
from provision.drift.moments import DAY_S, iso
from provision.errors import InputError
from provision.extras import installing
from provision.seeds.text import SeedFormat

if TYPE_CHECKING:
    from provision.drift.search import Candidate, Progress
    from provision.drift.seed_mistakes import Finding

NOTHING_FOUND = 4
SHORTEST = 6  # digits of a code
_SURE = 1e-6  # as good as a code of six digits that is right at once


@click.command("find-clock")
@click.option("--seed-file", metavar="FILE", required=True, help="The seed on record, - for standard input.")
@click.option(
    "--seed-format",
    "encoding",
    type=click.Choice([encoding.value for encoding in SeedFormat]),
    default="auto",
    help="How --seed-file spells it (default: what it looks like).",
)
@click.option(
    "--codes",
    "codes_file",
    metavar="FILE",
    help="Two or three codes that followed each other, one a line, - for standard input (default: ask for two).",
)
@click.option(
    "--at",
    "at_s",
    metavar="TIME",
    callback=as_moment,
    help="When the first code appeared: Unix seconds, or ISO 8601 in UTC (default: the last one is of now).",
)
@click.option("--born", "born_s", metavar="TIME", callback=as_moment, help="When the token was made or first set.")
@algorithm_option
@time_step_option
@click.option("--everywhere", is_flag=True, help="Go on after the first find: every candidate from 1970 to 2106.")
@common_options
def find_clock(
    context: Context,
    seed_file: str,
    encoding: str,
    codes_file: str | None,
    at_s: Fraction | None,
    born_s: Fraction | None,
    algorithm: str | None,
    time_step_s: int | None,
    everywhere: bool,
) -> None:
    """Find what a token's clock shows, from two or three codes that it showed one after the other.

    Where a clock is likely to be comes first, then all of 1970 to 2106; also told is which mistake in the seed would
    explain the codes. Every answer has its odds: how many clocks would show these codes by mere chance. Exit code 4
    if there is no answer.
    """
    from provision.drift import places, search, seed_mistakes
    from provision.drift.fastest import scan_fastest
    from provision.seeds.text import parse_seed_file

    secret = parse_seed_file(
        context.secrets.read(seed_file, "--seed-file"), SeedFormat(encoding), allow_short_seed=True
    )
    codes = _codes(context, codes_file)
    parameters = parameters_from(len(codes[0]), algorithm, time_step_s)
    if at_s is None:
        at_s = Fraction(int(context.clock.now()) - (len(codes) - 1) * parameters.time_step_s)
    shown = search.Shown(codes, int(at_s))
    mistakes = seed_mistakes.find(shown, seed_mistakes.hypotheses(secret, parameters, digits=shown.digits))
    where = places.likely(shown.at_s, None if born_s is None else int(born_s))
    if mistakes and not everywhere:
        where = where[:1]  # it is explained already, unless the clock is right
    candidates: list[Candidate] = []
    with _progress(context) as progress:
        for candidate in search.search(
            shown, secret, parameters, where, scanner=scan_fastest, workers=os.cpu_count() or 1, progress=progress
        ):
            candidates.append(candidate)
            if not everywhere:
                break
    context.result(
        {"candidates": [_plain(one) for one in candidates], "seed_mistakes": [_plain_mistake(one) for one in mistakes]},
        _told(candidates, mistakes),
    )
    if not candidates and not mistakes:
        click.get_current_context().exit(NOTHING_FOUND)


def _codes(context: Context, file: str | None) -> tuple[str, ...]:
    """Raises InputError, without a code in its text."""
    if file is None:
        lines = [context.secrets.line(None, prompt=name, option="--codes") for name in ("First code", "Next code")]
    else:
        lines = context.secrets.read(file, "--codes").decode("ascii", "replace").splitlines()
    codes: list[str] = []
    for line in lines:
        words = line.split()
        grouped = any(len(word) < SHORTEST for word in words)  # "123 456", as tokens show a code
        codes += ["".join(words)] if grouped else words
    if not codes:
        raise InputError("there are no codes", hint="give two or three that the token showed in a row, one a line")
    return tuple(codes)


@contextmanager
def _progress(context: Context) -> Iterator[Progress | None]:
    """A bar on standard error, if somebody sees it."""
    if context.as_json or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    if importlib.util.find_spec("numpy") is None:
        context.say(f"all of 1970 to 2106 takes minutes; seconds with: {installing('drift-fast')}")
    with click.progressbar(length=1, label="1970 to 2106", file=sys.stderr) as bar:

        def progress(tried: int, total: int) -> None:
            bar.length = total
            bar.update(tried - bar.pos)

        yield progress


def _plain(candidate: Candidate) -> dict[str, object]:
    return {
        "unix": candidate.unix_s,
        "offset_s": candidate.offset_s,
        "reason": candidate.place.reason,
        "odds": float(candidate.odds),
    }


def _plain_mistake(finding: Finding) -> dict[str, object]:
    return {
        "name": finding.hypothesis.name,
        "what": finding.hypothesis.what,
        "unix": finding.unix_s,
        "offset_s": finding.offset_s,
        "odds": float(finding.odds),
    }


def _told(candidates: list[Candidate], mistakes: list[Finding]) -> str:
    lines = []
    for candidate in candidates:
        lines.append(f"clock  {iso(candidate.unix_s)}, {_offset(candidate.offset_s)}: {candidate.place.what}")
        lines.append(f"       by mere chance: {_chance(candidate.odds)}")
    for finding in mistakes:
        lines.append(f"seed   {finding.hypothesis.what}; its clock is {_offset(finding.offset_s)}")
        lines.append(f"       by mere chance: {_chance(finding.odds)}")
    if any(candidate.odds > _SURE for candidate in candidates):
        lines.append("To be surer, give three codes in a row: --codes FILE.")
    if not lines:
        lines = [
            "no clock from 1970 to 2106 would have shown these codes one after the other.",
            "Either one was mistyped or left out, or the token has another seed: try two new ones.",
        ]
    return "\n".join(lines)


def _offset(offset_s: int) -> str:
    days, rest = divmod(abs(offset_s), DAY_S)
    size = f"{days} d {rest // 3600:d} h" if days else f"{rest // 3600}:{rest // 60 % 60:02d}:{rest % 60:02d} h"
    return f"{size} {'ahead' if offset_s >= 0 else 'behind'} ({offset_s:+d} s)"


def _chance(odds: Fraction) -> str:
    """One in so many, or how many to expect."""
    return f"1 in {int(1 / odds):,}" if odds < 1 else f"{float(odds):,.0f} such clocks are to be expected"
