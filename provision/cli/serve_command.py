"""`provision server serve`: an embedded server over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import click

from provision.cli.context import Context, common_options
from provision.cli.output import note
from provision.cli.server_file import server_file, server_file_option
from provision.errors import UsageError
from provision.extras import installing


@click.command("serve")
@server_file_option
@click.option(
    "--listen",
    "where",
    metavar="[HOST:]PORT|fd:N",
    default="127.0.0.1:0",
    help="Where to listen (default: a free port of this machine, which is told). fd:N: a socket that is handed on.",
)
@click.option("--tls-cert-file", metavar="FILE", type=click.Path(path_type=Path), help="The certificate (chain), PEM.")
@click.option("--tls-key-file", metavar="FILE", type=click.Path(path_type=Path), help="Its private key, PEM.")
@common_options
def serve(
    context: Context, server_address: str, where: str, tls_cert_file: Path | None, tls_key_file: Path | None
) -> None:
    """Answer over HTTP until SIGTERM or Ctrl-C, which let what is under way be finished.

    Who may come is said by `provision server api-token`. The address is told when it listens.
    """
    path = server_file(server_address)
    if (tls_cert_file is None) != (tls_key_file is None):
        raise UsageError(
            "TLS needs a certificate and its key", hint="give both --tls-cert-file and --tls-key-file, or neither"
        )
    try:
        from provision.servers.service import run
        from provision.servers.service.app import create_app
        from provision.servers.service.aside import Aside
        from provision.servers.web.app import create_site, mount
        from provision.servers.web.visit import Front
    except ModuleNotFoundError as error:
        raise UsageError(f"to serve, {error.name} is needed", hint=installing("server")) from None
    from provision.cli import seed_search
    from provision.servers.embedded.backend import EmbeddedServer

    tls = None if tls_cert_file is None or tls_key_file is None else run.TlsFiles(tls_cert_file, tls_key_file)
    with EmbeddedServer(path, context.clock, os.urandom) as server:
        if behind_s := server.stepped_back_s():
            note(
                f"warning: the clock stands {behind_s:.0f} s before the last thing that was done here: until it has "
                "caught up, codes that are right now are refused as used"
            )
        server.wait_for_nobody()  # acting.py does, while others are served
        app = create_app(server, Aside(seed_search.COMMAND))
        mount(app, create_site(Front.of(server, context.clock, os.urandom)))
        uvicorn = run.prepare(app, tls)
        with run.listen(where) as listener:
            if not run.stays_on_this_machine(listener) and tls is None:
                note(
                    "warning: API tokens and codes cross the network in the clear: "
                    "give --tls-cert-file and --tls-key-file"
                )
            url = run.url_of(listener, tls)
            context.result({"server": url}, url)
            run.serve(uvicorn, listener)
