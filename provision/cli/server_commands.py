"""`provision server init | register | check | list | rename | resync | disable | enable | delete`."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from provision.cli.context import Context, common_options
from provision.cli.output import OutputLost, table
from provision.cli.station_options import (
    algorithm_option,
    digits_option,
    open_server,
    parameters_from,
    server_option,
    time_step_option,
    write_secret,
)
from provision.errors import InputError, ProvisionError, UsageError

if TYPE_CHECKING:
    from provision.servers.backend import Acceptance, Device, ServerBackend

ISSUER = "hwtoken"

code_option = click.option(
    "--code-file", metavar="FILE", help="The code (resync: both, one a line), - for standard input (default: ask)."
)
of_user_option = click.option("--user", metavar="USER", help="Whose device, if DEVICE is a friendly name.")


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
    from provision.otpauth import OtpAuth, format_otpauth
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
                context.result({**_plain(device), "otpauth": uri}, uri)
            except BrokenPipeError:
                server.delete(device.device_id)
                raise
            except OutputLost as error:
                server.delete(device.device_id)
                raise OutputLost(error.message, hint="nothing stays registered: nobody has the seed") from None
            return
    text = f"{user}'s device {name!r} registered; its seed is in {otpauth_out}"
    context.result({**_plain(device), "otpauth_file": otpauth_out}, text)


@click.command("check")
@server_option
@click.option("--user", required=True, help="Who logs in.")
@code_option
@common_options
def check(context: Context, server_address: str, user: str, code_file: str | None) -> None:
    """Check a code as a login would: each is accepted once. Exit code 0 if it is, 4 if not."""
    [code] = _codes(context, code_file, 1)
    with open_server(context, server_address) as server:
        _accepted(context, server.check(user, code))


@click.command("resync")
@server_option
@click.argument("device")
@of_user_option
@code_option
@common_options
def resync(context: Context, server_address: str, device: str, user: str | None, code_file: str | None) -> None:
    """Let the server learn how far a token's clock is off, from two consecutive codes. The token is not changed."""
    first, second = _codes(context, code_file, 2)
    with _device(context, server_address, device, user) as (server, found):
        _accepted(context, server.resync(found.device_id, first, second))


@click.command("list")
@server_option
@click.option("--user", help="Only this person's devices.")
@common_options
def list_command(context: Context, server_address: str, user: str | None) -> None:
    """List the registered devices, with the drift that the server remembers (slow is negative)."""
    with open_server(context, server_address) as server:
        devices = [_plain(device) for device in server.list(user)]
    rows = [["USER", "NAME", "SERIAL", "DRIFT", "FAILURES", "STATE", "DEVICE"]]
    rows += [
        [
            d["user"] or "-",
            d["name"],
            d["serial"] or "-",
            f"{d['drift_steps']:+d} steps ({d['drift_s']:+d} s)",
            str(d["consecutive_failures"]),
            "disabled" if d["disabled"] else "enabled",
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
    with _device(context, server_address, device, user) as (server, found):
        server.rename(found.device_id, new_name)
    context.result({"device_id": found.device_id, "name": new_name}, f"{found.name!r} is {new_name!r} now")


@click.command("disable")
@server_option
@click.argument("device")
@of_user_option
@common_options
def disable(context: Context, server_address: str, device: str, user: str | None) -> None:
    """Refuse a device's codes until it is enabled."""
    with _device(context, server_address, device, user) as (server, found):
        server.disable(found.device_id)
    context.result({"device_id": found.device_id, "disabled": True}, f"{found.name!r} is disabled")


@click.command("enable")
@server_option
@click.argument("device")
@of_user_option
@common_options
def enable(context: Context, server_address: str, device: str, user: str | None) -> None:
    """Accept a device's codes again, and forget its failures."""
    with _device(context, server_address, device, user) as (server, found):
        server.enable(found.device_id)
    context.result({"device_id": found.device_id, "disabled": False}, f"{found.name!r} is enabled")


@click.command("delete")
@server_option
@click.argument("device")
@of_user_option
@common_options
def delete(context: Context, server_address: str, device: str, user: str | None) -> None:
    """Forget a device and its seed for good. A token that is handed back: `provision token retire`."""
    with _device(context, server_address, device, user) as (server, found):
        server.delete(found.device_id)
    context.result({"device_id": found.device_id, "deleted": True}, f"{found.name!r} is deleted")


@contextmanager
def _device(
    context: Context, server_address: str, given: str, user: str | None
) -> Iterator[tuple[ServerBackend, Device]]:
    """The one device that `given` means: its id, its token's serial or, with `user`, its friendly name."""
    with open_server(context, server_address) as server:
        found = [
            device
            for device in server.list(user)
            if given in (device.device_id, device.serial) or (user is not None and given == device.name)
        ]
        if len(found) != 1:
            raise InputError(
                f"the server has {len(found) or 'no'} device{'s' if len(found) > 1 else ''} {given!r}",
                hint="name it by its id, see `provision server list`; a friendly name needs --user",
            )
        yield server, found[0]


def _codes(context: Context, file: str | None, count: int) -> list[str]:
    """`count` codes, from a file of as many lines or asked for one by one. Raises InputError before a server sees
    what cannot be a code: a typing mistake costs no attempt."""
    if file is None:
        prompts = ("Code",) if count == 1 else ("First code", "Next code")
        codes = [context.secrets.line(None, prompt=prompt, option="--code-file") for prompt in prompts]
    else:
        codes = context.secrets.read(file, "--code-file").decode("ascii", "replace").splitlines()
    codes = ["".join(code.split()) for code in codes if code.strip()]
    if len(codes) != count:
        raise InputError(f"--code-file holds {len(codes)} codes, not {count}", hint="one code a line")
    if not all(code.isascii() and code.isdigit() and 6 <= len(code) <= 8 for code in codes):
        raise InputError("that is not a code", hint="a code has 6 to 8 digits")
    return codes


def _accepted(context: Context, acceptance: Acceptance) -> None:
    context.result(
        {"device_id": acceptance.device_id, "step": acceptance.step, "drift_steps": acceptance.drift_steps},
        f"accepted: step {acceptance.step}, drift {acceptance.drift_steps:+d} steps, device {acceptance.device_id}",
    )


def _plain(device: Device) -> dict[str, Any]:
    parameters = device.parameters
    return {
        "device_id": device.device_id,
        "user": device.user,
        "name": device.name,
        "serial": device.serial,
        "type": parameters.oath_type.value,
        "algorithm": parameters.algorithm.value,
        "digits": parameters.digits,
        "time_step_s": parameters.time_step_s,
        "disabled": device.disabled,
        "drift_steps": device.drift_steps,
        "drift_s": device.drift_steps * parameters.time_step_s,
        "last_step": device.last_step,
        "consecutive_failures": device.consecutive_failures,
        "registered_s": device.registered_s,
    }
