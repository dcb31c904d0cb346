"""Past logins as documents: what servers and spreadsheets know of many tokens, one line of JSON for each.

    {"serial": ..., "box": ..., "made": "2025-06", "shift_s": ..., "document": {... as in document.py ...}}

Only "document" is needed. `shift_s`: what the server remembers of that clock.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from math import floor
from typing import Any

from provision.drift.document import whole
from provision.drift.moments import moment
from provision.errors import InputError

BATCHES = ("box", "made")  # what tokens may have in common
_LABELS = ("serial", "user", *BATCHES)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What to make allowance for, in logins of real tokens by real people. `delay_s`: from reading a code to its
    receipt. `server_error_s`: how wrong the server's clock may have been. `wander_s`: what temperature does."""

    delay_s: Fraction = Fraction(45)
    server_error_s: Fraction = Fraction(1)
    wander_s: Fraction = Fraction(6)
    ageing_ppm_per_year_max: Fraction = Fraction(0)


def plain(number: Fraction) -> int | str:
    """As a document spells it."""
    return int(number) if number.denominator == 1 else str(number)


def new_document(time_step_s: int, t0_s: int, tref_s: Fraction, allowance: Allowance) -> dict[str, Any]:
    """A document without observations."""
    return {
        "tref": floor(tref_s),
        "time_step_s": time_step_s,
        "t0_s": t0_s,
        "wander_s": plain(allowance.wander_s),
        "ageing_ppm_per_year_max": plain(allowance.ageing_ppm_per_year_max),
        "observations": [],
    }


def code_observation(received_s: Fraction, step: int, allowance: Allowance) -> dict[str, Any]:
    """A code of `step` that arrived, cut to milliseconds: floats have more digits than clocks have."""
    milli = Fraction(1, 1000)
    whole = received_s.denominator == 1
    return {
        "t": plain(received_s if whole else floor(received_s / milli) * milli),
        "step": step,
        "delay_s": plain(allowance.delay_s),
        "server_error_s": plain(allowance.server_error_s if whole else allowance.server_error_s + milli),
    }


def document_of(
    logins: Sequence[tuple[Fraction, int]], time_step_s: int, t0_s: int, allowance: Allowance
) -> dict[str, Any]:
    """From (received_s, step) of accepted codes, one at least."""
    document = new_document(time_step_s, t0_s, logins[0][0], allowance)
    document["observations"] += [code_observation(received_s, step, allowance) for received_s, step in logins]
    return document


def from_csv(lines: Iterable[str], time_step_s: int, allowance: Allowance) -> Iterator[dict[str, Any]]:
    """Tokens of a CSV file with a head, rows of one serial together: `serial`, `time` (Unix or ISO 8601), and `step`
    or `drift_steps` (the code's step minus the server's); `user`, `box` and `made` where known. Raises InputError."""
    reader = csv.DictReader(lines)
    columns = set(reader.fieldnames or ())
    if not {"serial", "time"} <= columns or not columns & {"step", "drift_steps"}:
        raise InputError("the CSV's first line has to name serial, time and step (or drift_steps)")
    seen: set[str] = set()
    for serial, rows in groupby(_numbered(reader), lambda numbered: numbered[1]["serial"]):
        if serial in seen:
            raise InputError(f"the rows of {serial[:40]!r} do not stand together", hint="sort the file by serial")
        seen.add(serial)
        labels: dict[str, str] = {}
        logins = []
        for line, row in rows:
            labels |= {name: row[name] for name in _LABELS if row.get(name)}
            logins.append(_login(row, time_step_s, f"line {line}"))
        yield {**labels, "document": document_of(logins, time_step_s, 0, allowance)}


def _numbered(reader: csv.DictReader[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    try:
        for row in reader:
            if None in row or None in row.values():
                raise InputError(f"line {reader.line_num} has more or fewer cells than the first line")
            yield reader.line_num, row
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} is no CSV: {error}") from None


def _login(row: Mapping[str, str], time_step_s: int, where: str) -> tuple[Fraction, int]:
    received_s = moment(row["time"], f"{where}: time")
    if row.get("step"):
        return received_s, whole(row["step"], f"{where}: step")
    return received_s, floor(received_s / time_step_s) + whole(row.get("drift_steps", ""), f"{where}: drift_steps")
