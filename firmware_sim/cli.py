"""The command `firmware-sim`: the only place of the simulator that imports click, prints or exits.

What a command needs is imported when it runs, so that `run` serves, and `press` presses, in a moment.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from firmware_sim.control.errors import ControlError
from firmware_sim.links.port import LOOPBACK, PORTS, PortOptions, usual_kind

if TYPE_CHECKING:
    from firmware_sim.temperature import TemperatureProfile

_F = TypeVar("_F", bound=Callable[..., Any])
_INTERRUPTED = 130
_PROFILES = ("desk", "pocket", "car", "freezer")


class _Number(click.ParamType):  # type: ignore[type-arg]  # generic only since click 8.3
    """A decimal number, exact: 2.5 is five halves."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            number = Decimal(value)
        except InvalidOperation:
            self.fail(f"{value!r} is not a number", param, ctx)
        if not number.is_finite():
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number


_NUMBER = _Number()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Hardware TOTP tokens made of software, on the wires of the real thing.

    `run` starts one; the other commands are the hands that press its button, pull its cable and move its time.
    """


_as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")


@cli.command()
@click.option("--family", "family_name", default="reference", show_default=True, help="Family of the token.")
@click.option("--model", metavar="NAME", help="Model of that family. [default: its first]")
@click.option("--firmware", metavar="VERSION", help="Firmware version, for example 5.7.4. [default: the model's first]")
@click.option(
    "--link",
    type=click.Choice(PORTS),
    help="Its wire. [default: pty, or tcp where there is none; usbip for a token without a serial line]",
)
@click.option("--state", type=click.Path(path_type=Path), help="Keep the token in this file. [default: in memory]")
@click.option("--serial", help="Serial number of a new token. [default: a random one]")
@click.option("--offset-s", type=_NUMBER, help="New token's clock: device minus true, seconds.")
@click.option("--rate-error-ppm", type=_NUMBER, help="New token's clock: rate error, + runs fast.")
@click.option("--ageing-ppm-per-year", type=_NUMBER, help="New token's clock: change of its rate.")
@click.option("--temperature-c", type=_NUMBER, help="New token's clock: temperature, constant. [default: 25]")
@click.option("--profile", type=click.Choice(_PROFILES), help="New token's clock: a course of temperatures.")
@click.option("--jitter-us", type=click.IntRange(0, 100_000), help="New token's clock: largest jitter, microseconds.")
@click.option("--clock", metavar="system|file:PATH", help="True time: the system's, or a file's that processes share.")
@click.option("--random-seed", type=click.IntRange(0), help="Repeatable randomness: for tests, never for real seeds.")
@click.option("--pty-link", type=click.Path(path_type=Path), help="A symbolic link that always leads to the pty.")
@click.option(
    "--bind",
    default=LOOPBACK,
    show_default=True,
    metavar="ADDRESS|/PATH",
    help="Where --link tcp and usbip listen; usbip also on a Unix socket.",
)
@click.option(
    "--dial", metavar="HOST:PORT", help="Where vpcd's reader listens, for --link vpcd. [default: its own port]"
)
@click.option("--reader-name", help="What PC/SC calls that reader. [default: vpcd's own name]")
@click.option(
    "--control", metavar="unix[:PATH]|tcp", help="Control channel. [default: unix in a fresh place, tcp where missing]"
)
@click.option(
    "--capture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Keep what passes in a new pcapng file, secrets masked.",
)
@click.option("--detach", is_flag=True, help="Go to the background once it serves; `firmware-sim stop` ends it.")
@click.option("--count", type=click.IntRange(1, 100_000), default=1, help="A fleet; --state is then a directory.")
@_as_json
def run(
    family_name: str,
    model: str | None,
    firmware: str | None,
    link: str | None,
    state: Path | None,
    serial: str | None,
    offset_s: Decimal | None,
    rate_error_ppm: Decimal | None,
    ageing_ppm_per_year: Decimal | None,
    temperature_c: Decimal | None,
    profile: str | None,
    jitter_us: int | None,
    clock: str | None,
    random_seed: int | None,
    pty_link: Path | None,
    bind: str,
    dial: str | None,
    reader_name: str | None,
    control: str | None,
    capture: Path | None,
    detach: bool,
    count: int,
    as_json: bool,
) -> None:
    """Start a token, print one JSON line that says where it is, and serve until SIGTERM, SIGINT or `stop`.

    The line is {"serial": ..., "family": ..., "address": ..., "control": ...}: the address is what `provision --token`
    takes, control is what the other commands take. With --count, one line for each token.
    """
    from firmware_sim.clocks import parse_clock
    from firmware_sim.control.serve import Fleet, Quartz, serve
    from firmware_sim.families.family import SERIAL_RULE, family, is_serial

    temperature = _temperature(temperature_c, profile)
    variant = family(family_name, model=model, firmware=firmware)
    link = link or usual_kind(variant)
    control_kind, control_path = _control(control, count)
    port = PortOptions(bind=bind, pty_link=pty_link, dial=dial, reader_name=reader_name)
    _check_port(link, port, count)
    if state is not None:
        _warn(f"{state} contains the token's secrets in the clear: it is the token")
    if serial is not None and not is_serial(serial):
        raise click.UsageError(f"--serial takes {SERIAL_RULE}")
    quartz = Quartz(
        offset_s or Decimal(0),
        rate_error_ppm or Decimal(0),
        ageing_ppm_per_year or Decimal(0),
        temperature,
        jitter_us or 0,
    )
    if state is not None and state.is_file() and quartz != Quartz():
        _warn(f"{state} exists and its clock goes on; the options for a new token's clock are not used")
    if random_seed is not None:
        _warn(f"random seed {random_seed}: this token's keys and challenges can be predicted")
    fleet = Fleet(
        family=variant,
        model=model,
        firmware=firmware,
        clock=parse_clock(clock),
        quartz=quartz,
        count=count,
        serial=serial,
        state=state,
        link=link,
        port=port,
        control=control_kind,
        control_path=control_path,
        capture=capture,
        seed=random_seed,
    )
    if not detach:
        serve(fleet, _announce, _warn)
        return
    from firmware_sim.control import background

    told = background.detach(lambda announce: serve(fleet, announce, _warn))
    if told is not None:
        _announce(told.lines)
        raise click.exceptions.Exit(told.exit_code)


def _temperature(temperature_c: Decimal | None, profile: str | None) -> TemperatureProfile | None:
    """Raises UsageError, OscillatorError."""
    from firmware_sim.temperature import TemperatureProfile

    if temperature_c is not None and profile is not None:
        raise click.UsageError("give --temperature-c or --profile, not both")
    if temperature_c is not None:
        return TemperatureProfile.constant(temperature_c)
    return None if profile is None else TemperatureProfile.named(profile)


def _control(given: str | None, count: int) -> tuple[str, Path | None]:
    """What --control says: the kind of channel, and where its socket is wanted. Raises UsageError."""
    from firmware_sim.control.listener import default_kind

    kind, _, place = (given or "").partition(":")
    if kind not in ("", "unix", "tcp") or (place and (kind != "unix" or count > 1)):
        raise click.UsageError("--control is unix, unix:PATH (for one token) or tcp")
    return kind or default_kind(), Path(place) if place else None


def _check_port(link: str, options: PortOptions, count: int) -> None:
    """Warns of a port that lets others in. Raises UsageError for what that link, or so many tokens, cannot have."""
    if options.pty_link is not None and (link != "pty" or count > 1):
        raise click.UsageError("--pty-link is for one token on --link pty")
    if (options.dial is not None or options.reader_name is not None) and link != "vpcd":
        raise click.UsageError("--dial and --reader-name are for --link vpcd")
    if link == "vpcd" and count > 1:
        raise click.UsageError("--link vpcd is for one token: the virtual reader takes one card")
    if options.bind.startswith("/"):
        if link != "usbip" or count > 1:
            raise click.UsageError("--bind /PATH is for one token on --link usbip")
    elif link in ("tcp", "usbip") and options.bind not in ("127.0.0.1", "::1", "localhost"):
        _warn(f"--bind {options.bind}: anyone who reaches that address can talk to the token; it is made for 127.0.0.1")


def _announce(lines: list[dict[str, str]]) -> None:
    for line in lines:
        _print(json.dumps(line))


# The hands. Each sends one request and prints its reply.


def _hand(name: str) -> Callable[[_F], click.Command]:
    """A command that talks to a running simulator."""

    def decorate(function: _F) -> click.Command:
        control = click.option("--control", required=True, metavar="ADDRESS", help='What `run` printed as "control".')
        return cli.command(name)(control(_as_json(function)))

    return decorate


def _ask(control: str, op: str, **fields: object) -> dict[str, Any]:
    from firmware_sim.control.address import parse_address
    from firmware_sim.control.client import ControlClient

    with ControlClient(parse_address(control)) as client:
        return client.request(op, **{name: value for name, value in fields.items() if value is not None})


def _tell(reply: dict[str, Any], as_json: bool, text: str) -> None:
    _print(json.dumps(reply) if as_json else text)


def _durations(function: _F) -> _F:
    """Ways to say a duration: words, or one option for each unit."""
    for unit in ("seconds", "minutes", "hours", "days", "weeks", "months", "years"):
        function = click.option(f"--{unit}", type=_NUMBER, metavar="N")(function)
    return click.argument("words", nargs=-1, metavar="[DURATION]")(function)


def _spoken(words: tuple[str, ...], units: dict[str, Decimal | None]) -> str:
    said = [*words, *(f"{number:f} {unit}" for unit, number in units.items() if number is not None)]
    if not said:
        raise click.UsageError("say how long, for example `18 months` or --months 18")
    return " ".join(said)


@_hand("advance")
@_durations
def advance(control: str, as_json: bool, words: tuple[str, ...], **units: Decimal | None) -> None:
    """Move true time, for every process that shares the clock file. Refused on the real clock."""
    from datetime import UTC, datetime

    reply = _ask(control, "advance", duration=_spoken(words, units))
    try:
        when = f"{datetime.fromtimestamp(reply['true_time_s'], UTC):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:  # after the year 9999
        when = f"{reply['true_time_s']:.0f}, Unix seconds"
    _tell(reply, as_json, f"true time is {when}")


@_hand("age")
@_durations
def age(control: str, as_json: bool, words: tuple[str, ...], **units: Decimal | None) -> None:
    """Let the token's clock err as if time had gone by, while true time stands still."""
    duration = _spoken(words, units)
    _tell(_ask(control, "age", duration=duration), as_json, f"aged by {duration}")


