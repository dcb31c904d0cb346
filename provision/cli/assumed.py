"""What the credential is on a token that does not tell: as the options say, or else as the ledger has it on record."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from provision.cli.context import Context
from provision.cli.station_options import (
    algorithm_option,
    known_ledger,
    ledger_option,
    parameters_from,
    time_step_option,
)
from provision.errors import UsageError
from provision.model import OtpParameters, TokenInfo


def assumed_options(command: Callable[..., None]) -> Callable[..., None]:
    """--algorithm, --time-step and --ledger on a command, which gets `parameters` (None: neither was given) and
    `ledger_path`."""

    @algorithm_option
    @time_step_option
    @ledger_option
    @functools.wraps(command)
    def with_parameters(*positional: Any, algorithm: str | None, time_step_s: int | None, **arguments: Any) -> None:
        said = algorithm is not None or time_step_s is not None
        parameters = parameters_from(None, algorithm, time_step_s) if said else None
        command(*positional, parameters=parameters, **arguments)

    return with_parameters


def assumed_parameters(
    context: Context, ledger_path: str | None, info: TokenInfo, parameters: OtpParameters | None
) -> OtpParameters:
    """Raises UsageError if neither knows."""
    if parameters is not None:
        return parameters
    with known_ledger(context, ledger_path) as ledger:
        entry = None if ledger is None else ledger.last_of_token(info.serial)
    if entry is not None:
        return entry.job.parameters
    raise UsageError(
        f"token {info.serial} does not tell what its credential is",
        hint="say it with --algorithm and --time-step, or name the --ledger that knows the token",
    )
