"""`provision token lock | unlock`: the screen of a token that shows codes."""

from __future__ import annotations

import click

from provision.cli.context import Administrator, Context, administrator_options, common_options, token_option
from provision.model import Capability


@click.command("lock")
@token_option
@administrator_options
@common_options
def lock(context: Context, address: str, administrator: Administrator) -> None:
    """Lock a token's screen: it shows no codes until it is unlocked."""
    _set(context, address, administrator, locked=True)


@click.command("unlock")
@token_option
@administrator_options
@common_options
def unlock(context: Context, address: str, administrator: Administrator) -> None:
    """Unlock a token's screen."""
    _set(context, address, administrator, locked=False)


def _set(context: Context, address: str, administrator: Administrator, *, locked: bool) -> None:
    with context.token(address) as (session, info):
        if Capability.SCREEN_LOCK in info.capabilities:
            administrator.authenticate(context, session, info)
        session.lock_screen(locked)
        word = "locked" if locked else "unlocked"
        context.result({"serial": info.serial, "screen": word}, f"the screen of token {info.serial} is {word}")
