"""`provision server init | register | check | list | rename | resync | disable | enable | delete`."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from provision.cli import when
from provision.cli.context import Context, common_options
from provision.cli.output import OutputLost, table
from provision.cli.server_common import (
    code_option,
    codes_from,
    confirm,
    of_user_option,
    plain_device,
    show_accepted,
    the_device,
)
from provision.cli.station_options import (
    algorithm_option,
    digits_option,
    open_server,
    parameters_from,
    server_option,
    time_step_option,
    write_secret,
)
from provision.errors import ProvisionError, Rejected, UsageError
from provision.servers.backend import Person, ServerCapability
from provision.servers.ways import Way, way_in

if TYPE_CHECKING:
    from provision.servers.backend import Device, ServerBackend


@click.command("init")
@server_option
@common_options
def init(context: Context, server_address: str) -> None:
    """Make an embedded server: a database, and beside it the key that its seeds are encrypted under."""
    scheme, _, rest = server_address.partition(":")
    if scheme != "embedded" or not rest:
        raise UsageError(f"{server_address!r} is not a server that can be made here", hint="use embedded:FILE")
    from provision.servers.embedded.backend import EmbeddedServer

    EmbeddedServer.init(Path(rest), context.clock, secrets.token_bytes).close()
    context.result({"server": server_address}, f"server made: {server_address}")


@click.command("register")
@server_option
@click.option("--user", required=True, help="The login name.")
@click.option("--name", required=True, help="What that person calls the device.")
@click.option(
    "--otpauth-out",
    metavar="FILE",
    required=True,
    help="Where the otpauth URI with the fresh seed goes: a new file for your eyes only, or - for standard output.",
)
@digits_option
@algorithm_option
@time_step_option
@common_options
def register(
    context: Context,
    server_address: str,
    user: str,
    name: str,
    otpauth_out: str,
    digits: int | None,
    algorithm: str | None,
    time_step_s: int | None,
) -> None:
    """Register a device with a fresh seed, and give the seed out as an otpauth URI.

    An app takes the URI, or `provision token program --otpauth` writes it to a token.
    """
    from provision.otpauth import ISSUER, OtpAuth, format_otpauth
    from provision.seeds.generate import generate
    from provision.servers.backend import Registration

    parameters = parameters_from(digits, algorithm, time_step_s)
    secret = generate(parameters.algorithm, secrets.token_bytes)
    uri = format_otpauth(OtpAuth(user, ISSUER, secret, parameters))
    registration = Registration(UUID(bytes=secrets.token_bytes(16), version=4), user, name, None, secret, parameters)
    with open_server(context, server_address) as server:
        # The file first: a device whose seed nobody has would be in the way of the next attempt.
        if otpauth_out != "-":
            write_secret(otpauth_out, f"{uri}\n".encode(), "--otpauth-out")
        try:
            device = server.register(registration)
        except ProvisionError:
            if otpauth_out != "-":
                Path(otpauth_out).unlink()
            raise
        if otpauth_out == "-":
            try:
                context.result({**plain_device(device), "otpauth": uri}, uri)
            except BrokenPipeError:
                server.delete(device.device_id)
                raise
            except OutputLost as error:
                server.delete(device.device_id)
                raise OutputLost(error.message, hint="nothing stays registered: nobody has the seed") from None
            return
    text = f"{user}'s device {name!r} registered; its seed is in {otpauth_out}"
    context.result({**plain_device(device), "otpauth_file": otpauth_out}, text)


@click.command("check")
@server_option
@click.option("--user", required=True, help="Who logs in.")
@code_option
@common_options
def check(context: Context, server_address: str, user: str, code_file: str | None) -> None:
    """Check a code as a login would: each is accepted once. Exit code 0 if it is, 4 if not."""
    [code] = codes_from(context, code_file, 1)
    with open_server(context, server_address) as server:
        show_accepted(context, server.check(user, code))


@click.command("resync")
@server_option
@click.argument("device")
@of_user_option
@code_option
@common_options
def resync(context: Context, server_address: str, device: str, user: str | None, code_file: str | None) -> None:
    """Let the server learn how far a token's clock is off, from two consecutive codes. The token is not changed."""
    first, second = codes_from(context, code_file, 2)
    with the_device(context, server_address, device, user) as (server, found):
        show_accepted(context, server.resync(found.device_id, first, second))


