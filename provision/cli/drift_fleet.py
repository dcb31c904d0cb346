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
from provision.cli.output import table
from provision.drift.fleet import Batch, Token, assess_all, batches, by_urgency, histogram, portions
from provision.drift.history import BATCHES
from provision.drift.moments import iso_or_none
from provision.drift.outlook import Server
from provision.errors import UsageError

PORTION = 200  # tokens that a process is given at a time
_BAR = 40  # columns of the longest bar


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
    with lines_of(file) as lines:
        tokens = by_urgency(_labels_shared(assessed(lines, server, at_s, processes or os.cpu_count() or 1)))
    suspects, bars = batches(tokens), histogram(tokens, bin_ppm)
    shown = tokens[: len(tokens) if context.as_json and top is None else 20 if top is None else top]
    context.result(
        {
            "count": len(tokens),
            "tokens": [_plain(token) for token in shown],
            "rates": [{"from_ppm": low, "to_ppm": low + bin_ppm, "count": count} for low, count in bars],
            "batches": [_plain_batch(batch) for batch in suspects],
        },
        _told(tokens, shown, bars, bin_ppm, suspects),
    )


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


def _told(
    tokens: list[Token], shown: list[Token], bars: list[tuple[float, int]], bin_ppm: float, suspects: list[Batch]
) -> str:
    parts = [f"{len(tokens)} tokens"]
    if shown:
        rows = [["SERIAL", *(name.upper() for name in BATCHES), "MAY FAIL", "WILL FAIL", "PPM", "CLOCK"]]
        for token in shown:
            rates = "-" if token.rates_ppm is None else f"{token.rates_ppm[0]:+.2f} to {token.rates_ppm[2]:+.2f}"
            days = [(iso_or_none(unix_s) or "never")[:10] for unix_s in (token.first_s, token.certain_s)]
            if token.rates_ppm is None:
                days = ["unknown", "unknown"]
            labels = [label or "-" for label in token.labels]
            rows.append([token.serial, *labels, *days, rates, ", ".join(token.causes) or "-"])
        parts.append(table(rows))
    if bars:
        most = max(count for _, count in bars)
        lines = [
            f"{low:+8.2f} to {low + bin_ppm:+8.2f} ppm  {count:>6}  {'#' * round(count * _BAR / most)}".rstrip()
            for low, count in bars
        ]
        parts.append("\n".join(lines))
    parts += [
        f"{batch.label} {batch.value}: {batch.count} of {batch.size} are {batch.fault}, elsewhere"
        f" {batch.elsewhere:.1%}; by chance: {batch.chance:.1g}"
        for batch in suspects
    ]
    return "\n\n".join(parts)
