"""`provision explain`: what the support desk types, with a person on the phone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import allowance_options, codes_option, read_codes
from provision.cli.explain_text import plain, plain_everybody, told, told_everybody
from provision.cli.station_options import open_server, server_option
from provision.drift.history import Allowance
from provision.drift.profiles import PROFILES
from provision.errors import InputError, UsageError

if TYPE_CHECKING:
    from provision.station.desk import Desk


@click.command("explain")
@click.argument("who", metavar="[USER|SERIAL]", required=False)
@click.option(
    "--all", "everybody", is_flag=True, help="Everybody instead: has the server's clock moved, who is shut out?"
)
@server_option
@codes_option
@click.option("--no-codes", is_flag=True, help="Nobody has the token at hand: say what can be said without.")
@allowance_options
@common_options
def explain(
    context: Context,
    who: str | None,
    everybody: bool,
    server_address: str,
    codes_file: str | None,
    no_codes: bool,
    allowance: Allowance,
) -> None:
    """Say why the codes of a person, or of one token, are refused, and what to do about it.

    Asks for two codes that followed each other. Looked at in this order: the server's clock, the account, a code used
    twice, another of the person's devices, the token's clock, its seed. The seed stays where it is; the server counts
    these questions and writes them down.
    """
    from provision.station.desk import Desk

    if (who is None) != everybody:
        raise UsageError("whose codes?", hint="name a user or a serial, or give --all")
    if no_codes and codes_file is not None:
        raise UsageError("--no-codes and --codes contradict each other")
    with open_server(context, server_address) as server:
        desk = Desk(server, context.clock)
        if who is None:
            _everybody(context, desk, allowance)
        else:
            _one(context, desk, server_address, who, codes_file, no_codes, allowance)


def _everybody(context: Context, desk: Desk, allowance: Allowance) -> None:
    from provision.station.explain.judge import everybody

    crowd, failing = everybody(desk, allowance)
    context.result(plain_everybody(crowd, failing), told_everybody(crowd, failing))


def _one(
    context: Context,
    desk: Desk,
    server_address: str,
    who: str,
    codes_file: str | None,
    no_codes: bool,
    allowance: Allowance,
) -> None:
    from provision.station.explain.judge import explain as explain_one

    def codes() -> tuple[str, ...] | None:
        if no_codes or not desk.can_match:
            return None
        given = tuple(read_codes(context, codes_file))
        if len(given) < 2 or len({len(code) for code in given}) != 1:
            raise InputError("two codes in a row are needed, of as many digits", hint="one fits some clock by chance")
        return given

    found = explain_one(desk, who, codes, PROFILES["embedded"], allowance)
    context.result(plain(found), told(found))
