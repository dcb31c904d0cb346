"""`provision token set-pin | change-pin | unblock | set-admin-key`."""

from __future__ import annotations

import click

from provision.cli.context import (
    Administrator,
    Context,
    administrator_options,
    common_options,
    model_option,
    pin_option,
    require_recognised,
    token_option,
)
from provision.cli.person import codes_option, person_of
from provision.model import Capability

new_pin_option = click.option(
    "--new-pin-file", metavar="FILE", help="The new PIN, - for standard input (default: ask)."
)


@click.command("set-pin")
@token_option
@new_pin_option
@common_options
def set_pin(context: Context, address: str, new_pin_file: str | None) -> None:
    """Give a token its first PIN, 6 to 16 digits."""
    with context.token(address) as (session, info):
        session.set_pin(context.secrets.new_pin(new_pin_file))
        context.result({"serial": info.serial, "pin": "set"}, f"token {info.serial} has its PIN now")


@click.command("change-pin")
@token_option
@pin_option
@new_pin_option
@common_options
def change_pin(context: Context, address: str, pin_file: str | None, new_pin_file: str | None) -> None:
    """Replace the PIN by a new one. A wrong old PIN costs an attempt."""
    with context.token(address) as (session, info):
        pin = context.secrets.pin(pin_file)
        session.change_pin(pin, context.secrets.new_pin(new_pin_file))
        context.result({"serial": info.serial, "pin": "changed"}, f"token {info.serial} has its new PIN now")


@click.command("unblock")
@token_option
@administrator_options
@new_pin_option
@click.option("--keep-pin", is_flag=True, help="Give back the attempts only; the old PIN stays.")
@common_options
def unblock(
    context: Context, address: str, administrator: Administrator, new_pin_file: str | None, keep_pin: bool
) -> None:
    """Give a blocked token its PIN attempts back, and normally a new PIN."""
    if keep_pin and new_pin_file is not None:
        raise click.UsageError("--keep-pin and --new-pin-file exclude each other")
    with context.token(address) as (session, info):
        if Capability.PIN in info.capabilities:  # else its driver says why not
            administrator.authenticate(context, session, info)
        session.unblock(None if keep_pin else context.secrets.new_pin(new_pin_file))
        what = "kept" if keep_pin else "replaced"
        context.result({"serial": info.serial, "pin": what}, f"token {info.serial} is unblocked, its PIN {what}")


@click.command("set-admin-key")
@token_option
@administrator_options
@click.option("--new-admin-key-file", metavar="FILE", required=True, help="The new key in hex, - for standard input.")
@codes_option
@model_option
@common_options
def set_admin_key(
    context: Context,
    address: str,
    administrator: Administrator,
    new_admin_key_file: str,
    codes_file: str | None,
    model: str | None,
) -> None:
    """Replace the administrator's keys on a token by ones that are derived from the organisation's key.

    Without --admin-key-file or --token-key-file the token must still have its factory keys. `token program` does this
    by itself, and keeps on record whose key a token obeys that does not tell, such as a Molto2.
    """
    from provision.station.keys import take_over

    with context.token(address) as (session, info):
        require_recognised(info, model)
        new = context.secrets.required_admin_key(new_admin_key_file, option="--new-admin-key-file")
        administrator.authenticate(context, session, info)
        take_over(session, info, new, person_of(context, codes_file))
        context.result(
            {"serial": info.serial, "admin_key": "changed"}, f"token {info.serial} has new administrator keys"
        )
