"""`provision drift measure`: the rate of a connected token's clock, with guaranteed bounds."""

from __future__ import annotations

from fractions import Fraction

import click

from provision.cli.context import Context, common_options, token_option
from provision.cli.drift_options import as_duration
from provision.errors import UsageError


@click.command("measure")
@token_option
@click.option("--accuracy-ppm", metavar="PPM", callback=as_duration, default="1", help="Stop once it is this good (1).")
@click.option("--for-s", "longest_s", type=click.FloatRange(min=1), default=60.0, help="Stop after so long (60).")
@click.option("--undisciplined-clock-ok", is_flag=True, help="Measure against a clock that nothing synchronises.")
@common_options
def measure(
    context: Context, address: str, accuracy_ppm: Fraction, longest_s: float, undisciplined_clock_ok: bool
) -> None:
    """Measure how fast a connected token's clock runs, and how long it takes to know it better.

    The bounds are guaranteed if this station's clock is: its own error is in them. At another temperature the rate is
    another.
    """
    from provision.cli.drift_text import between
    from provision.station.discipline import discipline, require_discipline
    from provision.station.edges import Rate, measure_rate

    if accuracy_ppm == 0:
        raise UsageError("nothing is ever known to 0 ppm")
    verdict = require_discipline(context.clock, undisciplined_ok=undisciplined_clock_ok, to="measure")
    if not verdict.disciplined:
        context.say(f"warning: the rate is against this station's clock, which is not trustworthy: {verdict.why}")

    def error_s() -> float:
        return (discipline(context.clock).max_error_s or 0.0) if verdict.disciplined else 0.0

    def told(rate: Rate) -> str:
        bounds = between(rate.estimate.rate_error_ppm, "ppm", 3)
        if rate.remaining_s == 0:
            return f"{rate.elapsed_s:8.0f} s  {bounds}"
        return f"{rate.elapsed_s:8.0f} s  {bounds}; {rate.remaining_s:.0f} s more for +-{float(accuracy_ppm):g} ppm"

    with context.token(address) as (session, info):
        rate = measure_rate(
            session,
            context.clock,
            error_s=error_s,
            accuracy_ppm=accuracy_ppm,
            longest_s=longest_s,
            report=lambda rate: context.say(told(rate)),
        )
    estimate = rate.estimate
    offset_s = estimate.offset_at(estimate.last_s or estimate.model.tref_s)
    context.result(
        {
            "serial": info.serial,
            "rate_error_ppm": list(map(float, estimate.rate_error_ppm)),
            "offset_s": list(map(float, offset_s)),
            "elapsed_s": rate.elapsed_s,
            "remaining_s": rate.remaining_s,
            "station_clock": {"disciplined": verdict.disciplined, "max_error_s": verdict.max_error_s},
        },
        f"token {info.serial}: rate {between(estimate.rate_error_ppm, 'ppm', 3)},"
        f" offset {between(offset_s, 's', 4)}, measured for {rate.elapsed_s:.0f} s",
    )
