"""The person at the token, as the command line reaches one: asked in the terminal, or written down beforehand."""

from __future__ import annotations

from collections.abc import Iterator

import click

from provision.cli.context import Context
from provision.cli.output import note
from provision.cli.secrets_input import has_terminal
from provision.cli.typed_codes import bare_code
from provision.errors import InputError
from provision.station.person import NOBODY, Person

codes_option = click.option(
    "--codes-file",
    metavar="FILE",
    help="What a person at the token would type, a line each: the codes on its screen, anything once its button was "
    "pressed; - for standard input (default: ask).",
)


def person_of(context: Context, codes_file: str | None) -> Person:
    """Whoever can be asked."""
    if codes_file is not None:
        return _Written(context, context.secrets.lines(codes_file, option="--codes-file"))
    return _AtTheTerminal() if has_terminal() else NOBODY


class _AtTheTerminal:
    """Implements Person. A code is good for a minute, so it may be seen while it is typed."""

    def read_code(self, wanted: str) -> str:
        return bare_code(click.prompt(_sentence(wanted), err=True, type=str))

    def press_button(self, wanted: str) -> None:
        click.prompt(f"{_sentence(wanted)}. Enter when it is done", default="", show_default=False, err=True)


class _Written:
    """Implements Person. With --json each wish is an object on standard output, so that a program can fulfil it."""

    def __init__(self, context: Context, lines: Iterator[str]) -> None:
        self._context = context
        self._lines = lines

    def read_code(self, wanted: str) -> str:
        return bare_code(self._next("code", wanted))

    def press_button(self, wanted: str) -> None:
        self._next("button", wanted)

    def _next(self, kind: str, wanted: str) -> str:
        if self._context.as_json:
            self._context.result({"wanted": kind, "sentence": wanted}, "")
        else:
            note(_sentence(wanted))
        line = next(self._lines, None)
        if line is None:
            raise InputError("--codes-file has no more lines", hint=wanted)
        return line


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
