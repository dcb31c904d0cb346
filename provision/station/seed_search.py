"""Where a person's codes fit beyond a day from now, or with which other seed: looked for beside the seeds.

A SeedSearch (provision/servers/backend.py): the desk hands it to a server in a file; a server over HTTP runs its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from provision.drift import places, search, seed_mistakes
from provision.drift.search import Shown
from provision.servers.backend import Fit, Fits, SeedSide

_WIDEST_S = 5 * 365 * 86_400  # what takes longer to search is no question for a server at work, nor for a telephone


def find(side: SeedSide, codes: Sequence[str], first_s: int) -> Fits:
    """Seeds first, since those are certain. Raises InputError for codes or a time that nobody can have."""
    shown = Shown(tuple(codes), first_s)
    more = len(codes) - 1
    hypotheses = seed_mistakes.hypotheses(side.secret, side.parameters, digits=shown.digits, neighbours=side.others)
    seeds = [
        Fit(
            one.hypothesis.name,
            one.hypothesis.what,
            one.hypothesis.parameters.step_at(one.unix_s) + more,
            one.offset_s,
            one.odds,
        )
        for one in seed_mistakes.find(shown, hypotheses)
    ]
    if seeds or shown.digits != side.parameters.digits:
        return Fits(None, seeds)
    likely = places.likely(shown.at_s, int(side.registered_s))
    narrow = [place for place in likely if place.end_s - place.begin_s < _WIDEST_S]
    found = next(search.search(shown, side.secret, side.parameters, narrow), None)
    if found is None:
        return Fits(None, seeds)
    step = side.parameters.step_at(found.unix_s) + more
    return Fits(Fit(found.place.reason, found.place.what, step, found.offset_s, found.odds), seeds)
