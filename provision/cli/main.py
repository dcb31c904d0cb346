"""`provision`: the frame around every command. How one ends is decided here and nowhere else.

Exit codes are those of provision/errors.py. With `--json` a command prints one JSON object on standard output (a
command with steps: one a line), an error `{"error": {"type", "message", "hint", ...its attributes}, "exit_code"}`.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from provision.cli.commands import API_TOKEN, DRIFT, LEDGER, SERVER, TOKEN, TOP, UDEV, USER
from provision.cli.lazy import LazyGroup
from provision.cli.output import OutputLost, print_error, print_json
from provision.errors import ProvisionError

INTERNAL, USAGE, INTERRUPTED = 1, 2, 130

provision = LazyGroup(
    "provision",
    TOP,
    "Make hardware tokens working second factors: program them, register them, watch their clocks, take them back.\n\n"
    "Secrets come by prompt or from files, never as arguments. Completion for your shell: "
    'eval "$(_PROVISION_COMPLETE=bash_source provision)" (or zsh_source, fish_source).',
)
token = LazyGroup("token", TOKEN, "Set up, use and retire one token.")
ledger = LazyGroup("ledger", LEDGER, "The record of which token was programmed for whom, and how far it came.")
server = LazyGroup("server", SERVER, "An authentication server: make one, register, check codes, mend drift.")
user = LazyGroup("user", USER, "Who is known to a server, with devices or without.")
api_token = LazyGroup("api-token", API_TOKEN, "Who may come to a server over HTTP, and as what.")
drift = LazyGroup(
    "drift", DRIFT, "What a token's clock does, from the codes that it showed; and when that will matter."
)
udev = LazyGroup("udev", UDEV, "The udev rules, by which Linux gives people access to tokens.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: sys.argv); the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in arguments  # also where the command line is too broken for click to tell
    if sys.stdout is None:  # started with it closed: the next file opened would get its number, and our output
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks must not stop a command
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        result = provision.main(arguments, prog_name="provision", standalone_mode=False)
        sys.stdout.flush()
    except ProvisionError as error:
        return _failed(error, as_json and not isinstance(error, OutputLost))
    except click.Abort:
        return _interrupted(as_json)
    except click.ClickException as error:
        return _misused(error, as_json)
    except BrokenPipeError:
        # Whoever read our output has had enough. Nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERNAL
    except Exception as error:  # noqa: BLE001  # the last line of defence: a defect of ours, told without its values
        return _defect(error, as_json, verbose="-vv" in arguments)
    return result if isinstance(result, int) else 0


def _failed(error: ProvisionError, as_json: bool) -> int:
    attributes = {key: value for key, value in vars(error).items() if key not in ("message", "hint")}
    _tell(as_json, type(error).__name__, error.message, error.hint, error.exit_code, attributes)
    return error.exit_code


def _interrupted(as_json: bool) -> int:
    if as_json:
        _tell(as_json, "Interrupted", "interrupted", None, INTERRUPTED, {})
    else:
        print("interrupted", file=sys.stderr)
    return INTERRUPTED


def _misused(error: click.ClickException, as_json: bool) -> int:
    if as_json:
        _tell(as_json, "UsageError", error.format_message(), None, USAGE, {})
    else:
        error.show()
    return USAGE


def _defect(error: Exception, as_json: bool, *, verbose: bool) -> int:
    """Neither the text of a foreign exception nor any variable is printed: a PIN or a seed may be in it."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    message = f"internal error: {type(error).__name__} in {where.name}, line {where.lineno}"
    hint = "this is a defect of provision; report it with the output of -vv"
    if isinstance(error, ImportError):
        hint = "a package is missing, or another hides it: `provision doctor` says which"
    _tell(as_json, "InternalError", message, hint, INTERNAL, {})
    if verbose:
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr)
    return INTERNAL


def _tell(
    as_json: bool, kind: str, message: str, hint: str | None, exit_code: int, attributes: dict[str, object]
) -> None:
    if as_json:
        try:
            print_json(
                {"error": {"type": kind, "message": message, "hint": hint, **attributes}, "exit_code": exit_code}
            )
        except OutputLost as error:
            print_error(f"{message}; and {error.message}", hint)
    else:
        print_error(message, hint)
