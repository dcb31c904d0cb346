"""Finding a lost clock, or the seed that a token really has, from two or three consecutive codes.

A code of d digits fits one step in 10^d by chance, so only consecutive codes say anything: the first one sifts the
steps, the others are compared where it fits. What fits by chance nevertheless is told with every candidate: its odds
are the number of hypotheses that were tried, times 10^(-d) for each code.

The sieve is a `Scanner`. This one, of the standard library alone, is exact and is the measure of the faster ones in
`search_numpy` and `search_numba`, which find the same.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, partial
from itertools import chain
from typing import Any

from provision.drift.places import END_S, Place
from provision.drift.sha import key_blocks
from provision.errors import InputError
from provision.model import OtpParameters, Secret

# The steps among those given that show a code, ascending. Steps are 0 <= T < 2**32. Safe to call from many threads.
Scan = Callable[[str, range], list[int]]
Scanner = Callable[[Secret, OtpParameters], Scan]
Progress = Callable[[int, int], None]  # steps tried, of how many

_FEW = 1 << 18  # so many steps are tried sooner than a faster scanner is loaded
_CHUNK = 1 << 20  # steps between two reports of progress
STEPS = 2**32  # what a scan can tell apart; 1970 to 2106 has fewer, down to steps of one second


@dataclass(frozen=True, slots=True)
class Shown:
    """Two or more consecutive codes that a token showed, the first of them at the true time `at_s` (Unix seconds)."""

    codes: tuple[str, ...] = field(repr=False)
    at_s: int

    def __post_init__(self) -> None:
        """Raises InputError, without a code in its text."""
        if len(self.codes) < 2:
            raise InputError(
                "one code fits some step by chance", hint="give two or three codes that the token showed in a row"
            )
        if len({len(code) for code in self.codes}) != 1 or not 6 <= len(self.codes[0]) <= 8:
            raise InputError("the codes have not all the same 6 to 8 digits")
        if not all(code.isascii() and code.isdigit() for code in self.codes):
            raise InputError("a code has digits only")
        if not 0 <= self.at_s < END_S:
            raise InputError("the codes are not of the years 1970 to 2106")

    @property
    def digits(self) -> int:
        return len(self.codes[0])

    def odds(self, hypotheses: int) -> Fraction:
        """How many of so many hypotheses fit all codes by chance, on average."""
        return Fraction(hypotheses, 10 ** (self.digits * len(self.codes)))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A clock that would have shown the codes.

    unix_s      what it showed when the first code appeared, rounded down to its step: up to a step more
    offset_s    device minus true then, likewise
    place       where it was found, and why it may be there
    odds        how many clocks that were tried so far would show these codes by chance, on average
    """

    unix_s: int
    offset_s: int
    place: Place
    odds: Fraction


def scan_plainly(secret: Secret, parameters: OtpParameters) -> Scan:
    """RFC 4226 section 5.3 with the two halves of the key hashed once (RFC 2104 section 4)."""
    inner, outer = _keyed(secret, parameters)
    pack = struct.Struct(">Q").pack

    def scan(code: str, steps: range) -> list[int]:
        wanted, modulus = int(code), 10 ** len(code)
        found = []
        for step in steps:
            half = inner.copy()
            half.update(pack(step))
            whole = outer.copy()
            whole.update(half.digest())
            digest = whole.digest()
            at = digest[-1] & 15
            if (int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF) % modulus == wanted:
                found.append(step)
        return found

    return scan


def search(
    shown: Shown,
    secret: Secret,
    parameters: OtpParameters,
    places: Sequence[Place],
    *,
    scanner: Scanner = scan_plainly,
    workers: int = 1,
    progress: Progress | None = None,
) -> Iterator[Candidate]:
    """Look in one place after the other, at every step once. Whoever has found enough stops asking.

    `scanner`: for places of many steps; `workers`: how many threads it may have. Digits are those of the codes.
    """
    plain = scan_plainly(secret, parameters)
    fast = cache(partial(scanner, secret, parameters))  # loaded where it is needed
    pieces = _unseen(places, parameters)
    total = sum(len(steps) for _, parts in pieces for steps in parts)
    hypotheses = tried = 0
    for place, parts in pieces:
        hypotheses += sum(map(len, parts))
        sifted = (_sift(fast() if len(steps) > _FEW else plain, shown.codes[0], steps, workers) for steps in parts)
        for chunk, fitting in chain.from_iterable(sifted):
            tried += len(chunk)
            if progress is not None:
                progress(tried, total)
            for step in fitting:
                if follows(plain, shown, step):
                    unix_s = parameters.step_start(step)
                    yield Candidate(unix_s, unix_s - shown.at_s, place, shown.odds(hypotheses))


def follows(scan: Scan, shown: Shown, step: int) -> bool:
    """Whether the codes after the first are those of the steps after `step`."""
    return all(scan(code, range(step + n, step + n + 1)) for n, code in enumerate(shown.codes[1:], 1))


def _keyed(secret: Secret, parameters: OtpParameters) -> tuple[Any, Any]:
    """The two hashes of HMAC, the key already in them."""
    name = parameters.algorithm.value.lower()
    inner, outer = (hashlib.new(name, block) for block in key_blocks(secret, parameters.algorithm))
    return inner, outer


def _unseen(places: Sequence[Place], parameters: OtpParameters) -> list[tuple[Place, list[range]]]:
    """Of every place, the steps that no earlier one has."""
    seen: list[range] = []  # ascending, apart from each other
    pieces = []
    for place in places:
        start = max(parameters.step_at(place.begin_s), 0)
        stop = min(parameters.step_at(place.end_s - 1) + 1, STEPS)
        parts = []
        for other in seen:
            if start < other.start < stop:
                parts.append(range(start, other.start))
            if other.start < stop:
                start = max(start, other.stop)
        if start < stop:
            parts.append(range(start, stop))
        seen = sorted(seen + parts, key=lambda steps: steps.start)
        pieces.append((place, parts))
    return pieces


def _sift(scan: Scan, code: str, steps: range, workers: int) -> Iterator[tuple[range, list[int]]]:
    """Scan chunk after chunk, in as many threads as there are, never far ahead of who asks: he may stop."""
    running: deque[tuple[range, Future[list[int]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(steps), _CHUNK):
            chunk = steps[start : start + _CHUNK]
            running.append((chunk, pool.submit(scan, code, chunk)))
            if len(running) > workers:
                first, future = running.popleft()
                yield first, future.result()
        for first, future in running:
            yield first, future.result()
