"""`provision ledger init | list | show | export` (resume is beside program)."""

from __future__ import annotations

import csv
import io
import json
import secrets
from pathlib import Path
from typing import Any

import click

from provision.cli.context import Context, common_options
from provision.cli.output import table, utc
from provision.cli.station_options import (
    ledger_file,
    ledger_option,
    open_ledger,
    passphrase,
    passphrase_option,
    write_secret,
)
from provision.errors import InputError, ProvisionError

MASTER_KEY_BYTES = 32


@click.command("init")
@passphrase_option
@click.option("--new-admin-key-file", metavar="PATH", help="Also make a master key for the organisation's tokens here.")
@ledger_option
@common_options
def init(
    context: Context, passphrase_file: str | None, new_admin_key_file: str | None, ledger_path: str | None
) -> None:
    """Make a ledger, and the key pair that its seeds are sealed to.

    The passphrase opens the sealed seeds; it is asked for when an interrupted job goes on. It cannot be recovered.
    """
    from provision.seeds.sealing import create_key_pair
    from provision.station.ledger import Ledger

    path = ledger_file(ledger_path)
    if path.exists():
        raise InputError(f"{path} exists already", hint="a ledger is never overwritten: name another with --ledger")
    pair = create_key_pair(passphrase(context, passphrase_file, new=True), secrets.token_bytes)
    if new_admin_key_file is not None:
        write_secret(new_admin_key_file, f"{secrets.token_hex(MASTER_KEY_BYTES)}\n".encode(), "--new-admin-key-file")
    try:
        Ledger.create(path, pair, context.clock).close()
    except ProvisionError:
        if new_admin_key_file is not None:  # or it would be in the way of the next attempt
            Path(new_admin_key_file).unlink()
        raise
    text = f"ledger made: {path}"
    if new_admin_key_file is not None:
        text += f"\nmaster key made: {new_admin_key_file} (keep a copy where only administrators are)"
    context.result({"ledger": str(path), "admin_key_file": new_admin_key_file}, text)


@click.command("list")
@ledger_option
@common_options
def list_command(context: Context, ledger_path: str | None) -> None:
    """List the tokens on record."""
    from provision.station.ledger import record

    with open_ledger(context, ledger_path) as ledger:
        jobs = [record(entry) for entry in ledger.entries()]
    rows = [["SERIAL", "STATE", "USER", "NAME", "SERVER", "CHANGED"]]
    rows += [[j["serial"], j["state"], j["user"], j["name"], j["server"], utc(j["changed_s"])] for j in jobs]
    context.result({"jobs": jobs}, table(rows) if jobs else "the ledger is empty")


@click.command("show")
@click.argument("serial")
@ledger_option
@common_options
def show(context: Context, serial: str, ledger_path: str | None) -> None:
    """Show what is on record of a token, and every step."""
    from provision.station.ledger import record

    with open_ledger(context, ledger_path) as ledger:
        entry = ledger.last_of_token(serial)
        if entry is None:
            raise InputError(
                f"the ledger {ledger.path} does not know token {serial}", hint="see `provision ledger list`"
            )
        events = ledger.events(entry.uuid)
    job = record(entry)
    lines = [f"{name:<16}{_shown(name, value)}" for name, value in job.items() if value is not None]
    lines += ["", *(f"{utc(event.at_s)}  {event.what:<16}{event.note}" for event in events)]
    history = [{"at_s": event.at_s, "what": event.what, "note": event.note} for event in events]
    context.result({**job, "events": history}, "\n".join(lines))


@click.command("export")
@click.option("--format", "form", type=click.Choice(["json", "csv"]), default="json", help="json (default) or csv.")
@click.option("--out", metavar="FILE", help="Where to (default: standard output).")
@ledger_option
@common_options
def export(context: Context, form: str, out: str | None, ledger_path: str | None) -> None:
    """Write all that is on record, without any secret."""
    from provision.station.ledger import record

    with open_ledger(context, ledger_path) as ledger:
        jobs = [record(entry) for entry in ledger.entries()]
    text = _csv(jobs) if form == "csv" else json.dumps(jobs, ensure_ascii=False, indent=2) + "\n"
    if out is None:
        context.result({"jobs": jobs}, text.rstrip("\n"))
        return
    try:
        with Path(out).open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"{out} (--out) exists already", hint="it is not overwritten: name another") from None
    except OSError as error:
        raise InputError(f"{out} (--out) cannot be written: {error.strerror}") from None
    context.result({"file": out, "jobs": len(jobs)}, f"{len(jobs)} jobs written to {out}")


def _csv(jobs: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    if jobs:
        writer = csv.DictWriter(out, jobs[0])
        writer.writeheader()
        writer.writerows({name: _tame(value) for name, value in job.items()} for job in jobs)
    return out.getvalue()


def _tame(value: object) -> object:
    """A spreadsheet runs text that starts like a formula (CWE-1236); an apostrophe keeps it text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _shown(name: str, value: object) -> str:
    return utc(value) if name in ("created_s", "changed_s") and isinstance(value, float) else str(value)
