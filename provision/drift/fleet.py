"""Tens of thousands of tokens: who fails first, how their rates are spread, and which batches share a fault.

A token's whole history is looked at once and a few numbers are kept of it, so the memory does not depend on how long
the histories are. A batch (a box, a month of making) is named when a fault is so much more frequent in it than in the
rest that chance does not explain it.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from math import ceil, exp, floor, lgamma
from typing import Any, NamedTuple

from provision.drift import document as documents
from provision.drift.diagnosis import Diagnosis, diagnose
from provision.drift.estimate import Estimate
from provision.drift.history import BATCHES
from provision.drift.jumps import QUARTER_S, named
from provision.drift.observation import PPM
from provision.drift.outlook import Server, outlook, present
from provision.errors import InputError

CHANCE = 1e-3  # the probability, all batches and faults together, of naming one that only seems to be at fault
_SMALLEST_BATCH = 3
_SET_TO_S = 60  # how well a clock is set to the wrong hour, and how far it drifts before anybody logs in
_FENCE = 1.5  # Tukey's: so many interquartile ranges beyond the quartiles is no part of the same crowd


class Token(NamedTuple):
    """What is kept of one. `first_s`, `certain_s`, `total_s`: as in prediction.Forecast. Rates in ppm, least, most
    likely and greatest; None where its clock cannot be. `offset_s`: most likely, at its last observation. `causes`:
    names of what happened to its clock."""

    serial: str
    labels: tuple[str | None, ...]
    first_s: int | None
    certain_s: int | None
    total_s: int | None
    rates_ppm: tuple[float, float, float] | None
    offset_s: float | None
    causes: tuple[str, ...]


def assess(line: str, server: Server, at_s: Fraction) -> Token:
    """One line as history.py describes it, its dates from `at_s` on (or its last login). Raises InputError."""
    found, labels, shift_s = _read(line)
    if shift_s is not None and server.shift_s is None:
        server = replace(server, shift_s=shift_s)
    diagnosis = diagnose(found.model, found.observations)
    causes = _happened(diagnosis)
    estimate = present(found.model, found.observations, diagnosis)
    if not (found.observations and estimate.is_feasible):
        return Token(*labels, None, None, None, None, None, tuple(causes or ["no-observations"]))
    ahead = outlook(estimate, server, server.window(found), at_s).dates
    assert ahead is not None, "a feasible clock has a future"
    last_s = estimate.last_s or estimate.model.tref_s
    least, greatest = estimate.rate_error_ppm
    middle = estimate.centroid
    if not causes:
        causes = _set_wrong(estimate, min(seen.a for seen in found.observations))
    return Token(
        *labels,
        ahead.first_possible_failure_s,
        ahead.certain_failure_s,
        ahead.total_failure_s,
        (float(least), float(middle.rate_error_ppm), float(greatest)),
        float(middle.offset_s + middle.rate_error_ppm * (last_s - estimate.model.tref_s) / PPM),
        tuple(causes),
    )


def assess_all(lines: Sequence[tuple[int, str]], server: Server, at_s: Fraction) -> list[Token]:
    """Of (number, line); an error names the number."""
    tokens = []
    for number, line in lines:
        try:
            tokens.append(assess(line, server, at_s))
        except InputError as error:
            raise InputError(f"line {number}: {error.message}", hint=error.hint) from None
    return tokens


def portions(lines: Iterable[str], size: int) -> Iterator[list[tuple[int, str]]]:
    """Lines that are not blank, numbered from 1, so many at a time."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    while portion := list(islice(numbered, size)):
        yield portion


def by_urgency(tokens: Iterable[Token]) -> list[Token]:
    """Who may fail first comes first; who never does, last."""
    return sorted(tokens, key=lambda t: (_last(t.first_s), _last(t.certain_s), _last(t.total_s), t.serial))


def _last(unix_s: int | None) -> float:
    return float("inf") if unix_s is None else unix_s


def histogram(tokens: Iterable[Token], width_ppm: float = 1.0) -> list[tuple[float, int]]:
    """How many tokens have a rate from each multiple of `width_ppm` to the next, empty ones in between included."""
    counts = Counter(floor(token.rates_ppm[1] / width_ppm) for token in tokens if token.rates_ppm is not None)
    if not counts:
        return []
    return [(bar * width_ppm, counts[bar]) for bar in range(min(counts), max(counts) + 1)]


@dataclass(frozen=True, slots=True)
class Batch:
    """`count` of `size` tokens whose `label` ("box", "made") is `value` have the `fault`; `elsewhere`: the share of the
    other tokens that have it. `chance`: that so many would by accident, all comparisons counted."""

    label: str
    value: str
    fault: str
    count: int
    size: int
    elsewhere: float
    chance: float


