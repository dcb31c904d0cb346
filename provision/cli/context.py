"""What every command is given: its clock, its way to a token, its way to secrets, how to show a result.

@click.command("code")
@token_option
@common_options
def code(context: Context, address: str) -> None:
    with context.token(address) as (session, info): ...
"""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provision.cli.output import note, print_json, print_line
from provision.cli.secrets_input import SecretInput, has_terminal
from provision.clock import Clock, parse_clock
from provision.errors import UsageError
from provision.families.driver import Session, identify
from provision.links.link import Link, LinkOptions, leaves_this_machine, open_link
from provision.links.spy import SpyLink
from provision.model import Capability, TokenInfo

if TYPE_CHECKING:
    from provision.wire.capture.recorder import Recorder

TIMEOUT_S = 2.0  # how long a token that waits for nobody may take to answer


@dataclass
class Context:
    """`verbose`: 0 silent, 1 logs what passes on the wire (headers and lengths only), 2 adds tracebacks of defects.
    `capture`: where what passes on the wire is kept, masked.
    """

    as_json: bool
    verbose: int
    clock: Clock
    capture: Path | None = None
    secrets: SecretInput = field(default_factory=SecretInput)
    _recording: Recorder | None = None

    def open_link(self, address: str, *, timeout_s: float | None = None) -> Link:
        recorder = None if self.capture is None else self._recorder(self.capture)
        options = LinkOptions(self.clock, secrets.token_bytes, timeout_s or TIMEOUT_S, self._touch_awaited, recorder)
        if leaves_this_machine(address):
            note(f"warning: nothing protects the way to {address}: PIN and codes cross the network in the clear")
        link = open_link(address, options)
        return SpyLink(link, note) if self.verbose else link

    @contextmanager
    def token(self, address: str) -> Iterator[tuple[Session, TokenInfo]]:
        """A session with the token at `address`, and what it says of itself."""
        with self.open_link(address) as link:
            driver, info = identify(link)
            yield driver.open(link, self.clock, secrets.token_bytes), info

    def result(self, value: Mapping[str, object], text: str) -> None:
        """What the command was asked for: the object with --json, else the text."""
        if self.as_json:
            print_json(value)
        else:
            print_line(text)

    def say(self, text: str) -> None:
        """A remark to a person; with --json nobody reads it."""
        if not self.as_json:
            note(text)

    def _recorder(self, path: Path) -> Recorder:
        """One for all links of this command. Its file is closed when the command ends, however it ends."""
        if self._recording is None:
            from provision.links.capture import CaptureFile
            from provision.wire.capture.recorder import Recorder

            file = CaptureFile(path, note)
            click.get_current_context().call_on_close(file.close)
            self._recording = Recorder(file.write, self.clock.now, "provision")
        return self._recording

    def _touch_awaited(self, seconds_left: int) -> None:
        note(f"touch the token's button ({seconds_left} s left)")


