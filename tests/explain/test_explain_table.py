"""Every trouble is named rightly or not at all: the table of docs/EXPLAIN.md.

python -m tests.explain.test_explain_table   writes it anew: a quarter of an hour
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

import pytest

from provision.drift import seed_mistakes
from provision.model import Algorithm, OtpParameters, Secret
from provision.servers.roles import Role
from provision.servers.service import permissions
from provision.station.explain import advice
from provision.station.explain.case import Explanation
from provision.station.explain.judge import UNDECIDED
from tests.explain.office import Office
from tests.explain.troubles import TROUBLES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "EXPLAIN.md"
HEAD = "| what happened | `cause` | named |\n|---|---|---|\n"
TIMES = 20  # that each trouble is made to happen for the table
FEW = range(1)  # of those, for whoever waits


def explained(what: str, seed: int, *, watches: bool = True, has_a_clock: bool = True) -> Explanation:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        office = Office.open(Path(folder) / "server.db", seed, watches=watches, has_a_clock=has_a_clock)
        try:
            return TROUBLES[what][0](office)
        finally:
            office.server.close()


def require_right_or_undecided(what: str, found: Explanation) -> None:
    assert found.cause in (TROUBLES[what][1], UNDECIDED), found.what
    assert found.now
    assert found.for_good
    if found.cause in ("algorithm", "time-step", "time-step-and-algorithm", "digits"):
        assert found.for_good.startswith("register the token anew, with the ")  # nothing is wrong with its seed file
    if found.cause == UNDECIDED:
        assert found.unknown, "what would decide it"


@pytest.mark.parametrize("what", TROUBLES)
def test_it_is_named_rightly_or_not_at_all(what: str) -> None:
    found = [explained(what, seed) for seed in FEW]
    for one in found:
        require_right_or_undecided(what, one)
    written = re.search(
        rf"^\| {re.escape(what)} \| (.*) \| (\d+) of {TIMES} \|$", PAGE.read_text("utf-8"), re.MULTILINE
    )
    assert written is not None, "the table has no such row"
    cause, named = written.groups()
    names = [one.cause for one in found if one.cause != UNDECIDED]
    assert set(names) <= {cause.strip("`")}
    assert len(names) <= int(named) <= TIMES - len(found) + len(names)


@pytest.mark.parametrize("cause", sorted(advice.CAUSES))
def test_what_a_desk_may_not_do_is_said_to_be_somebody_elses(cause: str) -> None:
    may = {"enable": permissions.ENABLE, "prove": permissions.PROVE, "fallback": permissions.SET_FALLBACK}
    for text in advice._ADVICE[cause]:
        for command in re.findall(r"`provision server (\w+)", text):
            assert Role.DESK in may[command].scopes or re.search("administrator|the person", text)


def test_every_name_has_a_trouble() -> None:
    known = advice.CLOCK_CAUSES | advice.CAUSES - {UNDECIDED}
    seeds = bytes(range(1, 21)), bytes(range(20)).hex().encode()
    for seed, algorithm in product(seeds, (Algorithm.SHA1, Algorithm.SHA256)):
        parameters = OtpParameters(algorithm=algorithm)
        for digits in (6, 8):
            found = seed_mistakes.hypotheses(
                Secret(seed), parameters, digits=digits, neighbours={"another": Secret(b"x" * 20)}
            )
            known |= {one.name for one in found}
    assert known <= {name for _, name in TROUBLES.values() if name is not None}


def test_nine_of_ten_are_named() -> None:
    rows = re.findall(
        rf"^\| ([^|]+) \| .* \| (\d+) of {TIMES} \|$", PAGE.read_text("utf-8").partition(HEAD)[2], re.MULTILINE
    )
    assert [what for what, _ in rows] == list(TROUBLES)
    assert 10 * sum(int(named) for _, named in rows) >= 9 * TIMES * len(rows)


def row(what: str, causes: list[str]) -> str:
    """Raises ValueError for a wrong one: such a table is not to be written."""
    named = Counter(cause for cause in causes if cause != UNDECIDED)
    if not set(named) <= {TROUBLES[what][1]}:
        raise ValueError(f"{what}: {named}")
    cause = next(iter(named), UNDECIDED)
    return f"| {what} | `{cause}` | {named.total()} of {TIMES} |\n"


def _causes(what: str) -> list[str]:
    return [explained(what, seed).cause for seed in range(TIMES)]


if __name__ == "__main__":
    head, _, _ = PAGE.read_text("utf-8").partition(HEAD)
    with ProcessPoolExecutor() as pool:
        rows = list(map(row, TROUBLES, pool.map(_causes, TROUBLES)))
    PAGE.write_text(head + HEAD + "".join(rows), "utf-8")
