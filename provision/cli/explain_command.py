"""`provision explain`: what the support desk types, with a person on the phone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import allowance_options, checked_codes, codes_option, read_codes
from provision.cli.explain_text import NARROWEST, WIDEST, plain, plain_everybody, told, told_everybody
from provision.cli.output import columns, note
from provision.cli.station_options import open_server, server_option
from provision.drift.history import Allowance
from provision.drift.profiles import PROFILES
from provision.errors import InputError, UsageError

if TYPE_CHECKING:
    from provision.station.desk import Asked, Desk

_WHEN_IT_CHANGES = "Press Enter when the code on the token changes (or type it, if nobody can see it change)"


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

    Asks for two codes that followed each other, and when the first one appeared, which shows the clock to a few
    seconds. Looked at in this order: the server's clock, the account, a code used twice, another of the person's
    devices, the token's clock, its seed. The seed stays where it is; the server counts these questions and writes them
    down.
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
            _one(context, desk, who, codes_file, no_codes, allowance)


def _everybody(context: Context, desk: Desk, allowance: Allowance) -> None:
    from provision.station.explain.judge import everybody

    crowd, failing = everybody(desk, allowance)
    context.result(plain_everybody(crowd, failing), told_everybody(crowd, failing, _wide()))


def _one(
    context: Context,
    desk: Desk,
    who: str,
    codes_file: str | None,
    no_codes: bool,
    allowance: Allowance,
) -> None:
    from provision.station.explain.judge import explain as explain_one

    def ask(again: bool) -> Asked | None:
        if no_codes or (again and codes_file is not None):
            return None
        if codes_file is not None:
            return _asked(desk, read_codes(context, codes_file), None)
        if again:
            note("These codes fit nowhere. One may have been misread: two new ones, please.")
        return _by_telephone(context, desk)

    found = explain_one(desk, who, ask, PROFILES["embedded"], allowance)
    context.result(plain(found), told(found, _wide()))


def _wide() -> int:
    return columns(WIDEST, least=NARROWEST, most=WIDEST)


def _by_telephone(context: Context, desk: Desk) -> Asked:
    """Asked for, and the moment of the first one's appearance with it."""
    first = context.secrets.line_or_enter(_WHEN_IT_CHANGES, option="--codes")
    changed_s = None
    if not first:
        changed_s = desk.now()
        first = context.secrets.line(None, prompt="The code that it shows now", option="--codes")
    second = context.secrets.line(None, prompt="The next code", option="--codes")
    return _asked(desk, checked_codes([first, second]), changed_s)


def _asked(desk: Desk, codes: Sequence[str], changed_s: float | None) -> Asked:
    from provision.station.desk import Asked

    if len(codes) < 2 or len({len(code) for code in codes}) != 1:
        raise InputError("two codes in a row are needed, of as many digits", hint="one fits some clock by chance")
    return Asked(tuple(codes), desk.now(), changed_s)
