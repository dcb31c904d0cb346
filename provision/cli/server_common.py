"""What the commands of a server share: devices by the names that people use, codes, and how both are shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from provision.cli.context import Context
from provision.cli.secrets_input import has_terminal
from provision.cli.station_options import open_server
from provision.cli.typed_codes import bare_codes, require_codes
from provision.errors import InputError, NotSupported, UsageError

if TYPE_CHECKING:
    from provision.servers.backend import Acceptance, Device, ServerBackend, ServerCapability

code_option = click.option(
    "--code-file", metavar="FILE", help="The code (resync: both, one a line), - for standard input (default: ask)."
)
of_user_option = click.option("--user", metavar="USER", help="Whose device, if DEVICE is a friendly name.")


@contextmanager
def the_device(
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
            whose = "" if user is None else f" of {user!r}"
            raise InputError(
                f"the server has {len(found) or 'no'} device{'s' if len(found) > 1 else ''} {given!r}{whose}",
                hint="name it by its id, see `provision server list`; a friendly name needs --user"
                if user is None
                else "`provision server list` shows what there is",
            )
        yield server, found[0]


def codes_from(context: Context, file: str | None, count: int) -> list[str]:
    """`count` codes, from a file of as many lines or asked for one by one. Raises InputError before a server sees
    what cannot be a code: a typing mistake costs no attempt."""
    if file is None:
        prompts = ("Code",) if count == 1 else ("First code", "Next code")
        codes = [context.secrets.line(None, prompt=prompt, option="--code-file") for prompt in prompts]
    else:
        codes = context.secrets.read(file, "--code-file").decode("ascii", "replace").splitlines()
    codes = bare_codes(codes)
    if len(codes) != count:
        raise InputError(f"--code-file holds {len(codes)} codes, not {count}", hint="one code a line")
    require_codes(codes)
    return codes


def show_accepted(context: Context, acceptance: Acceptance) -> None:
    context.result(
        {"device_id": acceptance.device_id, "step": acceptance.step, "drift_steps": acceptance.drift_steps},
        f"accepted: step {acceptance.step}, drift {acceptance.drift_steps:+d} steps, device {acceptance.device_id}",
    )


def plain_device(device: Device) -> dict[str, Any]:
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
        "last_used_s": device.last_used_s,
        "consecutive_failures": device.consecutive_failures,
        "registered_s": device.registered_s,
        "pending_until_s": device.pending_until_s,
    }


def require(server: ServerBackend, capability: ServerCapability) -> None:
    """Raises NotSupported."""
    if capability not in server.capabilities:
        raise NotSupported(f"this server cannot do that: {capability.value}", capability=capability.value)


def confirm(question: str, *, given: bool, option: str) -> None:
    """Ask before what cannot be taken back; `given`: by the option already. Raises UsageError where nobody can be
    asked, click.Abort for a no."""
    if given:
        return
    if not has_terminal():
        raise UsageError(question.partition(". ")[0], hint=f"if that is meant, add {option}")
    click.confirm(question, abort=True, err=True)
