"""How the rates of a fleet are spread, and where in it those batches are that share a fault."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provision.drift.fleet import Batch, Token, histogram
from provision.drift.history import BATCHES


@dataclass(frozen=True, slots=True)
class Bar:
    """`count` tokens have a rate from `from_ppm` to one width more; `at_fault` of them are of a batch at fault."""

    from_ppm: float
    count: int
    at_fault: int


@dataclass(frozen=True, slots=True)
class RatesPicture:
    """`tokens`: how many there are, `unknown` of them with no clock that fits. `batches`: those at fault, as text."""

    tokens: int
    unknown: int
    width_ppm: float
    bars: tuple[Bar, ...]
    batches: tuple[str, ...]


def rates_picture(tokens: Sequence[Token], suspects: Sequence[Batch], width_ppm: float) -> RatesPicture:
    """`suspects`: what fleet.batches says of the same tokens."""
    named = {(batch.label, batch.value) for batch in suspects}
    marked = dict(histogram([token for token in tokens if named & set(_batches(token))], width_ppm))
    return RatesPicture(
        len(tokens),
        sum(token.rates_ppm is None for token in tokens),
        width_ppm,
        tuple(Bar(low, count, marked.get(low, 0)) for low, count in histogram(tokens, width_ppm)),
        tuple(told_batch(batch) for batch in suspects),
    )


def told_batch(batch: Batch) -> str:
    return (
        f"{batch.label} {batch.value}: {batch.count} of {batch.size} are {batch.fault}, elsewhere"
        f" {batch.elsewhere:.1%}; by chance: {batch.chance:.1g}"
    )


def _batches(token: Token) -> list[tuple[str, str | None]]:
    return list(zip(BATCHES, token.labels, strict=True))
