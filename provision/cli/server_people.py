"""`provision server user add | list | remove`: who is known to a server, with devices or without."""

from __future__ import annotations

from collections import Counter

import click

from provision.cli import when
from provision.cli.context import Context, common_options
from provision.cli.output import table
from provision.cli.server_common import require
from provision.cli.station_options import open_server, server_option
from provision.errors import InputError, UsageError
from provision.servers.backend import ServerCapability

MAX_FILE = 2**20  # bytes; login names of 20,000 people


@click.command("add")
@click.argument("users", nargs=-1, metavar="[USER]...")
@server_option
@click.option("--from-file", metavar="FILE", help="Login names, one a line, - for standard input.")
@common_options
def add(context: Context, server_address: str, users: tuple[str, ...], from_file: str | None) -> None:
    """Make people known who have no device yet. All of them or, if one name cannot be, none.

    Until the cut-over, logins of people without a device are sent to the old way.
    """
    from provision.servers.embedded.names import clean

    names = [clean("user", user) for user in users] + ([] if from_file is None else _names(from_file))
    if not names:
        raise UsageError("nobody is named", hint="give login names, or a file of them by --from-file")
    with open_server(context, server_address) as server:
        require(server, ServerCapability.MIGRATE)
        new = list(server.add_people(list(dict.fromkeys(names))))
    known = [user for user in dict.fromkeys(names) if user not in new]
    text = f"{len(new)} added" + (f", {len(known)} known already" if known else "")
    context.result({"added": new, "known": known}, text)


@click.command("list")
@server_option
@common_options
def list_command(context: Context, server_address: str) -> None:
    """List everybody who is known, and until when somebody is sent to the old way though they have a device."""
    with open_server(context, server_address) as server:
        require(server, ServerCapability.MIGRATE)
        devices = Counter(device.user for device in server.list() if not device.pending)
        people = server.people()
    rows = [["USER", "DEVICES", "FALLBACK UNTIL"]]
    rows += [
        [one.user, str(devices[one.user]), "-" if one.fallback_until_s is None else when.shown(one.fallback_until_s)]
        for one in people
    ]
    plain = [
        {"user": one.user, "devices": devices[one.user], "fallback_until_s": one.fallback_until_s} for one in people
    ]
    context.result({"people": plain}, table(rows) if people else "nobody")


@click.command("remove")
@click.argument("user")
@server_option
@common_options
def remove(context: Context, user: str, server_address: str) -> None:
    """Forget a person who has no devices any more. API tokens of theirs are revoked."""
    with open_server(context, server_address) as server:
        require(server, ServerCapability.MIGRATE)
        server.remove_person(user)
    context.result({"user": user, "removed": True}, f"{user!r} is forgotten")


def _names(file: str) -> list[str]:
    """The login names in a file. Raises InputError, with the line."""
    from provision.servers.embedded.names import clean

    try:
        with click.open_file(file, "rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"{file} (--from-file) cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE:
        raise InputError(f"{file} (--from-file) is over {MAX_FILE} bytes", hint="give it in parts")
    named = "standard input" if file == "-" else file
    names = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            name = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            if name:
                names.append(clean("user", name))
        except UnicodeDecodeError:
            raise InputError(f"line {number} of {named} is not UTF-8", hint="nobody was added") from None
        except InputError as error:
            raise InputError(f"line {number} of {named}: {error.message}", hint="nobody was added") from None
    return names
