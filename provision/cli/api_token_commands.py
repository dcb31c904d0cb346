"""`provision server api-token create | list | revoke`: who may come to a server over HTTP."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from provision.cli.context import Context, common_options
from provision.cli.output import OutputLost, table, utc
from provision.cli.server_file import server_file, server_file_option
from provision.cli.station_options import write_secret
from provision.errors import InputError
from provision.servers.roles import Role

if TYPE_CHECKING:
    from provision.servers.embedded.api_tokens import ApiToken
    from provision.servers.embedded.backend import EmbeddedServer


@click.command("create")
@click.argument("name")
@server_file_option
@click.option(
    "--role",
    required=True,
    type=click.Choice([role.value for role in Role]),
    help="What its holder may do; docs/SERVER.md has the table.",
)
@click.option("--user", help="With the role user: whose devices.")
@click.option(
    "--api-token-out",
    "out_file",
    metavar="FILE",
    required=True,
    help="Where the token goes: a new file for your eyes only, or - for standard output.",
)
@common_options
def create(context: Context, name: str, server_address: str, role: str, user: str | None, out_file: str) -> None:
    """Let a program or a person in over HTTP. NAME is what the audit log will call them.

    The token is told this once; the server keeps only a hash of it.
    """
    with _open_file(context, server_address) as server:
        made, text = server.create_api_token(name, Role(role), user)
        plain = text.reveal().decode("ascii")
        try:
            if out_file == "-":
                context.result({**_plain(made), "api_token": plain}, plain)
                return
            write_secret(out_file, f"{plain}\n".encode("ascii"), "--api-token-out")
        except InputError:
            server.withdraw_api_token(made.name)
            raise
        except (OutputLost, BrokenPipeError):
            server.revoke_api_token(made.name)  # what was at the other end may have a part of it
            raise
    context.result({**_plain(made), "api_token_file": out_file}, f"{made.name!r} may come as {role}: {out_file}")


@click.command("list")
@server_file_option
@common_options
def list_command(context: Context, server_address: str) -> None:
    """List who may come over HTTP, and who might once. Tokens themselves are told to nobody."""
    with _open_file(context, server_address) as server:
        known = server.api_tokens()
    rows = [["NAME", "ROLE", "USER", "CREATED", "REVOKED"]]
    rows += [
        [
            one.name,
            one.role.value,
            one.user or "-",
            utc(one.created_s),
            "-" if one.revoked_s is None else utc(one.revoked_s),
        ]
        for one in known
    ]
    context.result({"api_tokens": [_plain(one) for one in known]}, table(rows) if known else "no API tokens")


@click.command("revoke")
@click.argument("name")
@server_file_option
@common_options
def revoke(context: Context, name: str, server_address: str) -> None:
    """Let the holder of NAME's token in no more, from the next request on. The name is not given again."""
    with _open_file(context, server_address) as server:
        server.revoke_api_token(name)
    context.result({"name": name, "revoked": True}, f"the API token {name!r} is revoked")


def _open_file(context: Context, server_address: str) -> EmbeddedServer:
    """The server behind HTTP, in its file: what gives access is not to be had by access."""
    from provision.servers.embedded.backend import EmbeddedServer

    return EmbeddedServer(server_file(server_address), context.clock, os.urandom)


def _plain(token: ApiToken) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role.value,
        "user": token.user,
        "created_s": token.created_s,
        "revoked_s": token.revoked_s,
    }
