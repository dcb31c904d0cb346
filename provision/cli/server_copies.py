"""`provision server backup | restore | rotate-key`: a server's file and its key, copied, put back, changed."""

from __future__ import annotations

import os
from pathlib import Path

import click

from provision.cli.context import Context, common_options
from provision.cli.output import utc
from provision.cli.server_file import server_file, server_file_option


@click.command("backup")
@click.argument("copy", type=click.Path(path_type=Path))
@server_file_option
@common_options
def backup(context: Context, copy: Path, server_address: str) -> None:
    """Copy a server, while it is in use, to the file COPY and its key beside it: `embedded:COPY` is a server too.

    Whoever has both files has every seed. Codes that were used after the copy was made are new to it.
    """
    from provision.servers.embedded.backup import back_up
    from provision.servers.embedded.keys import key_path

    back_up(server_file(server_address), copy)
    context.result({"server": f"embedded:{copy}", "key_file": str(key_path(copy))}, f"{copy} and {key_path(copy)}")


@click.command("restore")
@click.argument("copy", type=click.Path(path_type=Path))
@server_file_option
@common_options
def restore(context: Context, copy: Path, server_address: str) -> None:
    """Make a server of the backup COPY and its key, on this machine or another. Nothing is overwritten.

    Codes that may have been used since the backup was made are not accepted again, so everybody waits for a new one.
    """
    from provision.servers.embedded.restore import restore as restore_copy

    path = server_file(server_address)
    found = restore_copy(copy, path, context.clock, os.urandom)
    last = (
        "nothing was ever done in it" if found.last_s is None else f"it knows what was done until {utc(found.last_s)}"
    )
    context.result(
        {
            "server": f"embedded:{path}",
            "devices": found.devices,
            "people": found.people,
            "last_s": found.last_s,
            "accepts_from_s": found.accepts_from_s,
        },
        f"devices: {found.devices}, of people: {found.people}; {last}\n"
        f"codes are accepted again from {utc(found.accepts_from_s)} on",
    )


@click.command("rotate-key")
@server_file_option
@common_options
def rotate_key(context: Context, server_address: str) -> None:
    """Seal every seed anew under a fresh key, while servers run on the file.

    The old key opens nothing in the file any more; a backup that was made before still needs its own.
    """
    from provision.servers.embedded.backend import EmbeddedServer

    with EmbeddedServer(server_file(server_address), context.clock, os.urandom) as server:
        devices = server.rotate_key()
    context.result({"devices": devices}, f"{devices} seeds are sealed under a new key")
