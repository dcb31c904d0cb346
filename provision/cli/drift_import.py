"""`provision drift import`: past logins, from the embedded server's history or from CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import allowance_options, lines_of
from provision.cli.output import print_json
from provision.cli.station_options import api_token_option, open_server
from provision.drift.history import Allowance, document_of, from_csv
from provision.errors import InputError, NotSupported, UsageError

if TYPE_CHECKING:
    from provision.servers.backend import Device, ServerBackend
    from provision.station.desk import Login


@click.command("import")
@click.argument("device", required=False)
@click.option("--server", "server_address", metavar="SERVER", help="The server, for example embedded:FILE.")
@api_token_option
@click.option("--csv", "csv_file", metavar="FILE", help="Rows of serial, time, step (or drift_steps), box, made.")
@click.option("--time-step", "time_step_s", type=click.IntRange(1, 3600), default=30, help="Of the CSV (default: 30).")
@allowance_options
@common_options
def import_command(
    context: Context,
    device: str | None,
    server_address: str | None,
    csv_file: str | None,
    time_step_s: int,
    allowance: Allowance,
) -> None:
    """Read observations from past logins.

    Of one DEVICE (its serial, id or, where it is the only one, its user): the document that `estimate --input` reads.
    Of all: a line of JSON for each token, which `fleet --input` reads. Logins before a token's clock was last set
    are left out.
    """
    if (server_address is None) == (csv_file is None):
        raise UsageError("from where?", hint="give --server SERVER or --csv FILE")
    with _tokens(context, server_address, csv_file, time_step_s, allowance) as tokens:
        if device is None:
            for token in tokens:
                print_json(token)
            return
        found = [token for token in tokens if device in (token.get(name) for name in ("serial", "device_id", "user"))]
    if len(found) != 1:
        raise InputError(
            f"{len(found) or 'no'} tokens with logins are {device!r}", hint="name one by its serial; without, all come"
        )
    print_json(found[0]["document"])


@contextmanager
def _tokens(
    context: Context, server_address: str | None, csv_file: str | None, time_step_s: int, allowance: Allowance
) -> Iterator[Iterable[dict[str, Any]]]:
    if server_address is not None:
        with open_server(context, server_address) as server:
            yield _from_server(context, server, server_address, allowance)
    elif csv_file is not None:
        with lines_of(csv_file) as lines:
            yield from_csv(lines, time_step_s, allowance)


def _from_server(
    context: Context, server: ServerBackend, address: str, allowance: Allowance
) -> Iterator[dict[str, Any]]:
    from provision.servers.backend import ServerCapability
    from provision.station.desk import Desk

    if ServerCapability.HISTORY not in server.capabilities:
        raise NotSupported(f"{address} does not tell of past logins", capability=ServerCapability.HISTORY.value)
    desk = Desk(server, context.clock)
    devices = {device.device_id: device for device in desk.devices()}
    for device_id, logins in desk.logins_of_all():
        if device_id in devices:
            yield _token(devices[device_id], logins, allowance)


def _token(device: Device, logins: Sequence[Login], allowance: Allowance) -> dict[str, Any]:
    step_s = device.parameters.time_step_s
    return {
        "serial": device.serial,
        "device_id": device.device_id,
        "user": device.user,
        "shift_s": device.drift_steps * step_s,
        "document": document_of(logins, step_s, device.parameters.t0_s, allowance),
    }
