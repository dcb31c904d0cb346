"""`provision token program` and `provision ledger resume`: the same run, asked for and continued."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import click

from provision.cli.context import (
    Context,
    common_options,
    model_option,
    pin_option,
    require_recognised,
    token_option,
)
from provision.cli.station_options import (
    absolute,
    algorithm_option,
    digits_option,
    ledger_option,
    master_key_option,
    open_ledger,
    open_server,
    parameters_from,
    passphrase,
    passphrase_option,
    server_option,
    time_step_option,
    undisciplined_option,
)
from provision.errors import InputError, LedgerError, LinkError, ProvisionError, ServerError, TokenError, UsageError
from provision.model import ClockKind, Secret, TokenInfo

if TYPE_CHECKING:
    from provision.families.driver import Session
    from provision.station.job import Job
    from provision.station.ledger import Ledger
    from provision.station.states import State

_RESUMABLE = (LinkError, TokenError, ServerError, LedgerError)


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
@pin_option
@master_key_option
@passphrase_option
@undisciplined_option
@model_option
@ledger_option
@common_options
def program(
    context: Context,
    address: str,
    server_address: str,
    ledger_path: str | None,
    model: str | None,
    admin_key_file: str | None,
    pin_file: str | None,
    passphrase_file: str | None,
    undisciplined_clock_ok: bool,
    **wishes: Any,
) -> None:
    """Make a token a working second factor.

    Seal the seed, take over the token's keys, write the seed, set the clock, prove a code, register the token with the
    server and prove it there. Stopped anywhere, the same command again goes on from there.
    """
    job = _job(context, absolute(server_address), **wishes)
    with open_ledger(context, ledger_path) as ledger, context.token(address) as (session, info):
        require_recognised(info, model)
        access = (admin_key_file, pin_file, passphrase_file)
        _run(context, ledger, session, info, job, access, undisciplined_clock_ok)


@click.command("resume")
@token_option
@pin_option
@master_key_option
@passphrase_option
@undisciplined_option
@ledger_option
@common_options
def resume(
    context: Context,
    address: str,
    ledger_path: str | None,
    admin_key_file: str | None,
    pin_file: str | None,
    passphrase_file: str | None,
    undisciplined_clock_ok: bool,
) -> None:
    """Go on with the job that a token has in the ledger, without repeating its options."""
    with open_ledger(context, ledger_path) as ledger, context.token(address) as (session, info):
        entry = ledger.of_token(info.serial)
        if entry is None:
            raise InputError(
                f"token {info.serial} has no job in the ledger {ledger.path}",
                hint="start one with `provision token program`",
            )
        access = (admin_key_file, pin_file, passphrase_file)
        _run(context, ledger, session, info, entry.job, access, undisciplined_clock_ok)


def _job(
    context: Context,
    server: str,
    *,
    user: str,
    name: str,
    seed_file: str | None,
    generate: bool,
    otpauth_file: str | None,
    seed_format: str,
    allow_short_seed: bool,
    digits: int | None,
    algorithm: str | None,
    time_step_s: int | None,
    no_pin: bool,
    touch: bool,
    credential: str | None,
    escrow: str,
) -> Job:
    from provision.station.job import Escrow, Job, SeedOrigin

    if (seed_file is not None) + generate + (otpauth_file is not None) > 1:
        raise UsageError("the seed has two sources", hint="give one of --seed-file, --otpauth and --generate")
    parameters, seed, origin = parameters_from(digits, algorithm, time_step_s), None, SeedOrigin.GENERATED
    if seed_file is not None:
        from provision.seeds.text import SeedFormat, parse_seed_file

        data = context.secrets.read(seed_file, "--seed-file")
        seed, origin = (
            parse_seed_file(data, SeedFormat(seed_format), allow_short_seed=allow_short_seed),
            SeedOrigin.IMPORTED,
        )
    if otpauth_file is not None:
        from provision.seeds.otpauth import parse_otpauth

        if (digits, algorithm, time_step_s) != (None, None, None):
            raise UsageError(
                "the URI says digits, hash and step already", hint="leave out --digits, --algorithm and --time-step"
            )
        text = context.secrets.line(otpauth_file, prompt="otpauth URI", option="--otpauth")
        uri = parse_otpauth(text, allow_short_seed=allow_short_seed)
        parameters, seed, origin = uri.parameters, uri.secret, SeedOrigin.SERVER
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


def _run(
    context: Context,
    ledger: Ledger,
    session: Session,
    info: TokenInfo,
    job: Job,
    files: tuple[str | None, str | None, str | None],
    undisciplined_clock_ok: bool,
) -> None:
    from provision.station import program as station
    from provision.station.discipline import require_discipline
    from provision.station.ledger import record

    admin_key_file, pin_file, passphrase_file = files
    if info.clock_kind is not ClockKind.NONE:
        verdict = require_discipline(context.clock, undisciplined_ok=undisciplined_clock_ok)
        if not verdict.disciplined:
            context.say(f"warning: the station's clock itself is not trustworthy: {verdict.why}")

    def observer(step: State, phase: station.Phase, note: str) -> None:
        if phase is station.Phase.AFTER:
            context.result({"step": step.value, "note": note}, f"{step.value:<16}{note}")

    def pin() -> Secret:
        return context.secrets.pin(pin_file, prompt=f"PIN of token {info.serial}")

    access = station.Access(
        context.secrets.admin_key(admin_key_file), pin, lambda: passphrase(context, passphrase_file)
    )
    with open_server(context, job.server) as server:
        try:
            outcome = station.program(
                job,
                session=session,
                ledger=ledger,
                server=server,
                clock=context.clock,
                access=access,
                randbytes=secrets.token_bytes,
                observer=observer,
            )
        except _RESUMABLE as error:
            _say_how_to_go_on(error, ledger, info.serial)
            raise
    text = f"machine time    {outcome.machine_s * 1000:.0f} ms"
    if outcome.already_done:
        text = f"token {info.serial} is done already, for {job.user} as {job.name!r}; nothing was changed"
    context.result(
        {**record(outcome.entry), "already_done": outcome.already_done, "machine_s": outcome.machine_s}, text
    )


def _say_how_to_go_on(error: ProvisionError, ledger: Ledger, serial: str) -> None:
    entry = ledger.of_token(serial)
    if entry is not None:
        again = f"the ledger stands at {entry.state.value}: the same command again goes on from there"
        error.hint = again if error.hint is None else f"{error.hint}; {again}"
