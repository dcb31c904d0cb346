"""`provision token code | verify | credentials | rename | delete | wipe`."""

from __future__ import annotations

import dataclasses

import click

from provision.cli.assumed import assumed_options, assumed_parameters
from provision.cli.context import (
    Administrator,
    Context,
    administrator_options,
    common_options,
    confirm_serial,
    model_option,
    pin_option,
    require_recognised,
    token_option,
)
from provision.cli.output import table
from provision.cli.person import codes_option, person_of
from provision.cli.station_options import known_ledger, ledger_option
from provision.families.driver import Session
from provision.model import Capability, CredentialInfo, OathType, OtpParameters, Secret

serial_option = click.option("--serial", metavar="SERIAL", help="The serial of the token that this is meant for.")


@click.command("code")
@click.argument("name")
@token_option
@pin_option
@administrator_options
@common_options
def code(context: Context, address: str, name: str, pin_file: str | None, administrator: Administrator) -> None:
    """Show a code of the credential NAME. Asks for the PIN if the credential demands it."""
    from provision.station.codes import code_now, find

    with context.token(address) as (session, info):
        if Capability.CODE_READ not in info.capabilities:
            session.calculate(name)  # its driver says why not
        administrator.unlock(context, session, info)
        credential = find(session, name, info.serial)
        _present_pin(context, session, credential, pin_file)
        now = code_now(session, credential, context.clock)
        context.result(
            {"serial": info.serial, "name": name, "code": now.code.value, "device_s": now.code.device_s},
            now.code.value,
        )


@click.command("verify")
@click.argument("name")
@token_option
@pin_option
@administrator_options
@click.option("--seed-file", metavar="FILE", help="Also compare the code with the one of this seed.")
@click.option("--seed-format", type=click.Choice(["auto", "hex", "base32"]), default="auto", help="How it is written.")
@click.option(
    "--tolerance-s",
    type=click.FloatRange(min=0),
    help="How far off the token's clock may be (default: the credential's time step).",
)
@codes_option
@assumed_options
@common_options
def verify(
    context: Context,
    address: str,
    name: str,
    pin_file: str | None,
    administrator: Administrator,
    seed_file: str | None,
    seed_format: str,
    tolerance_s: float | None,
    codes_file: str | None,
    ledger_path: str | None,
    parameters: OtpParameters | None,
) -> None:
    """Prove that the PIN is right, that the clock is near enough, and that the credential NAME gives codes.

    With --seed-file also that they are the right ones; where the token only shows them, somebody types one. Exit code 4
    says that they are not.
    """
    from provision.station import codes

    seed = None if seed_file is None else _seed(context, seed_file, seed_format)
    with context.token(address) as (session, info):
        administrator.unlock(context, session, info)
        if Capability.LIST in info.capabilities:
            credential = codes.find(session, name, info.serial)
        else:
            assumed = assumed_parameters(context, ledger_path, info, parameters)
            credential = CredentialInfo(name, assumed, own_clock=True, pin=False, touch=False)
        tolerance_s = credential.parameters.time_step_s if tolerance_s is None else tolerance_s
        if Capability.CODE_READ in info.capabilities:
            _present_pin(context, session, credential, pin_file)
            now = codes.code_now(session, credential, context.clock)
            codes.verify(credential, now, info.serial, tolerance_s=tolerance_s, seed=seed)
            offset, seen = now.offset, "well formed" if seed is None else "right"
        else:
            person = person_of(context, codes_file)
            offset = codes.verify_shown(
                session, info, credential, person, context.clock, tolerance_s=tolerance_s, seed=seed
            )
            seen = "not read" if seed is None else "right"
    text = f"token {info.serial}: code of {name!r} {seen}"
    if offset is not None:
        text += f", clock within {offset} of the station's"
    offset_ms = offset and [offset.lo_ms, offset.hi_ms]
    context.result(
        {"serial": info.serial, "name": name, "offset_ms": offset_ms, "seed_compared": seed is not None}, text
    )


@click.command("credentials")
@token_option
@administrator_options
@common_options
def credentials(context: Context, address: str, administrator: Administrator) -> None:
    """List the credentials on a token; never their secrets."""
    with context.token(address) as (session, info):
        administrator.unlock(context, session, info)
        found = session.credentials()
    head = ("NAME", "TYPE", "ALGORITHM", "DIGITS", "STEP", "CLOCK", "DEMANDS")
    text = table([head, *[_line(credential) for credential in found]]) if found else "no credentials"
    context.result({"serial": info.serial, "credentials": [dataclasses.asdict(one) for one in found]}, text)


