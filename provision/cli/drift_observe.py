"""`provision drift observe`: what a token shows now, added to its observations."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from provision.cli.context import Context, common_options
from provision.cli.drift_options import allowance_options, at_option, codes_option, read_codes
from provision.cli.station_options import algorithm_option, parameters_from, time_step_option
from provision.drift import document
from provision.drift.history import Allowance, code_observation, new_document, plain
from provision.drift.moments import iso
from provision.errors import CodeMismatch, InputError, UsageError
from provision.model import OtpParameters

# How many steps to either side a code is looked for. A wrong place is found by chance once in 24,000 tries with one
# code of six digits, once in a hundred million with two.
_REACH = {1: 20, 2: 2880, 3: 2880}


@click.command("observe")
@click.option("--input", "file", metavar="FILE", required=True, help="The observations; made if it is not there yet.")
@click.option("--seed-file", metavar="FILE", help="The seed, for codes that the token shows; - for standard input.")
@codes_option
@click.option("--token", "address", metavar="ADDRESS", help="Read the clock of this connected token instead.")
@algorithm_option
@time_step_option
@at_option
@allowance_options
@click.option("--undisciplined-clock-ok", is_flag=True, help="With --token: against a clock that nothing synchronises.")
@common_options
def observe(
    context: Context,
    file: str,
    seed_file: str | None,
    codes_file: str | None,
    address: str | None,
    algorithm: str | None,
    time_step_s: int | None,
    at_s: Fraction | None,
    allowance: Allowance,
    undisciplined_clock_ok: bool,
) -> None:
    """Add to FILE what a token shows now: its code, of a seed that is known, or its clock over the wire.

    Codes are asked for, one and the next; --at says when the last of them was typed, if not now.
    """
    if (seed_file is None) == (address is None):
        raise UsageError("what is to be seen?", hint="give --seed-file for codes, or --token for a clock on the wire")
    if address is not None and (codes_file is not None or at_s is not None):
        raise UsageError("--codes and --at go with --seed-file")
    path = Path(file)
    found = _existing(path)
    serial = None
    if address is not None:
        observation, text, serial = _clock(context, address, allowance, undisciplined_clock_ok)
        if found is not None and found.serial not in (None, serial):
            raise UsageError(
                f"{file} holds what token {found.serial} shows, and this one is {serial}: nothing was added",
                hint="check --token, or name another --input",
            )
    else:
        step_s = time_step_s if time_step_s is not None or found is None else found.time_step_s
        codes = read_codes(context, codes_file)
        parameters = parameters_from(len(codes[0]), algorithm, step_s)
        if found is not None and found.time_step_s != parameters.time_step_s:
            raise InputError(f"{file} holds codes of {found.time_step_s} s, not of {parameters.time_step_s} s")
        received_s = Fraction(context.clock.now()) if at_s is None else at_s
        assert seed_file is not None, "one of the two was demanded"
        step = _step(context, seed_file, parameters, codes, received_s)
        observation = code_observation(received_s, step, allowance)
        text = f"step {step}, {step - parameters.step_at(float(received_s)):+d} steps"
    count = _append(path, found, observation, serial, time_step_s or 30, allowance)
    context.result({"file": file, "observation": observation, "count": count}, f"{text}; {file} has {count} now")


def _clock(
    context: Context, address: str, allowance: Allowance, undisciplined_ok: bool
) -> tuple[dict[str, Any], str, str]:
    """The observation, what to say of it, and the token's serial."""
    from provision.station.discipline import require_discipline
    from provision.station.edges import observation_of

    verdict = require_discipline(context.clock, undisciplined_ok=undisciplined_ok, to="measure")
    error_s = allowance.server_error_s if verdict.max_error_s is None else verdict.max_error_s
    with context.token(address) as (session, info):
        session.read_clock()  # makes the session ready, so that the next is one exchange and nothing else
        seen = observation_of(session.read_clock(), error_s)
    names = ("a", "b", "lo", "hi")
    bounds = f"{float(seen.lo - seen.b):+.3f} to {float(seen.hi - seen.a):+.3f} s"
    return {name: plain(getattr(seen, name)) for name in names}, f"token {info.serial}: offset {bounds}", info.serial


def _step(
    context: Context, seed_file: str, parameters: OtpParameters, codes: Sequence[str], received_s: Fraction
) -> int:
    """The step of the last code. Raises CodeMismatch unless exactly one place fits."""
    from provision.otp import code_source
    from provision.seeds.text import parse_seed_file

    seed = parse_seed_file(context.secrets.read(seed_file, "--seed-file"), allow_short_seed=True)
    code_at = code_source(seed, parameters, allow_short_seed=True)
    middle, reach, back = parameters.step_at(float(received_s)), _REACH[len(codes)], len(codes) - 1
    fits = [
        step
        for step in range(max(back, middle - reach), middle + reach + 1)
        if all(code_at(step - back + i) == code for i, code in enumerate(codes))
    ]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise CodeMismatch("the code fits several steps", hint="read two codes, one directly after the other")
    hint = "read two codes, one directly after the other" if back == 0 else "`provision drift find-clock` looks further"
    raise CodeMismatch(
        f"this seed gives no such code within {reach * parameters.time_step_s} s of {iso(received_s)}", hint=hint
    )


def _existing(path: Path) -> document.Document | None:
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text") from None
    return document.read(text)


def _append(
    path: Path,
    found: document.Document | None,
    observation: dict[str, Any],
    serial: str | None,
    time_step_s: int,
    allowance: Allowance,
) -> int:
    """All or nothing: a full disk costs none of the earlier observations. How many there are."""
    if found is None:
        first_s = document.exact(observation.get("t", observation.get("a")), "t")
        content = new_document(time_step_s, 0, first_s, allowance)
        if serial is not None:
            content["serial"] = serial
    else:
        content = json.loads(path.read_text("utf-8"), parse_float=str)
    content["observations"].append(observation)
    try:
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=1)
            if found is not None:
                shutil.copymode(path, name)  # whoever may read it, still may
            os.replace(name, path)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
    return len(content["observations"])
