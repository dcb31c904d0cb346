"""What the commands of the station share: the ledger, its passphrase, the server, files that secrets go out to."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provision.cli.context import Context
from provision.errors import InputError
from provision.model import Algorithm, OtpParameters, Secret
from provision.newfile import write_new

if TYPE_CHECKING:
    from provision.servers.backend import ServerBackend
    from provision.station.ledger import Ledger

ledger_option = click.option(
    "--ledger", "ledger_path", metavar="PATH", help="The ledger (default: where this user's data is kept)."
)
_CREDENTIAL_FILE = "provision.credential-file"


def _keep_api_token_file(ctx: click.Context, parameter: click.Parameter, value: str | None) -> None:
    ctx.meta[_CREDENTIAL_FILE] = value  # for open_server, so that no command has to hand it on


# On every command that opens a server.
api_token_option = click.option(
    "--api-token-file",
    metavar="FILE",
    expose_value=False,
    callback=_keep_api_token_file,
    help="The API token for a server over https, - for standard input (default: ask).",
)
_server_option = click.option(
    "--server",
    "server_address",
    metavar="SERVER",
    required=True,
    help="The server, for example embedded:FILE or https://HOST.",
)


def server_option(command: Callable[..., None]) -> Callable[..., None]:
    """--server and --api-token-file, on a command that opens the server that it is told."""
    return _server_option(api_token_option(command))


passphrase_option = click.option(
    "--passphrase-file", metavar="FILE", help="The passphrase of the ledger's key, - for standard input (default: ask)."
)
master_key_option = click.option(
    "--admin-key-file", metavar="FILE", help="The organisation's administrator key in hex, - for standard input."
)
undisciplined_option = click.option(
    "--undisciplined-clock-ok", is_flag=True, help="Set the token's clock even from one that nothing synchronises."
)
digits_option = click.option("--digits", type=click.IntRange(6, 8), help="Digits of a code (default: 6).")
algorithm_option = click.option(
    "--algorithm",
    type=click.Choice([algorithm.value for algorithm in Algorithm], case_sensitive=False),
    help="The hash of the codes (default: SHA1).",
)
time_step_option = click.option(
    "--time-step", "time_step_s", type=click.IntRange(1, 3600), help="Seconds that a code lasts (default: 30)."
)


def parameters_from(digits: int | None, algorithm: str | None, time_step_s: int | None) -> OtpParameters:
    """What the options say, the usual where they say nothing."""
    usual = OtpParameters()
    return OtpParameters(
        algorithm=usual.algorithm if algorithm is None else Algorithm(algorithm),
        digits=usual.digits if digits is None else digits,
        time_step_s=usual.time_step_s if time_step_s is None else time_step_s,
    )


def ledger_file(path: str | None) -> Path:
    from provision.station.ledger_file import default_path

    return default_path() if path is None else Path(path)


def open_ledger(context: Context, path: str | None) -> Ledger:
    from provision.station.ledger import Ledger

    return Ledger.open(ledger_file(path), context.clock)


def known_ledger(context: Context, path: str | None) -> AbstractContextManager[Ledger | None]:
    """The ledger if one was named, or if this user has one; else None. For what can do without."""
    if path is None and not os.path.exists(ledger_file(None)):  # nor can be looked for, in another's home
        return nullcontext()
    return open_ledger(context, path)


def passphrase(context: Context, file: str | None, *, new: bool = False) -> Secret:
    text = context.secrets.line(file, prompt="Passphrase of the ledger", option="--passphrase-file", confirm=new)
    return Secret(text.encode("utf-8", "surrogateescape"))


def absolute(address: str) -> str:
    """A server's address that means the same from any directory: it goes on record."""
    scheme, _, rest = address.partition(":")
    return f"{scheme}:{Path(rest).absolute()}" if scheme == "embedded" and rest else address.rstrip("/")


def open_server(context: Context, address: str) -> AbstractContextManager[ServerBackend]:
    from provision.servers.backend import open_server as open_backend

    file = click.get_current_context().meta.get(_CREDENTIAL_FILE)

    def api_token() -> Secret:
        text = context.secrets.line(file, prompt=f"API token for {address}", option="--api-token-file")
        return Secret(text.encode("utf-8", "surrogateescape"))

    return open_backend(address, context.clock, api_token)


def write_secret(path: str, content: bytes, option: str) -> None:
    """A new file that only its owner reads, safely on the disk when this returns. Raises InputError."""
    try:
        write_new(Path(path), content)
    except FileExistsError:
        raise InputError(f"{path} ({option}) exists already", hint="it is not overwritten: name another") from None
    except OSError as error:
        raise InputError(f"{path} ({option}) cannot be written: {error.strerror}") from None
