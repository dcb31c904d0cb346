"""`provision token rotate`."""

from __future__ import annotations

import secrets

import click

from provision.cli.context import (
    Context,
    common_options,
    confirm_serial,
    model_option,
    require_recognised,
    token_option,
)
from provision.cli.station_options import api_token_option, ledger_option, open_ledger, open_server
from provision.cli.station_run import (
    RunOptions,
    resumable,
    run_options,
    show_outcome,
    show_step,
    step_observer,
    warn_of_published_key,
)


@click.command("rotate")
@token_option
@click.option("--serial", metavar="SN", help="The token's serial, to prove that you mean this one (default: ask).")
@run_options
@model_option
@ledger_option
@api_token_option
@common_options
def rotate(
    context: Context,
    address: str,
    serial: str | None,
    ledger_path: str | None,
    model: str | None,
    options: RunOptions,
) -> None:
    """Give a token in use a new seed and the right time at once, and register it anew.

    For tokens whose clock cannot be set without losing the seed, and for a seed that somebody may have seen. The user
    and the server are those on record. Stopped anywhere, the same command again goes on from there.
    """
    from provision.station import rotate as station
    from provision.station.retire import on_record

    with open_ledger(context, ledger_path) as ledger, context.token(address) as (session, info):
        job = on_record(ledger, info).job
        require_recognised(info, model)
        confirm_serial(info, serial, f"replace the seed of {job.user} on")
        options.require_clock(context, info)
        warn_of_published_key(context, info)
        access = options.access(context, info)
        with open_server(context, job.server) as server, resumable(ledger, info.serial):
            outcome = station.rotate(
                session=session,
                ledger=ledger,
                server=server,
                clock=context.clock,
                access=access,
                randbytes=secrets.token_bytes,
                observer=step_observer(context),
                retire_observer=lambda step, note: show_step(context, step, note),
            )
    show_outcome(context, outcome, f"machine time    {outcome.machine_s * 1000:.0f} ms")
