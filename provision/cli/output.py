"""How results and errors look: one JSON object, or text."""

from __future__ import annotations

import enum
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from provision.errors import ProvisionError

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")


class OutputLost(ProvisionError):
    """Standard output takes nothing: told on the other stream, also with --json."""


def print_json(value: Mapping[str, object]) -> None:
    """One object on one line, in ASCII whatever the locale, out at once: somebody may wait for it in a pipe."""
    print_line(json.dumps(value, default=_plain))


def print_line(text: str) -> None:
    """A line of the result. Raises OutputLost if standard output takes none, BrokenPipeError if nobody reads it."""
    try:
        print(_harmless(text), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What is still in the buffer must not fail a second time when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputLost(
            f"standard output cannot be written: {error.strerror}", hint="the command itself was carried out"
        ) from None


def print_error(message: str, hint: str | None) -> None:
    print(f"error: {_harmless(message)}", file=sys.stderr)
    if hint:
        print(f"hint: {_harmless(hint)}", file=sys.stderr)


def note(text: str) -> None:
    """Something for the person at the terminal, who may pipe the result elsewhere."""
    print(_harmless(text), file=sys.stderr, flush=True)


def counted(number: int, what: str) -> str:
    """ "1 token", "2 tokens"."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def columns(unseen: int, *, least: int, most: int) -> int:
    """How many a line may take: what the terminal has, within those bounds; `unseen` where there is none."""
    if not sys.stdout.isatty():
        return unseen
    return max(least, min(shutil.get_terminal_size().columns - 1, most))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two spaces apart; the first row is the head."""
    cells = [[cell.replace("\n", r"\x0a") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def utc(unix_s: float) -> str:
    """A moment for people to read."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _harmless(text: str) -> str:
    """Control characters made visible: what a token calls itself must not steer the terminal of who looks at it."""
    return _CONTROLS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(_plain(item) for item in value)  # type: ignore[type-var]  # enum values here are text
    return str(value)