def batches(tokens: Sequence[Token]) -> list[Batch]:
    """Those with a common fault, the least accidental first. What one batch explains is not counted for another that
    only contains it, such as the month in which a bad box was made."""
    faults = _faults(tokens)
    members = _members(tokens)
    comparisons = sum(not faulty.isdisjoint(numbers) for faulty in faults.values() for numbers in members.values())
    found = []
    for fault, faulty in sorted(faults.items()):
        left = set(range(len(tokens)))
        while True:
            suspects = [
                _suspect(label, value, fault, left & numbers, faulty, left, comparisons)
                for (label, value), numbers in members.items()
                if not faulty.isdisjoint(numbers & left)
            ]
            worst = min(suspects, key=lambda batch: (batch.chance, batch.size, batch.value), default=None)
            if worst is None or worst.chance > CHANCE:
                break
            found.append(worst)
            left -= members[worst.label, worst.value]
    return sorted(found, key=lambda batch: (batch.chance, batch.label, batch.value, batch.fault))


def _members(tokens: Sequence[Token]) -> dict[tuple[str, str], set[int]]:
    members: dict[tuple[str, str], set[int]] = defaultdict(set)
    for number, token in enumerate(tokens):
        for label, value in zip(BATCHES, token.labels, strict=True):
            if value is not None:
                members[label, value].add(number)
    return {key: numbers for key, numbers in members.items() if _SMALLEST_BATCH <= len(numbers) < len(tokens)}


def _suspect(
    label: str, value: str, fault: str, numbers: set[int], faulty: set[int], among: set[int], comparisons: int
) -> Batch:
    count, size, total, population = len(numbers & faulty), len(numbers), len(among & faulty), len(among)
    elsewhere = (total - count) / (population - size) if population > size else 0.0
    return Batch(
        label, value, fault, count, size, elsewhere, min(1.0, comparisons * _tail(population, total, size, count))
    )


def _read(line: str) -> tuple[documents.Document, tuple[str, tuple[str | None, ...]], Fraction | None]:
    try:
        found = json.loads(line, parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is no JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("document"), dict):
        raise InputError('a token is a JSON object with a "document"', hint="`provision drift import` makes such lines")
    shift = found.get("shift_s")
    return (
        documents.of_json(found["document"]),
        (_label(found, "serial") or "-", tuple(_label(found, name) for name in BATCHES)),
        None if shift is None else documents.exact(shift, "shift_s"),
    )


def _label(found: dict[str, Any], name: str) -> str | None:
    value = found.get(name)
    return None if value is None else str(value)[:80]


def _happened(diagnosis: Diagnosis) -> list[str]:
    """The names of the causes; where one jump may have several, the likeliest, which comes first."""
    jumps: set[object] = set()
    names = []
    for cause in diagnosis.causes:
        jump = cause.evidence.get("since_s")
        if jump is None or jump not in jumps:
            names.append(cause.name)
        jumps.add(jump)
    return names


def _set_wrong(estimate: Estimate, at_s: Fraction) -> list[str]:
    """A clock that fits, but was never right: so far off that no drift explains it."""
    offset_s = estimate.offset_at(at_s)
    if min(map(abs, offset_s)) < QUARTER_S or offset_s[0] < 0 < offset_s[1]:
        return []
    return [named((offset_s[0] - _SET_TO_S, offset_s[1] + _SET_TO_S), at_s)[0].name]


def _faults(tokens: Sequence[Token]) -> dict[str, set[int]]:
    """Who has which: what happened to a clock, and whether it is for certain faster or slower than the crowd."""
    faults: dict[str, set[int]] = defaultdict(set)
    for number, token in enumerate(tokens):
        for cause in token.causes:
            faults[cause].add(number)
    rates = sorted(token.rates_ppm[1] for token in tokens if token.rates_ppm is not None)
    if len(rates) < 4:
        return faults
    first, third = rates[len(rates) // 4], rates[ceil(len(rates) * 3 / 4) - 1]
    low, high = first - _FENCE * (third - first), third + _FENCE * (third - first)
    for number, token in enumerate(tokens):
        if token.rates_ppm is not None and token.rates_ppm[2] < low:
            faults["slow"].add(number)
        elif token.rates_ppm is not None and token.rates_ppm[0] > high:
            faults["fast"].add(number)
    return faults


def _tail(population: int, faulty: int, size: int, count: int) -> float:
    """The probability that `count` or more of `size` tokens drawn from `population` are among its `faulty` ones: the
    hypergeometric distribution's upper tail (Fisher's exact test, one-sided)."""

    def log_choose(n: int, k: int) -> float:
        return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)

    whole = log_choose(population, size)
    most = min(size, faulty)
    return min(
        1.0,
        sum(
            exp(log_choose(faulty, k) + log_choose(population - faulty, size - k) - whole)
            for k in range(max(count, size - (population - faulty)), most + 1)
        ),
    )
