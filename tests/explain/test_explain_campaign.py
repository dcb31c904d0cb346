"""No trouble is ever named wrongly: with other tokens, people and moments than those that the rules were made with."""

from __future__ import annotations

from itertools import product

import pytest

from tests.explain.test_explain_table import explained, require_right_or_undecided
from tests.explain.troubles import TROUBLES

SEEDS = range(1000, 1004)


@pytest.mark.explain
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("what", TROUBLES)
@pytest.mark.parametrize(("watches", "has_a_clock"), list(product((True, False), repeat=2)))
def test_it_is_never_named_wrongly(what: str, seed: int, watches: bool, has_a_clock: bool) -> None:
    """Whether or not somebody watches the code change, and the desk has a clock beside the server's."""
    require_right_or_undecided(what, explained(what, seed, watches=watches, has_a_clock=has_a_clock))
