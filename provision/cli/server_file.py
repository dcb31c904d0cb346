"""What the commands share that need a server's file itself, on its machine."""

from __future__ import annotations

from pathlib import Path

import click

from provision.errors import UsageError

server_file_option = click.option(
    "--server", "server_address", metavar="SERVER", required=True, help="The server's file: embedded:FILE."
)


def server_file(address: str) -> Path:
    """FILE of `embedded:FILE`. Raises UsageError."""
    scheme, _, rest = address.partition(":")
    if scheme != "embedded" or not rest:
        raise UsageError(f"{address!r} is not a server's file", hint="use embedded:FILE, on the machine of the server")
    return Path(rest)
