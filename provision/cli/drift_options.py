"""What the commands of `provision drift` share: exact numbers, moments, ranges, which server, which file,
what to make allowance for."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import click

from provision.cli.context import Context
from provision.cli.typed_codes import bare_codes, require_codes
from provision.drift.document import exact
from provision.drift.estimate import Interval
from provision.drift.history import Allowance
from provision.drift.moments import moment
from provision.drift.outlook import Server
from provision.drift.profiles import PROFILES
from provision.errors import InputError, UsageError


def as_moment(ctx: click.Context, param: click.Parameter, value: str | None) -> Fraction | None:
    """Callback of an option: Unix seconds, or ISO 8601 in UTC."""
    return None if value is None else moment(value, param.opts[0])


def as_number(ctx: click.Context, param: click.Parameter, value: str | None) -> Fraction | None:
    """Callback of an option: a decimal or a fraction, taken exactly."""
    return None if value is None else exact(value, param.opts[0])


def as_duration(ctx: click.Context, param: click.Parameter, value: str | None) -> Fraction | None:
    """Callback of an option: a number that is not negative."""
    number = as_number(ctx, param, value)
    if number is not None and number < 0:
        raise UsageError(f"{param.opts[0]} is not negative")
    return number


def as_range(ctx: click.Context, param: click.Parameter, value: str | None) -> Interval | None:
    """Callback of an option: `LEAST..GREATEST`, or one number for both."""
    if value is None:
        return None
    what = param.opts[0]
    least, dots, greatest = value.partition("..")
    low, high = exact(least, what), exact(greatest if dots else least, what)
    if low > high:
        raise UsageError(f"{what}: the least is over the greatest", hint="write for example -5..5")
    return low, high


input_option = click.option("--input", "file", metavar="FILE", help="The observations, as JSON; - for standard input.")
at_option = click.option(
    "--at", "at_s", metavar="TIME", callback=as_moment, help="As of then: Unix seconds, or ISO 8601 in UTC."
)


codes_option = click.option(
    "--codes", "codes_file", metavar="FILE", help="The codes, one a line, - for standard input (default: ask)."
)


def read_codes(context: Context, file: str | None) -> list[str]:
    """One to three consecutive codes, from a file or asked for: then one, and the next. Raises InputError."""
    if file is None:
        codes = [context.secrets.line(None, prompt=prompt, option="--codes") for prompt in ("Code", "Next code")]
    else:
        codes = context.secrets.read(file, "--codes").decode("ascii", "replace").splitlines()
    return checked_codes(codes)


def checked_codes(codes: Sequence[str]) -> list[str]:
    """The same, without the spaces that people read them with. Raises InputError."""
    codes = bare_codes(codes)
    if not 1 <= len(codes) <= 3:
        raise InputError(f"--codes holds {len(codes)} codes", hint="one to three, one a line")
    require_codes(codes)
    return codes


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Which server, on a command that gets a Server as `server`, or None if nothing was said."""

    @click.option("--server-profile", "name", type=click.Choice(sorted(PROFILES)), help="Which kind of server.")
    @click.option("--back-steps", type=click.IntRange(0, 100_000), help="Steps behind that it accepts, if changed.")
    @click.option("--forward-steps", type=click.IntRange(0, 100_000), help="Steps ahead that it accepts, if changed.")
    @click.option(
        "--delay-s",
        metavar="S",
        callback=as_duration,
        default="0",
        help="How long typing a code may take (default: 0).",
    )
    @functools.wraps(command)
    def with_server(
        *positional: Any,
        name: str | None,
        back_steps: int | None,
        forward_steps: int | None,
        delay_s: Fraction,
        **arguments: Any,
    ) -> None:
        if (back_steps is None) != (forward_steps is None):
            raise UsageError("a window has two sides", hint="give both --back-steps and --forward-steps")
        steps = None if back_steps is None or forward_steps is None else (back_steps, forward_steps)
        server = None
        if name is not None or steps is not None:
            server = Server(None if name is None else PROFILES[name], steps, delay_s=delay_s)
        command(*positional, server=server, **arguments)

    return with_server


def allowance_options(command: Callable[..., None]) -> Callable[..., None]:
    """What to make allowance for in logins, on a command that gets an Allowance as `allowance`."""

    @click.option("--delay-s", metavar="S", callback=as_duration, help="From reading a code to its receipt (45).")
    @click.option(
        "--server-error-s", metavar="S", callback=as_duration, help="How wrong the server's clock may be (1)."
    )
    @click.option("--wander-s", metavar="S", callback=as_duration, help="What temperature may do to a clock (6).")
    @click.option(
        "--ageing-ppm-per-year-max", metavar="PPM", callback=as_duration, help="How its rate may change in a year (0)."
    )
    @functools.wraps(command)
    def with_allowance(
        *positional: Any,
        delay_s: Fraction | None,
        server_error_s: Fraction | None,
        wander_s: Fraction | None,
        ageing_ppm_per_year_max: Fraction | None,
        **arguments: Any,
    ) -> None:
        given = {
            "delay_s": delay_s,
            "server_error_s": server_error_s,
            "wander_s": wander_s,
            "ageing_ppm_per_year_max": ageing_ppm_per_year_max,
        }
        allowance = replace(Allowance(), **{name: value for name, value in given.items() if value is not None})
        command(*positional, allowance=allowance, **arguments)

    return with_allowance


def read_text(file: str) -> str:
    """A file that holds no secret; - is standard input. Raises InputError."""
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text") from None


@contextmanager
def lines_of(file: str) -> Iterator[Iterator[str]]:
    """A file line by line, for one that may be larger than the memory; - is standard input. Raises InputError."""
    if file == "-":
        yield _decoded(sys.stdin, file)
        return
    try:
        stream = Path(file).open(encoding="utf-8-sig", newline="")  # noqa: SIM115  # closed below; open() alone is tried
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}") from None
    with stream:
        yield _decoded(stream, file)


def _decoded(stream: TextIO, file: str) -> Iterator[str]:
    try:
        yield from stream
    except UnicodeDecodeError:
        raise InputError(f"{file} is not UTF-8 text") from None