@_hand("press")
def press(control: str, as_json: bool) -> None:
    """Press the button; prints what the screen shows then."""
    reply = _ask(control, "press")
    _tell(reply, as_json, reply["screen"])


@_hand("type-pin")
def type_pin(control: str, as_json: bool) -> None:
    """Type a PIN on the keypad: from a prompt, or one line on standard input. Prints what the screen shows then."""
    typed = click.prompt("PIN", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    reply = _ask(control, "type-pin", pin=typed.rstrip("\r\n"))
    _tell(reply, as_json, reply["screen"])


@_hand("screen")
def screen(control: str, as_json: bool) -> None:
    """Read the token's screen."""
    reply = _ask(control, "screen")
    _tell(reply, as_json, reply["screen"])


@_hand("power")
@click.argument("state", type=click.Choice(["on", "off", "cut"]))
@click.option("--hold-button", is_flag=True, help="With on: hold the button for 10 s, a factory reset.")
@click.option("--in-operation", type=click.IntRange(1), help="With cut: not now, but in the N-th flash operation.")
@click.option("--moment", type=click.Choice(["before", "inside", "after"]), help="With --in-operation.")
@click.option("--seed", type=click.IntRange(0), help="With --in-operation: which bits a torn operation still changes.")
def power(
    control: str,
    as_json: bool,
    state: str,
    hold_button: bool,
    in_operation: int | None,
    moment: str | None,
    seed: int | None,
) -> None:
    """Give the token power, take it away, or let it fail in the middle of something."""
    reply = _ask(
        control,
        "power",
        state=state,
        hold_button=hold_button or None,
        in_operation=in_operation,
        moment=moment,
        seed=seed,
    )
    _tell(reply, as_json, "powered" if reply["powered"] else "no power")


@_hand("cable")
@click.argument("action", type=click.Choice(["plug", "unplug"]))
@click.option("--after", metavar="INSTRUCTION", help="With unplug: once the next one has been executed and answered.")
@click.option("--before-reply", is_flag=True, help="With --after: executed, but in place of its answer.")
def cable(control: str, as_json: bool, action: str, after: str | None, before_reply: bool) -> None:
    """Pull the cable, or plug it in again. INSTRUCTION: a name as `SET TIME`, or two hexadecimal digits."""
    if before_reply and after is None:
        raise click.UsageError("--before-reply says how --after pulls: give --after INSTRUCTION too")
    reply = _ask(control, "cable", action=action, after=after, before_reply=before_reply or None)
    if "address" in reply:
        _tell(reply, as_json, reply["address"])
    else:
        _tell(reply, as_json, f"to be unplugged after {after}" if reply["plugged"] else "unplugged")


@_hand("oscillator")
@click.option("--offset-s", type=_NUMBER)
@click.option("--rate-error-ppm", type=_NUMBER)
@click.option("--ageing-ppm-per-year", type=_NUMBER)
@click.option("--temperature-c", type=_NUMBER)
@click.option("--profile", type=click.Choice(_PROFILES))
@click.option("--jitter-us", type=click.IntRange(0, 100_000))
def oscillator(control: str, as_json: bool, **parameters: Decimal | str | int | None) -> None:
    """Change the token's quartz from now on; the clock goes on from where it stands."""
    fields = {name: str(value) if isinstance(value, Decimal) else value for name, value in parameters.items()}
    reply = _ask(control, "oscillator", **fields)
    _tell(reply, as_json, _lines(reply))


@_hand("battery")
@click.argument("event", type=click.Choice(["low", "dead", "replace"]))
def battery(control: str, as_json: bool, event: str) -> None:
    """Weaken, kill or replace the battery of the token's clock."""
    reply = _ask(control, "battery", event=event)
    _tell(reply, as_json, f"battery {reply['battery']}")


@_hand("inspect")
def inspect(control: str, as_json: bool) -> None:
    """Everything about the token but its secrets, with the truth about its clock."""
    reply = _ask(control, "inspect")
    _tell(reply, as_json, "\n".join(f"{part}\n{_lines(fields, '  ')}" for part, fields in reply.items()))


@_hand("stop")
def stop(control: str, as_json: bool) -> None:
    """End the simulation cleanly; a token with a state file is as it was when it is run again."""
    _tell(_ask(control, "stop"), as_json, "stopped")


def _lines(fields: dict[str, Any], indent: str = "") -> str:
    return "\n".join(f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items())


def _print(text: str) -> None:
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is still in the buffer must not fail a second time when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.ClickException(f"standard output cannot be written: {error.strerror}") from None


def _warn(text: str) -> None:
    click.echo(f"firmware-sim: {text}", err=True)


def main() -> NoReturn:
    """Run the command line and exit with the codes of DESIGN.md."""
    # Started with one closed: the next file opened, a state file for instance, would get its number.
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115  # open until the process ends
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks must not stop a command
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        exit_code = cli(standalone_mode=False)
    except click.Abort:
        _fail("interrupted", _INTERRUPTED)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except ControlError as error:
        _fail(str(error), error.exit_code)
    except _expected() as error:
        _fail(str(error), _exit_code(error))
    sys.exit(exit_code)


def _expected() -> tuple[type[Exception], ...]:
    """What the parts of the simulator raise on purpose. Looked at only once something was raised."""
    from firmware_sim.clocks import ClockError
    from firmware_sim.families.family import UnknownFamily
    from firmware_sim.links.port import PortError
    from firmware_sim.seams import OscillatorError
    from firmware_sim.statefile import StateFileError

    return UnknownFamily, OscillatorError, PortError, ClockError, StateFileError


def _exit_code(error: Exception) -> int:
    codes = {
        "UnknownFamily": 2,
        "ClockError": 2,
        "OscillatorError": 2,
        "PortError": 3,
        "ClockFileError": 9,
        "StateFileError": 9,
    }
    return codes[type(error).__name__]


def _fail(message: str, exit_code: int) -> NoReturn:
    line = " ".join(message.split())
    click.echo(f"firmware-sim: {line}", err=True)
    if "--json" in sys.argv[1:]:
        with contextlib.suppress(click.ClickException):  # the line above has told it
            _print(json.dumps({"error": line, "exit_code": exit_code}))
    sys.exit(exit_code)