def common_options(command: Callable[..., None]) -> Callable[..., None]:
    """--json, --clock and -v on a command, which gets a Context as its first argument instead."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
    @click.option("--clock", metavar="CLOCK", help="The station's clock: system (default) or file:PATH.")
    @click.option("-v", "--verbose", count=True, help="Log what passes on the wire, without contents.")
    @functools.wraps(command)
    def with_context(as_json: bool, clock: str | None, verbose: int, **arguments: Any) -> None:
        capture = click.get_current_context().meta.get(_CAPTURE)
        command(Context(as_json, verbose, parse_clock(clock), capture), **arguments)

    return with_context


def _required_address(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is None and not ctx.resilient_parsing:
        raise UsageError("which token?", hint="name it with --token ADDRESS; `provision list` shows the addresses")
    return value


_CAPTURE = "provision.capture"


def _keep_capture(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> None:
    ctx.meta[_CAPTURE] = value  # for common_options, so that no command has to hand it on


capture_option = click.option(
    "--capture",
    metavar="FILE",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_keep_capture,
    help="Keep what passes on the wire in a new pcapng file, secrets masked.",
)

_address_option = click.option(
    "--token",
    "address",
    metavar="ADDRESS",
    envvar="HWTOKEN_TOKEN",
    callback=_required_address,
    help="The token's address, for example serial:/dev/ttyACM0 (default: $HWTOKEN_TOKEN).",
)


def token_option(command: Callable[..., None]) -> Callable[..., None]:
    """--token and --capture, on a command that opens a token."""
    return _address_option(capture_option(command))


@dataclass(frozen=True, slots=True)
class Administrator:
    """What opens a token to its administrator, as files. Neither: the family's published factory keys."""

    admin_key_file: str | None
    token_key_file: str | None

    def unlock(self, context: Context, session: Session, info: TokenInfo) -> None:
        """Before something is read that a token may tell its administrator only: with a key, if one is given."""
        if self.admin_key_file is not None or self.token_key_file is not None:
            self.authenticate(context, session, info)

    def authenticate(self, context: Context, session: Session, info: TokenInfo) -> None:
        """Raises UsageError, InputError, AdminKeyIncorrect."""
        if self.token_key_file is None:
            session.authenticate(context.secrets.admin_key(self.admin_key_file))
            if (
                self.admin_key_file is None
                and Capability.ADMIN_KEY in info.capabilities
                and info.factory_keys is not False
            ):
                context.say(
                    f"warning: token {info.serial} obeys everybody, as it came from the factory; "
                    "`provision token set-admin-key` gives it a key of yours"
                )
            return
        if self.admin_key_file is not None:
            raise UsageError("a token obeys one key", hint="give --admin-key-file or --token-key-file, not both")
        session.authenticate_own(context.secrets.token_key(self.token_key_file))


def administrator_options(command: Callable[..., None]) -> Callable[..., None]:
    """--admin-key-file and --token-key-file on a command, which gets them as `administrator`."""

    @click.option(
        "--admin-key-file",
        metavar="FILE",
        help="The organisation's administrator key in hex, - for standard input (default: the token's factory keys).",
    )
    @token_key_option
    @functools.wraps(command)
    def with_keys(*positional: Any, admin_key_file: str | None, token_key_file: str | None, **arguments: Any) -> None:
        command(*positional, administrator=Administrator(admin_key_file, token_key_file), **arguments)

    return with_keys


token_key_option = click.option(
    "--token-key-file",
    metavar="FILE",
    help="The token's own key or password as its vendor's tool takes it, - for standard input.",
)
model_option = click.option(
    "--model", metavar="NAME", help="Go on though this tool does not know the model NAME, as `provision info` shows it."
)

pin_option = click.option("--pin-file", metavar="FILE", help="The PIN, - for standard input (default: ask).")


def require_recognised(info: TokenInfo, model: str | None) -> None:
    """Demand that whoever changes a token that its driver does not know names its model. Raises UsageError."""
    if model is not None and model != info.model:
        raise UsageError(f"token {info.serial} is a {info.model}, not a {model}", hint="see `provision info`")
    if model is None and not info.recognised:
        raise UsageError(
            f"token {info.serial} is a {info.model} {info.firmware}".rstrip() + ", which this tool does not know",
            hint=f"if it is to be changed nevertheless, add --model {info.model!r}",
        )


def confirm_serial(info: TokenInfo, given: str | None, what: str) -> None:
    """Demand that the person names the very token that `what` (a verb phrase) is about to hit. Raises UsageError."""
    if given is None:
        if not has_terminal():
            raise UsageError(f"to {what} token {info.serial} its serial is needed", hint=f"add --serial {info.serial}")
        given = click.prompt(f"This will {what} token {info.serial} for good. Type its serial to go on", err=True)
    if given != info.serial:
        raise UsageError(
            f"the token here is {info.serial}, not {given}: nothing was changed", hint="check --token and the serial"
        )
