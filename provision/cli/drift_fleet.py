"""`provision drift fleet`: all tokens at once, in as many processes as there are cores, in a memory that stays flat."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from fractions import Fraction
from itertools import chain, islice
from multiprocessing import get_context
from typing import Any

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import at_option, input_option, lines_of, server_options
from provision.cli.output import counted, table
from provision.drift.fleet import Batch, Token, assess_all, batches, by_urgency, portions
from provision.drift.history import BATCHES
from provision.drift.moments import iso_or_none
from provision.drift.outlook import Server
from provision.drift.plot.rates import RatesPicture, rates_picture
from provision.drift.plot.terminal import draw_rates
from provision.errors import UsageError

PORTION = 200  # tokens that a process is given at a time


@click.command("fleet")
@input_option
@server_options
@at_option
@click.option("--bin-ppm", type=click.FloatRange(0.01, 100), default=1.0, help="Width of the histogram's bars (1).")
@click.option("--top", type=click.IntRange(min=0), help="Show so many tokens (default: 20; with --json all).")
@click.option("--processes", type=click.IntRange(1, 256), help="Work in so many processes (default: one a core).")
@common_options
def fleet(
    context: Context,
    file: str | None,
    server: Server | None,
    at_s: Fraction | None,
    bin_ppm: float,
    top: int | None,
    processes: int | None,
) -> None:
    """Judge all tokens: who will be refused first, how their rates are spread, which batches are at fault.

    FILE has a line of JSON for each token, as `provision drift import` prints them. Dates are from now on, or --at.
    """
    if file is None:
        raise UsageError("which tokens?", hint="give --input FILE, with lines as `provision drift import` prints them")
    if server is None:
        raise UsageError("which server?", hint="give --server-profile, or --back-steps and --forward-steps")
    if at_s is None:
        at_s = Fraction(int(context.clock.now()))
    tokens = judged(file, server, at_s, processes)
    suspects = batches(tokens)
    rates = rates_picture(tokens, suspects, bin_ppm)
    shown = tokens[: len(tokens) if context.as_json and top is None else 20 if top is None else top]
    context.result(
        {
            "count": len(tokens),
            "tokens": [_plain(token) for token in shown],
            "rates": [
                {"from_ppm": bar.from_ppm, "to_ppm": bar.from_ppm + bin_ppm, "count": bar.count} for bar in rates.bars
            ],
            "batches": [_plain_batch(batch) for batch in suspects],
        },
        _told(tokens, shown, rates),
    )


def judged(file: str, server: Server, at_s: Fraction, processes: int | None = None) -> list[Token]:
    """All tokens of a file, the most urgent first; None: in one process a core. Raises InputError."""
    with lines_of(file) as lines:
        return by_urgency(_labels_shared(assessed(lines, server, at_s, processes or os.cpu_count() or 1)))


def assessed(lines: Iterable[str], server: Server, at_s: Fraction, processes: int) -> Iterator[Token]:
    """In the order of the lines. However many there are, only a few portions are in memory at once."""
    todo = portions(lines, PORTION)
    first = list(islice(todo, 2))
    if processes == 1 or len(first) < 2:
        for portion in chain(first, todo):
            yield from assess_all(portion, server, at_s)
        return
    # Spawned everywhere: a fork of a process with threads may hang, and where it is the default has changed.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        running: deque[Future[list[Token]]] = deque()
        for portion in chain(first, todo):
            running.append(pool.submit(assess_all, portion, server, at_s))
            if len(running) > 2 * processes:
                yield from running.popleft().result()
        while running:
            yield from running.popleft().result()


def _labels_shared(tokens: Iterable[Token]) -> Iterator[Token]:
    """Equal labels as one object: what comes from another process is a copy each time."""
    known: dict[tuple[str | None, ...], tuple[str | None, ...]] = {}
    return (token._replace(labels=known.setdefault(token.labels, token.labels)) for token in tokens)


def _plain(token: Token) -> dict[str, Any]:
    return {
        "serial": token.serial,
        **dict(zip(BATCHES, token.labels, strict=True)),
        "first_possible_failure": iso_or_none(token.first_s),
        "certain_failure": iso_or_none(token.certain_s),
        "total_failure": iso_or_none(token.total_s),
        "rate_error_ppm": token.rates_ppm and [token.rates_ppm[0], token.rates_ppm[2]],
        "offset_s": token.offset_s,
        "causes": list(token.causes),
    }


def _plain_batch(batch: Batch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in Batch.__slots__}


def token_table(tokens: list[Token]) -> str:
    rows = [["SERIAL", *(name.upper() for name in BATCHES), "MAY FAIL", "WILL FAIL", "PPM", "CLOCK"]]
    for token in tokens:
        ppm = "-" if token.rates_ppm is None else f"{token.rates_ppm[0]:+.2f} to {token.rates_ppm[2]:+.2f}"
        days = [(iso_or_none(unix_s) or "never")[:10] for unix_s in (token.first_s, token.certain_s)]
        if token.rates_ppm is None:
            days = ["unknown", "unknown"]
        labels = [label or "-" for label in token.labels]
        rows.append([token.serial, *labels, *days, ppm, ", ".join(token.causes) or "-"])
    return table(rows)


def how_many(tokens: list[Token], shown: list[Token]) -> str:
    """There are, and that a table of `shown` is not of all."""
    are = counted(len(tokens), "token")
    return are if len(shown) in (0, len(tokens)) else f"{are}; listed: {len(shown)}, those that may fail first"


def _told(tokens: list[Token], shown: list[Token], rates: RatesPicture) -> str:
    parts = [how_many(tokens, shown)]
    if shown:
        parts.append(token_table(shown))
    if rates.bars:
        parts.append(draw_rates(rates))
    return "\n\n".join([*parts, *rates.batches])
