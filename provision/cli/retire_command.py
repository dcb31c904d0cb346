"""`provision token retire`."""

from __future__ import annotations

import click

from provision.cli.context import (
    Context,
    common_options,
    confirm_serial,
    model_option,
    require_recognised,
    token_option,
)
from provision.cli.person import codes_option, person_of
from provision.cli.station_options import (
    absolute,
    ledger_option,
    master_key_option,
    open_ledger,
    open_server,
    server_option,
)
from provision.cli.station_run import show_step


@click.command("retire")
@token_option
@server_option
@click.option("--serial", metavar="SN", help="The token's serial, to prove that you mean this one (default: ask).")
@click.option("--wipe", is_flag=True, help="Reset the whole token to its factory state.")
@master_key_option
@codes_option
@model_option
@ledger_option
@common_options
def retire(
    context: Context,
    address: str,
    server_address: str,
    serial: str | None,
    wipe: bool,
    model: str | None,
    admin_key_file: str | None,
    codes_file: str | None,
    ledger_path: str | None,
) -> None:
    """Take a token back: close it at the server, then delete its seed.

    Stopped anywhere, the same command again finishes it.
    """
    from provision.station import retire as station
    from provision.station.ledger import record

    with open_ledger(context, ledger_path) as ledger, context.token(address) as (session, info):
        require_recognised(info, model)
        confirm_serial(info, serial, "retire")
        admin_key = context.secrets.admin_key(admin_key_file)
        with open_server(context, server_address) as server:
            entry = station.retire(
                session=session,
                ledger=ledger,
                server=server,
                server_address=absolute(server_address),
                admin_key=admin_key,
                wipe=wipe,
                observer=lambda step, note: show_step(context, step, note),
                person=person_of(context, codes_file),
            )
    if context.as_json:
        context.result(record(entry), "")
