"""What went wrong when no clock of the model could have shown what was seen.

One observation that contradicts all others was typed late, or was not this token's. Else the clock changed: the
observations fall into runs that each fit a clock, and the size of the jumps between them tells what happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from provision.drift.estimate import Estimate, Interval, Model
from provision.drift.jumps import named
from provision.drift.observation import Observation

LATE_S = 180  # nobody looks longer than that for the keys; beyond it, it is something else
_MOST_RUNS = 4  # more breaks than that, and the model is wrong rather than the clock set


@dataclass(frozen=True, slots=True)
class Cause:
    """`name`: for programs. `what`: one sentence. `evidence`: what it rests on, by name, in seconds where a number."""

    name: str
    what: str
    evidence: dict[str, Fraction | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`feasible`: of all observations. `dropped`: numbers of those that are left out of `estimate`, which is empty if
    leaving out does not help. `runs`: numbers of those that belong to one clock each, oldest first."""

    feasible: bool
    estimate: Estimate
    dropped: tuple[int, ...] = ()
    runs: tuple[tuple[int, ...], ...] = ()
    causes: tuple[Cause, ...] = ()


def diagnose(model: Model, observations: Sequence[Observation]) -> Diagnosis:
    """Estimate, and say what is wrong if nothing fits."""
    estimate = Estimate.of(model, observations)
    if estimate.is_feasible:
        return Diagnosis(True, estimate)
    if (outlier := _only_outlier(model, observations)) is not None:
        number, rest = outlier
        return Diagnosis(False, rest, dropped=(number,), causes=(_outlier_cause(number, observations[number], rest),))
    runs = _runs(model, observations)
    if len(runs) > _MOST_RUNS:
        cause = Cause("no-clock", "nothing fits: another seed, another time step, or a clock that is broken")
        return Diagnosis(False, estimate, causes=(cause,))
    causes = []
    for before, after in pairwise(runs):
        causes += _jump_causes(model, [observations[i] for i in before], [observations[i] for i in after])
    return Diagnosis(False, estimate, runs=tuple(runs), causes=tuple(causes))


def _only_outlier(model: Model, observations: Sequence[Observation]) -> tuple[int, Estimate] | None:
    """The one observation without which the others fit, if there is exactly one. In O(n): an observation is left out
    by joining what fits before it with what comes after."""
    found: list[tuple[int, Estimate]] = []
    before = Estimate.of(model)
    for number, observation in enumerate(observations):
        if not before.is_feasible:
            break
        rest = before.given(observations[number + 1 :])
        if rest.is_feasible:
            found.append((number, rest))
            if len(found) > 1:
                return None
        before = before.given([observation])
    return found[0] if found else None


def _outlier_cause(number: int, observation: Observation, rest: Estimate) -> Cause:
    late_s = rest.offset_at(observation.a)[0] + observation.a - observation.hi
    if 0 < late_s < LATE_S:
        return Cause(
            "late-typing",
            f"observation {number} was typed late: at least {float(late_s):.0f} s after it was read",
            {"observation": number, "late_s": late_s},
        )
    return Cause(
        "contradiction",
        f"observation {number} contradicts all others: it may be another device's",
        {"observation": number, "late_s": late_s},
    )


def _runs(model: Model, observations: Sequence[Observation]) -> list[tuple[int, ...]]:
    """Consecutive observations that fit one clock each, each run as long as it can be."""
    runs: list[tuple[int, ...]] = []
    current: list[int] = []
    estimate = start = Estimate.of(model)
    for number in sorted(range(len(observations)), key=lambda i: (observations[i].b, observations[i].a)):
        longer = estimate.given([observations[number]])
        if not longer.is_feasible:
            runs.append(tuple(current))
            current, longer = [], start.given([observations[number]])
        current.append(number)
        estimate = longer
    return [*runs, tuple(current)]


def _jump_causes(model: Model, before: Sequence[Observation], after: Sequence[Observation]) -> list[Cause]:
    one, other = Estimate.of(model, before), Estimate.of(model, after)
    if not (one.is_feasible and other.is_feasible):  # a single observation outside the prior
        return [Cause("out-of-range", "the clock is further off than was thought possible: search it with find-clock")]
    since, until = max(o.b for o in before), min(o.a for o in after)
    at_s = (since + until) / 2
    size_s = _jump(one, other, at_s)
    low, high = float(size_s[0]), float(size_s[1])
    return [
        Cause(
            jump.name,
            f"the clock jumped by {low:+.1f} to {high:+.1f} s: {jump.what}",
            {"least_s": size_s[0], "greatest_s": size_s[1], "size_s": jump.size_s, "since_s": since, "until_s": until},
        )
        for jump in named(size_s, at_s)
    ]


def _jump(one: Estimate, other: Estimate, at_s: Fraction) -> Interval:
    """By how much two clocks differ at a time, at the least and at the most."""
    before, after = one.offset_at(at_s), other.offset_at(at_s)
    return after[0] - before[1], after[1] - before[0]