@click.command("list")
@server_option
@click.option("--user", help="Only this person's devices.")
@common_options
def list_command(context: Context, server_address: str, user: str | None) -> None:
    """List the registered devices, with the drift that the server remembers (slow is negative)."""
    with open_server(context, server_address) as server:
        devices = [plain_device(device) for device in server.list(user)]
    rows = [["USER", "NAME", "SERIAL", "DRIFT", "FAILURES", "STATE", "DEVICE"]]
    rows += [
        [
            d["user"] or "-",
            d["name"],
            d["serial"] or "-",
            f"{d['drift_steps']:+d} steps ({d['drift_s']:+d} s)",
            str(d["consecutive_failures"]),
            "pending" if d["pending_until_s"] else "disabled" if d["disabled"] else "enabled",
            d["device_id"],
        ]
        for d in devices
    ]
    context.result({"devices": devices}, table(rows) if devices else "no devices")


@click.command("rename")
@server_option
@click.argument("device")
@click.argument("new_name")
@of_user_option
@common_options
def rename(context: Context, server_address: str, device: str, new_name: str, user: str | None) -> None:
    """Give a device another friendly name."""
    with the_device(context, server_address, device, user) as (server, found):
        server.rename(found.device_id, new_name)
    context.result({"device_id": found.device_id, "name": new_name}, f"{found.name!r} is {new_name!r} now")


@click.command("disable")
@server_option
@click.argument("device")
@of_user_option
@common_options
def disable(context: Context, server_address: str, device: str, user: str | None) -> None:
    """Refuse a device's codes until it is enabled."""
    with the_device(context, server_address, device, user) as (server, found):
        server.disable(found.device_id)
    context.result({"device_id": found.device_id, "disabled": True}, f"{found.name!r} is disabled")


@click.command("enable")
@server_option
@click.argument("device")
@of_user_option
@common_options
def enable(context: Context, server_address: str, device: str, user: str | None) -> None:
    """Accept a device's codes again, and forget its failures."""
    with the_device(context, server_address, device, user) as (server, found):
        server.enable(found.device_id)
    context.result({"device_id": found.device_id, "disabled": False}, f"{found.name!r} is enabled")


@click.command("delete")
@server_option
@click.argument("device")
@of_user_option
@click.option("--yes", is_flag=True, help="Do not ask, though the person goes back to the old way.")
@click.option("--even-if-locked-out", is_flag=True, help="Do not ask, though the person has no way in afterwards.")
@common_options
def delete(
    context: Context, server_address: str, device: str, user: str | None, yes: bool, even_if_locked_out: bool
) -> None:
    """Forget a device and its seed for good. A token that is handed back: `provision token retire`.

    Whoever deletes their last device goes back to the old way, while that is open, and is asked before.
    """
    with the_device(context, server_address, device, user) as (server, found):
        way, cutover_s = _way_without(context, server, found)
        if way is Way.OLD:
            confirm(
                f"{found.name!r} is {found.user}'s last device: without it they log in by the old way, until it "
                f"closes {when.shown(cutover_s or 0)}. Delete it?",
                given=yes,
                option="--yes",
            )
        try:
            server.delete(found.device_id, even_if_locked_out=even_if_locked_out)
        except Rejected as refusal:
            if refusal.code != "locks-out":
                raise
            confirm(
                f"{found.name!r} is your last way in: you will be locked out. Delete it?",
                given=False,
                option="--even-if-locked-out",
            )
            server.delete(found.device_id, even_if_locked_out=True)
    text = f"{found.name!r} is deleted"
    if way is Way.OLD:
        text += f"; {found.user} logs in by the old way again, until {when.shown(cutover_s or 0)}"
    elif way is Way.NONE:
        text += f"; {found.user} has no way in now"
    value = {"device_id": found.device_id, "deleted": True, "way": None if way is None else way.value}
    context.result(value, text)


def _way_without(context: Context, server: ServerBackend, device: Device) -> tuple[Way | None, float | None]:
    """Which way in the person of `device` has without it, and when the old one closes. None: nothing to tell of."""
    if ServerCapability.MIGRATE not in server.capabilities or device.user is None or device.pending:
        return None, None
    left = [one for one in server.list(device.user) if one.device_id != device.device_id]
    cutover_s = server.cutover_s
    return way_in(Person(device.user, None), left, cutover_s, context.clock.now()), cutover_s
