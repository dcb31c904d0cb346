"""`provision token set-time`."""

from __future__ import annotations

import click

from provision.cli.assumed import assumed_options, assumed_parameters
from provision.cli.context import Administrator, Context, administrator_options, common_options, token_option
from provision.cli.output import utc
from provision.cli.station_options import api_token_option, open_server
from provision.errors import NotSupported
from provision.model import Capability, ClockKind, OtpParameters, TokenInfo


@click.command("set-time")
@token_option
@administrator_options
@click.option("--undisciplined-clock-ok", is_flag=True, help="Set it even from a clock that nothing synchronises.")
@click.option("--server", "server_address", metavar="SERVER", help="Also clear the drift that this server remembers.")
@api_token_option
@assumed_options
@common_options
def set_time(
    context: Context,
    address: str,
    administrator: Administrator,
    undisciplined_clock_ok: bool,
    server_address: str | None,
    ledger_path: str | None,
    parameters: OtpParameters | None,
) -> None:
    """Set a token's clock on the edge of a second, and say how far off it can still be.

    The answer is an interval in milliseconds, token minus station, in which the truth certainly lies.
    """
    from provision.station.discipline import require_discipline
    from provision.station.timing import set_time as set_token_time

    with context.token(address) as (session, info):
        if Capability.CLOCK_SET not in info.capabilities:
            session.read_clock()  # its driver says why not
        _require_seed_survives(info)
        verdict = require_discipline(context.clock, undisciplined_ok=undisciplined_clock_ok)
        if Capability.LIST not in info.capabilities:
            session.assume(assumed_parameters(context, ledger_path, info, parameters))
        administrator.authenticate(context, session, info)
        done = set_token_time(session, context.clock)
    cleared = [] if server_address is None else _clear_drift(context, server_address, info.serial)
    text = f"{utc(done.set_s)} UTC  clock of token {info.serial} set, residual {done.residual}"
    if done.before is not None:
        text += f" (before: {done.before})"
    if server_address is not None:
        text += f"\nremembered drift cleared on {server_address}: {len(cleared)} device(s)"
    if not verdict.disciplined:
        context.say(f"warning: the station's clock itself is not trustworthy: {verdict.why}")
    context.result(
        {
            "serial": info.serial,
            "set_s": done.set_s,
            "before_ms": done.before and [done.before.lo_ms, done.before.hi_ms],
            "residual_ms": [done.residual.lo_ms, done.residual.hi_ms],
            "round_trip_ms": done.residual.round_trip_ms,
            "station_clock": {"disciplined": verdict.disciplined, "max_error_s": verdict.max_error_s},
            "drift_cleared": cleared,
        },
        text,
    )


def _require_seed_survives(info: TokenInfo) -> None:
    if info.clock_kind is ClockKind.WITH_SEED:
        raise NotSupported(
            f"setting the clock of token {info.serial} ({info.model}) erases its seed",
            capability=Capability.CLOCK_SET.value,
            hint="`provision token rotate` gives it a new seed and the time at once; `provision server resync` has the "
            "server learn its drift",
        )


def _clear_drift(context: Context, address: str, serial: str) -> list[str]:
    """The ids of the devices at a server that are this token."""
    with open_server(context, address) as server:
        devices = [device.device_id for device in server.list() if device.serial == serial]
        for device_id in devices:
            server.set_drift(device_id, 0)
    return devices
