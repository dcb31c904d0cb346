"""`provision token program` and `provision ledger resume`: the same run, asked for and continued."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import click

from provision.cli.context import Context, common_options, model_option, require_recognised, token_option
from provision.cli.station_options import (
    absolute,
    algorithm_option,
    api_token_option,
    digits_option,
    ledger_option,
    open_ledger,
    open_server,
    parameters_from,
    server_option,
    time_step_option,
)
from provision.cli.station_run import (
    RunOptions,
    resumable,
    run_options,
    show_outcome,
    step_observer,
    warn_of_published_key,
)
from provision.errors import InputError, UsageError
from provision.model import OtpParameters, Secret, TokenInfo

if TYPE_CHECKING:
    from provision.families.driver import Session
    from provision.station.job import Job, SeedOrigin
    from provision.station.ledger import Ledger


@click.command("program")
@token_option
@click.option("--user", required=True, help="Whose token it will be: the login name.")
@click.option("--name", required=True, help='What that person calls it at the server, for example "desk token".')
@server_option
@click.option("--seed-file", metavar="FILE", help="A seed in hex or base32, - for standard input.")
@click.option("--generate", is_flag=True, help="Make a fresh seed (the default).")
@click.option("--otpauth", "otpauth_file", metavar="FILE", help="A server's otpauth URI, - for standard input.")
@click.option(
    "--seed-format", type=click.Choice(["hex", "base32", "auto"]), default="auto", help="What the seed file is in."
)
@click.option("--allow-short-seed", is_flag=True, help="Take a seed under 112 bits, for an old server's sake.")
@digits_option
@algorithm_option
@time_step_option
@click.option("--no-pin", is_flag=True, help="Give codes to whoever holds the token.")
@click.option("--touch", is_flag=True, help="Demand the button for every code.")
@click.option("--credential", metavar="NAME", help="The credential's name on the token (default: hwtoken:USER).")
@click.option(
    "--escrow", type=click.Choice(["none", "diagnose"]), default="none", help="diagnose: keep the sealed seed."
)
@run_options
@model_option
@ledger_option
@common_options
def program(
    context: Context,
    address: str,
    server_address: str,
    ledger_path: str | None,
    model: str | None,
    options: RunOptions,
    **wishes: Any,
) -> None:
    """Make a token a working second factor.

    Seal the seed, take over the token's keys, write the seed, set the clock, prove a code, register the token with the
    server and prove it there. Stopped anywhere, the same command again goes on from there.
    """
    job = _job(context, absolute(server_address), **wishes)
    with open_ledger(context, ledger_path) as ledger, context.token(address) as (session, info):
        require_recognised(info, model)
        _run(context, ledger, session, info, job, options)


@click.command("resume")
@token_option
@run_options
@api_token_option
@ledger_option
@common_options
def resume(context: Context, address: str, ledger_path: str | None, options: RunOptions) -> None:
    """Go on with the job that a token has in the ledger, without repeating its options."""
    with open_ledger(context, ledger_path) as ledger, context.token(address) as (session, info):
        entry = ledger.of_token(info.serial)
        if entry is None:
            raise InputError(
                f"token {info.serial} has no job in the ledger {ledger.path}",
                hint="start one with `provision token program`",
            )
        _run(context, ledger, session, info, entry.job, options)


def _job(
    context: Context,
    server: str,
    *,
    user: str,
    name: str,
    allow_short_seed: bool,
    no_pin: bool,
    touch: bool,
    credential: str | None,
    escrow: str,
    **source: Any,
) -> Job:
    from provision.station.job import Escrow, Job

    parameters, seed, origin = _seed(context, allow_short_seed=allow_short_seed, **source)
    return Job(
        user=user,
        name=name,
        server=server,
        credential=f"hwtoken:{user}" if credential is None else credential,
        parameters=parameters,
        origin=origin,
        seed=seed,
        allow_short_seed=allow_short_seed,
        pin=not no_pin,
        touch=touch,
        escrow=Escrow(escrow),
    )


def _seed(
    context: Context,
    *,
    seed_file: str | None,
    generate: bool,
    otpauth_file: str | None,
    seed_format: str,
    allow_short_seed: bool,
    digits: int | None,
    algorithm: str | None,
    time_step_s: int | None,
) -> tuple[OtpParameters, Secret | None, SeedOrigin]:
    """What its codes are made by, the seed itself if there is one yet, and who made it. Raises InputError, SeedError,
    UsageError."""
    from provision.station.job import SeedOrigin

    if (seed_file is not None) + generate + (otpauth_file is not None) > 1:
        raise UsageError("the seed has two sources", hint="give one of --seed-file, --otpauth and --generate")
    if otpauth_file is not None:
        from provision.seeds.otpauth import parse_otpauth

        if (digits, algorithm, time_step_s) != (None, None, None):
            raise UsageError(
                "the URI says digits, hash and step already", hint="leave out --digits, --algorithm and --time-step"
            )
        text = context.secrets.line(otpauth_file, prompt="otpauth URI", option="--otpauth")
        uri = parse_otpauth(text, allow_short_seed=allow_short_seed)
        return uri.parameters, uri.secret, SeedOrigin.SERVER
    parameters = parameters_from(digits, algorithm, time_step_s)
    if seed_file is not None:
        from provision.seeds.text import SeedFormat, parse_seed_file

        data = context.secrets.read(seed_file, "--seed-file")
        seed = parse_seed_file(data, SeedFormat(seed_format), allow_short_seed=allow_short_seed)
        return parameters, seed, SeedOrigin.IMPORTED
    return parameters, None, SeedOrigin.GENERATED


def _run(context: Context, ledger: Ledger, session: Session, info: TokenInfo, job: Job, options: RunOptions) -> None:
    from provision.station import program as station

    options.require_clock(context, info)
    warn_of_published_key(context, info)
    access = options.access(context, info)
    with open_server(context, job.server) as server, resumable(ledger, info.serial):
        outcome = station.program(
            job,
            session=session,
            ledger=ledger,
            server=server,
            clock=context.clock,
            access=access,
            randbytes=secrets.token_bytes,
            observer=step_observer(context),
        )
    text = f"machine time    {outcome.machine_s * 1000:.0f} ms"
    if outcome.already_done:
        text = f"token {info.serial} is done already, for {job.user} as {job.name!r}; nothing was changed"
    show_outcome(context, outcome, text)
