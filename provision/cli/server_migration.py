"""`provision server cutover | fallback | report`: the way from an older login to devices of this server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from provision.cli import when
from provision.cli.context import Context, common_options
from provision.cli.output import table
from provision.cli.server_common import confirm, require
from provision.cli.station_options import open_server, server_option
from provision.errors import UsageError
from provision.servers.backend import ServerCapability
from provision.servers.ways import Standing, Way, standings

if TYPE_CHECKING:
    from provision.servers.backend import Device, ServerBackend


@click.command("cutover")
@click.argument("date", required=False)
@server_option
@click.option("--yes", is_flag=True, help="Do not ask, though people will be locked out at once.")
@common_options
def cutover(context: Context, date: str | None, server_address: str, yes: bool) -> None:
    """Say until when there is an old way, or set it: DATE is a time, a date (its first moment), or how long from now.

    `none` closes the old way at once. Without DATE nothing is changed.
    """
    now_s = context.clock.now()
    at_s = None if date in (None, "none") else when.moment(str(date), now_s)
    with open_server(context, server_address) as server:
        require(server, ServerCapability.MIGRATE)
        if date is None:
            at_s = server.cutover_s
        else:
            if at_s is None:
                _confirm_closing(server, now_s, yes)
            server.set_cutover(at_s)
        waiting = _locked_out(server, now_s, now_s if at_s is None else max(now_s, at_s))
    value = {"cutover_s": at_s, "locked_out_then": waiting}
    context.result(value, "the old way is closed" if date == "none" else _closing(at_s, now_s))
    if waiting and at_s is not None and at_s > now_s:
        context.say(f"{_people(len(waiting))} without a working device would be locked out then: see `server report`")


@click.command("fallback")
@click.argument("user")
@server_option
@click.option("--until", metavar="TIME", help="18:00, a date and time, or how long from now; 7 days at most.")
@click.option("--end", is_flag=True, help="End it now.")
@common_options
def fallback(context: Context, user: str, server_address: str, until: str | None, end: bool) -> None:
    """Send a person who cannot use their device to the old way, for a while. It goes on record."""
    if (until is None) == (not end):
        raise UsageError("a fallback needs an end", hint="give --until TIME, or --end to end one")
    until_s = None if until is None else when.moment(until, context.clock.now())
    with open_server(context, server_address) as server:
        require(server, ServerCapability.MIGRATE)
        person = server.set_fallback(user, until_s)
    holds_s = person.fallback_until_s
    text = f"{user!r} is not sent to the old way any more"
    if holds_s is not None:
        text = f"{user!r} is sent to the old way until {when.shown(holds_s)}"
        if holds_s != until_s:
            text += ", when it closes"
    context.result({"user": user, "fallback_until_s": holds_s}, text)


@click.command("report")
@server_option
@click.option("--at", "at", metavar="DATE", help="Another time than the cut-over to look ahead to.")
@common_options
def report(context: Context, server_address: str, at: str | None) -> None:
    """Tell who has which devices, who still uses the old way, and who would be locked out at the cut-over."""
    now_s = context.clock.now()
    then_s = None if at is None else when.moment(at, now_s)
    with open_server(context, server_address) as server:
        require(server, ServerCapability.MIGRATE)
        cutover_s = server.cutover_s
        if then_s is None:
            then_s = now_s if cutover_s is None else max(now_s, cutover_s)
        found = _standings(server, cutover_s, now_s, then_s)
    counts = {
        "people": len(found),
        "with_device": sum(any(not device.pending for device in one.devices) for one in found),
        "pending": sum(any(device.pending for device in one.devices) for one in found),
        "old_way": sum(one.now is Way.OLD for one in found),
        "locked_out": sum(one.now is Way.NONE for one in found),
        "locked_out_then": sum(one.then is Way.NONE for one in found),
    }
    value = {
        "cutover_s": cutover_s,
        "at_s": then_s,
        "people": [_plain(one) for one in found],
        "counts": counts,
    }
    rows = [["USER", "DEVICES", "NOW", f"ON {when.shown(then_s)}"]]
    rows += [[one.person.user, _devices(one), _way(one, now=True), _way(one, now=False)] for one in found]
    ending = (
        f"{_people(counts['people'])}: {counts['with_device']} with a device, {counts['pending']} with one to prove, "
        f"{counts['old_way']} by the old way, {counts['locked_out']} locked out now, "
        f"{counts['locked_out_then']} on {when.shown(then_s)}"
    )
    context.result(value, "\n".join([*([table(rows), ""] if found else []), _closing(cutover_s, now_s), ending]))


def _standings(server: ServerBackend, cutover_s: float | None, now_s: float, then_s: float) -> list[Standing]:
    return standings(server.people(), server.list(), cutover_s, now_s=now_s, then_s=then_s)


def _locked_out(server: ServerBackend, now_s: float, then_s: float) -> list[str]:
    found = _standings(server, server.cutover_s, now_s, then_s)
    return [one.person.user for one in found if one.then is Way.NONE]


def _confirm_closing(server: ServerBackend, now_s: float, yes: bool) -> None:
    on_it = [one for one in _standings(server, server.cutover_s, now_s, now_s) if one.now is Way.OLD]
    stranded = [one for one in on_it if not any(not device.pending and not device.disabled for device in one.devices)]
    if stranded:
        confirm(f"This locks {_people(len(stranded))} out at once. Close the old way now?", given=yes, option="--yes")


def _closing(cutover_s: float | None, now_s: float) -> str:
    if cutover_s is None:
        return "there is no old way"
    if cutover_s <= now_s:
        return f"the old way closed {when.shown(cutover_s)}"
    return f"the old way closes {when.shown(cutover_s)}, in {when.span(cutover_s - now_s)}"


def _people(count: int) -> str:
    return f"{count} {'person' if count == 1 else 'people'}"


def _devices(one: Standing) -> str:
    return ", ".join(_device(device) for device in one.devices) or "none"


def _device(device: Device) -> str:
    state = "to be proved" if device.pending else "disabled" if device.disabled else None
    return device.name if state is None else f"{device.name} ({state})"


def _way(one: Standing, *, now: bool) -> str:
    words = {Way.DEVICE: "device", Way.OLD: "old way", Way.NONE: "LOCKED OUT"}[one.now if now else one.then]
    if now and one.person.fallback_until_s is not None:
        return f"{words} until {when.shown(one.person.fallback_until_s)}"
    return words


def _plain(one: Standing) -> dict[str, Any]:
    return {
        "user": one.person.user,
        "devices": [
            {
                "device_id": device.device_id,
                "name": device.name,
                "serial": device.serial,
                "pending_until_s": device.pending_until_s,
                "disabled": device.disabled,
                "last_step": device.last_step,
            }
            for device in one.devices
        ],
        "fallback_until_s": one.person.fallback_until_s,
        "way": one.now.value,
        "way_then": one.then.value,
    }
