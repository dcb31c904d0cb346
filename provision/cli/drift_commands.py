"""`provision drift estimate | predict`: the documents of other people's scripts, or one screen for a person."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import as_number, as_range, at_option, input_option, read_text, server_options
from provision.cli.drift_text import told_estimate, told_outlook
from provision.drift import document, outlook
from provision.drift.diagnosis import diagnose
from provision.drift.document import Document
from provision.drift.estimate import Interval, Model
from provision.drift.outlook import Server
from provision.errors import UsageError


@click.command("estimate")
@input_option
@common_options
def estimate(context: Context, file: str | None) -> None:
    """Find every clock that could have shown what was seen: bounds of its offset and rate, guaranteed.

    Where no clock could: what happened to it.
    """
    if file is None:
        raise UsageError("which observations?", hint="give --input FILE; `provision drift observe` makes one")
    found = document.read(read_text(file))
    diagnosis = diagnose(found.model, found.observations)
    context.result(document.written(diagnosis), told_estimate(diagnosis))


@click.command("predict")
@input_option
@server_options
@click.option("--shift-s", metavar="S", callback=as_number, help="What the server remembers of this clock (fast: +).")
@at_option
@click.option(
    "--rate-error-ppm",
    metavar="LEAST..GREATEST",
    callback=as_range,
    help="Before buying: what the data sheet promises, as -5..5.",
)
@click.option(
    "--offset-s", metavar="LEAST..GREATEST", callback=as_range, help="Before buying: how well it is set (default: 0)."
)
@click.option("--time-step", "time_step_s", type=click.IntRange(1, 3600), help="Before buying (default: 30).")
@common_options
def predict(
    context: Context,
    file: str | None,
    server: Server | None,
    shift_s: Fraction | None,
    at_s: Fraction | None,
    rate_error_ppm: Interval | None,
    offset_s: Interval | None,
    time_step_s: int | None,
) -> None:
    """Say when a server will refuse a token's codes: the first date possible, the first certain, and the last.

    Of a server that follows a clock from login to login, the first date is the one to log in before. Before buying,
    without any token: --rate-error-ppm instead of --input.
    """
    if server is None:
        raise UsageError("which server?", hint="give --server-profile, or --back-steps and --forward-steps")
    if (file is None) == (rate_error_ppm is None):
        raise UsageError("of which clock?", hint="give --input FILE, or --rate-error-ppm to ask before buying")
    if file is not None and (offset_s is not None or time_step_s is not None):
        raise UsageError("--offset-s and --time-step go with --rate-error-ppm", hint="FILE says them")
    if file is not None:
        found = document.read(read_text(file))
    else:
        start_s = Fraction(int(context.clock.now())) if at_s is None else at_s
        at_s = None
        set_to = offset_s or (Fraction(0), Fraction(0))
        found = Document(Model(start_s, set_to, rate_error_ppm or set_to), (), time_step_s or 30, 0)
    server = replace(server, shift_s=shift_s)
    diagnosis = diagnose(found.model, found.observations)
    ahead = outlook.outlook(diagnosis.estimate, server, server.window(found), at_s)
    context.result(
        {**document.written(diagnosis), **outlook.written(ahead)},
        f"{told_estimate(diagnosis)}\n\n{told_outlook(ahead)}",
    )
