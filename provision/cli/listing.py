"""`provision list` and `provision info`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from provision.cli.context import Context, capture_option, common_options, token_option
from provision.cli.output import table
from provision.cli.station_options import known_ledger, ledger_option
from provision.errors import Busy, LinkError, PermissionDenied, ProtocolError, TokenError
from provision.families.driver import identify
from provision.families.identities import family_of, family_of_reader
from provision.links.ports import Place, serial_ports
from provision.model import ClockKind, TokenInfo

PROBE_TIMEOUT_S = 0.6  # a token answers HELLO within milliseconds; whatever else sits on a port never does

_READERS = ("usb:", "pcsc:")
_USABLE = ("ready", "present")


@click.command("list")
@click.option(
    "--devices",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Also look at the ports that this folder links to.",
)
@click.option("--all", "everything", is_flag=True, help="Ask every serial port, and show also those that are silent.")
@capture_option
@common_options
def list_command(context: Context, devices: Path | None, everything: bool) -> None:
    """Show the tokens that are plugged in.

    They are known by their USB identity, or by the name of the card reader that they are. Asked is only who has a
    serial line: those, the links in /dev/hwtoken and, with --devices, those in a folder of your choice. A port of any
    other device is left alone unless you say --all.

    STATUS is ready, present (a card reader: not asked, lest others lose it), busy, no permission, silent, or foreign
    (it answers, but not as any token that is known here).
    """
    from provision.links.pcsc import readers
    from provision.links.usb_places import usb_readers

    places = [*serial_ports(devices), *usb_readers(), *readers()]
    ours = [place for place in places if everything or place.chosen or _family(place)]
    rows = _one_for_each_token([_row(context, place) for place in ours])
    shown = [row for row in rows if everything or row["family"] or row["status"] != "silent"]
    head = ("ADDRESS", "FAMILY", "SERIAL", "NAME", "STATUS")
    text = table([head, *map(_cells, shown)])
    context.result({"tokens": shown}, text if shown else "no token found")
    left = sum(not place.address.startswith(_READERS) for place in places if place not in ours)
    if left and not shown:
        context.say(f"{left} serial port{'s' * (left > 1)} of other devices not asked: `provision list --all` does")


def _family(place: Place) -> str | None:
    by_reader = family_of_reader(place.reader) if place.reader else None
    return by_reader or family_of(place.idVendor, place.idProduct, place.product)


def _row(context: Context, place: Place) -> dict[str, Any]:
    """One place: status ready, busy, no permission, foreign (speaks, but no family we know), silent, or present.

    Present: not asked, because whoever opens a card reader takes it from others and resets the card in it. What the
    token does not say itself its USB descriptor does.
    """
    info: TokenInfo | None = None
    if not place.openable:
        status = "no permission"
    elif place.address.startswith(_READERS):
        status = "present"
    else:
        status, info = _probed(context, place.address)
    family = _family(place)
    return {
        "address": place.address,
        "family": info.family if info else family,
        "serial": info.serial if info else place.serial if family else None,
        "label": info.label if info else None,
        "status": status,
        "also": [],
    }


def _probed(context: Context, address: str) -> tuple[str, TokenInfo | None]:
    try:
        with context.open_link(address, timeout_s=PROBE_TIMEOUT_S) as link:
            return "ready", identify(link)[1]
    except Busy:
        return "busy", None
    except PermissionDenied:
        return "no permission", None
    except (ProtocolError, TokenError):
        return "foreign", None
    except LinkError:
        return "silent", None


def _one_for_each_token(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A token has an address for each way to it: the one that can be used goes first, the others are its `also`. What
    is reached the same way is another token, whatever serial it shows."""
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: row["status"] not in _USABLE):
        same = next((other for other in kept if _same_token(other, row)), row)
        if same is row:
            kept.append(row)
        else:
            same["also"].append(row["address"])
    return [row for row in rows if row in kept]


def _same_token(kept: dict[str, Any], row: dict[str, Any]) -> bool:
    ways = {address.partition(":")[0] for address in (kept["address"], *kept["also"])}
    known = row["family"] and row["serial"]
    same = (kept["family"], kept["serial"]) == (row["family"], row["serial"])
    return bool(known) and same and row["address"].partition(":")[0] not in ways


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    status = "; also ".join((row["status"], *row["also"]))
    return tuple(cell or "-" for cell in (row["address"], row["family"], row["serial"], row["label"], status))


@click.command("info")
@token_option
@ledger_option
@common_options
def info_command(context: Context, address: str, ledger_path: str | None) -> None:
    """Show what a token says of itself to anyone, and what the ledger, if there is one, says of it."""
    with context.token(address) as (_, info):
        on_record = _on_record(context, ledger_path, info.serial)
    text = _described(info)
    if on_record is not None:
        text += f"\non record    {on_record['state']} for {on_record['user']}, seed {on_record['seed']} here"
    context.result({"address": address, **dataclasses.asdict(info), "on_record": on_record}, text)


def _on_record(context: Context, ledger_path: str | None, serial: str) -> dict[str, Any] | None:
    with known_ledger(context, ledger_path) as ledger:
        entry = None if ledger is None else ledger.last_of_token(serial)
    if entry is None:
        return None
    from provision.station.ledger import record

    return record(entry)


_CLOCKS = {
    ClockKind.FREE: "its own, may be set at any time",
    ClockKind.WITH_SEED: "its own; setting it erases the seed",
    ClockKind.NONE: "none: the host sends the time",
}


_KEYS = {
    True: "FACTORY KEYS: anybody can write this token",
    False: "not the factory's any more",
    None: "not told: the published factory key until another one is set",
}


def _described(info: TokenInfo) -> str:
    attempts = "" if info.attempts_remaining is None else f", {info.attempts_remaining} attempts remaining"
    recognised = "" if info.recognised else "; not a model that this tool knows"
    return "\n".join(
        (
            f"serial       {info.serial}",
            f"name         {info.label or '-'}",
            f"family       {info.family} ({info.model}, firmware {info.firmware or 'not told'}){recognised}",
            f"PIN          {info.pin_state.value}{attempts}",
            f"keys         {_KEYS[info.factory_keys]}",
            f"clock        {_CLOCKS[info.clock_kind]}",
            f"credentials  {'?' if info.credentials_used is None else info.credentials_used} of {info.credentials_max}",
        )
    )
