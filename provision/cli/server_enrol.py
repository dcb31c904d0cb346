"""`provision server enrol | prove`: a device that its person makes, and proves by its first code."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from provision.cli import when
from provision.cli.context import Context, common_options
from provision.cli.output import OutputLost
from provision.cli.server_common import (
    code_option,
    codes_from,
    of_user_option,
    plain_device,
    require,
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
from provision.errors import InputError, UsageError
from provision.extras import installing
from provision.servers.backend import ServerCapability

if TYPE_CHECKING:
    from provision.servers.backend import Enrolment


@click.command("enrol")
@click.argument("user")
@server_option
@click.option("--name", required=True, help="What that person calls the device.")
@click.option(
    "--otpauth-out",
    metavar="FILE",
    help="Where the otpauth URI with the seed goes: a new file for your eyes only, or - for standard output.",
)
@click.option("--qr", is_flag=True, help="Show it as a QR code in this terminal, for whoever can see it.")
@digits_option
@algorithm_option
@time_step_option
@common_options
def enrol(
    context: Context,
    server_address: str,
    user: str,
    name: str,
    otpauth_out: str | None,
    qr: bool,
    digits: int | None,
    algorithm: str | None,
    time_step_s: int | None,
) -> None:
    """Make a device of USER's, whose seed the server tells this once: for an app, `oathtool`, or `provision token
    program --otpauth`.

    It lets nobody in before `provision server prove`, and is forgotten if that takes more than a day.
    """
    if otpauth_out is None and not qr:
        raise UsageError("nobody would get the seed", hint="give --otpauth-out FILE, or --qr to see it here")
    if qr and (context.as_json or otpauth_out == "-"):
        raise UsageError("a QR code is for people, on a terminal of its own", hint="leave --qr out")
    drawn = _drawing() if qr else None
    parameters = parameters_from(digits, algorithm, time_step_s)
    with open_server(context, server_address) as server:
        require(server, ServerCapability.ENROL)
        made = server.enrol(user, name, parameters=parameters)
        try:
            _hand_out(context, made, otpauth_out)
            if drawn is not None:
                context.result({}, drawn(made.otpauth.reveal().decode("ascii")))
        except (InputError, OutputLost, BrokenPipeError):
            server.delete(made.device.device_id)  # nobody has the seed
            raise
    context.say(
        f"prove it by a code before {when.shown(made.device.pending_until_s or 0)}: "
        f"`provision server prove {name!r} --user {user}`"
    )


@click.command("prove")
@server_option
@click.argument("device")
@of_user_option
@code_option
@common_options
def prove(context: Context, server_address: str, device: str, user: str | None, code_file: str | None) -> None:
    """Prove an enrolled device by the code that it shows; from then on it logs its person in."""
    [code] = codes_from(context, code_file, 1)
    with the_device(context, server_address, device, user) as (server, found):
        require(server, ServerCapability.ENROL)
        show_accepted(context, server.prove(found.device_id, code))


def _drawing() -> Callable[[str], str]:
    """What draws a text as a QR code of half blocks. Raises UsageError where the extra is missing."""
    try:
        import segno
    except ModuleNotFoundError:
        raise UsageError("to draw a QR code, segno is needed", hint=installing("server")) from None

    def draw(text: str) -> str:
        canvas = io.StringIO()
        segno.make(text, micro=False, error="l").terminal(canvas, compact=True)
        return canvas.getvalue()

    return draw


def _hand_out(context: Context, made: Enrolment, otpauth_out: str | None) -> None:
    plain, uri = plain_device(made.device), made.otpauth.reveal()
    if otpauth_out == "-":
        context.result({**plain, "otpauth": uri.decode("ascii")}, uri.decode("ascii"))
    elif otpauth_out is not None:
        write_secret(otpauth_out, uri + b"\n", "--otpauth-out")
        context.result(
            {**plain, "otpauth_file": otpauth_out},
            f"{made.device.user}'s device {made.device.name!r} waits for its first code; its seed is in {otpauth_out}",
        )