@click.command("rename")
@click.argument("label", required=False)
@token_option
@administrator_options
@click.option("--credential", nargs=2, metavar="OLD NEW", help="Rename a credential instead of the token.")
@common_options
def rename(
    context: Context,
    address: str,
    label: str | None,
    administrator: Administrator,
    credential: tuple[str, str] | None,
) -> None:
    """Give a token the friendly name LABEL, or one of its credentials a new name."""
    if (label is None) == (credential is None):
        raise click.UsageError("give either a LABEL or --credential OLD NEW")
    with context.token(address) as (session, info):
        if credential is not None or Capability.RENAME_TOKEN in info.capabilities:  # else its driver says why not
            administrator.authenticate(context, session, info)
        if credential is not None:
            old, new = credential
            session.rename(old, new)
            what, names = f"credential {old!r}", {"old": old, "new": new}
        else:
            assert label is not None
            session.set_label(label)
            what, names = f"token {info.serial}", {"old": info.label, "new": label}
        context.result({"serial": info.serial, **names}, f"{what} is called {names['new']!r} now")


@click.command("delete")
@click.argument("name")
@token_option
@administrator_options
@serial_option
@model_option
@common_options
def delete(
    context: Context, address: str, name: str, administrator: Administrator, serial: str | None, model: str | None
) -> None:
    """Delete the credential NAME. Its codes end for good: its server has to forget it too (see `token retire`)."""
    from provision.station.codes import find

    with context.token(address) as (session, info):
        if Capability.LIST in info.capabilities and Capability.READ_LOCK not in info.capabilities:
            find(session, name, info.serial)  # before anything is asked for
        require_recognised(info, model)
        confirm_serial(info, serial, f"delete {name!r} from")
        administrator.authenticate(context, session, info)
        session.delete(name)
        context.result({"serial": info.serial, "deleted": name}, f"{name!r} is gone from token {info.serial}")


@click.command("wipe")
@token_option
@administrator_options
@serial_option
@codes_option
@model_option
@ledger_option
@common_options
def wipe(
    context: Context,
    address: str,
    administrator: Administrator,
    serial: str | None,
    codes_file: str | None,
    model: str | None,
    ledger_path: str | None,
) -> None:
    """Reset a token to its factory state: credentials, PIN, name and administrator keys are erased.

    A token that does not tell whose keys it obeys is noted in the ledger as having its factory keys again. A job that
    it has there stays as it is: `token retire` closes that at its server.
    """
    from provision.station.retire import reset

    with context.token(address) as (session, info):
        require_recognised(info, model)
        confirm_serial(info, serial, "wipe")
        if Capability.KEYLESS_RESET not in info.capabilities:
            administrator.authenticate(context, session, info)
        with known_ledger(context, ledger_path) as ledger:
            reset(session, info, person_of(context, codes_file), ledger)
            job = None if ledger is None else ledger.of_token(info.serial)
        context.result({"serial": info.serial, "wiped": True}, f"token {info.serial} is as it left the factory")
        if job is not None:
            context.say(
                f"its job for {job.job.user} is on record still ({job.state.value}): "
                f"`provision token retire --server {job.job.server}` closes it, then the token may be programmed anew"
            )


def _present_pin(context: Context, session: Session, credential: CredentialInfo, pin_file: str | None) -> None:
    if credential.pin or pin_file is not None:
        session.verify_pin(context.secrets.pin(pin_file))


def _seed(context: Context, file: str, encoding: str) -> Secret:
    from provision.seeds.text import SeedFormat, parse_seed_file

    return parse_seed_file(context.secrets.read(file, "--seed-file"), SeedFormat(encoding), allow_short_seed=True)


def _line(credential: CredentialInfo) -> tuple[str, ...]:
    parameters = credential.parameters
    totp = parameters.oath_type is OathType.TOTP
    demands = " ".join(word for word, wanted in (("PIN", credential.pin), ("touch", credential.touch)) if wanted)
    return (
        credential.name,
        parameters.oath_type.name,
        parameters.algorithm.value,
        str(parameters.digits),
        f"{parameters.time_step_s} s" if totp else f"counter {parameters.counter}",
        ("token's" if credential.own_clock else "host's") if totp else "-",
        demands or "-",
    )
