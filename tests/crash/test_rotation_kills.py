"""SIGKILL of the tool and of the simulator while a token gets a new seed: rotated again, everything converges.

Of a token whose seed dies when its clock is set, and of the reference token. tests/station goes through every instant
in one process; here the processes, files and locks are real, and the instants fewer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.station.program import Phase
from provision.station.retire import RetireStep
from provision.station.states import State
from tests.crash.scene import DIES_WITH_ITS_TIME, REFERENCE, Cast, Kill, Scene

SEED = 20261124
CASTS = (REFERENCE, DIES_WITH_ITS_TIME)
# A job that follows another is PLANNED in the transaction that retires that one: nobody can die there.
STATES = (
    State.SEALED,
    State.WRITTEN,
    State.TIME_SET,
    State.VERIFIED,
    State.REGISTERED,
    State.SERVER_VERIFIED,
    State.DONE,
)
CLOSING = (RetireStep.RETIRING, RetireStep.SERVER_CLOSED, RetireStep.TOKEN_CLOSED)
INSTANTS = [(step.value, Phase.AFTER.value) for step in CLOSING]
INSTANTS += [(step.value, Phase.ACTED.value) for step in STATES]  # it is done, and nobody has written that down
KINDS = [Kill(*instant, victim) for victim in ("tool", "simulator") for instant in INSTANTS]


RUNS = len(CASTS) * len(KINDS)


def kills_of(run: int) -> list[Kill]:
    """One or two murders: the first of each kind in turn, the other drawn from the run's seed."""
    rng = random.Random(SEED + run)
    return [KINDS[run % len(KINDS)], *rng.choices(KINDS, k=rng.randrange(2))]


def converges(folder: Path, cast: Cast, kills: list[Kill]) -> None:
    scene = Scene(folder, cast)
    try:
        scene.prepare()
        scene.must(*scene.program)
        scene.world("advance", seconds=86400)
        for kill in kills:
            scene.require_simulator()
            code, result = scene.provision(*scene.rotate, kill=kill)
            # -9: the tool died; 3: it lost the token; 9: whoever should read a code found the screen dark and went
            # away; 0: the instant had passed already, or the token was not needed any more.
            assert code in (-9, 3, 9, 0), (kill, result, scene.log)
            assert kill is not kills[0] or kill.victim == "simulator" or code == -9, "nobody died"
        scene.require_simulator()
        if scene.states()[-1] != "DONE":
            scene.must(*scene.rotate)
        # A rotation that came through before the second murder was followed by another one.
        *earlier, last = scene.states()
        assert last == "DONE" and earlier in (["RETIRED"], ["RETIRED"] * 2), scene.log
        scene.require_working()
    finally:
        scene.close()


@pytest.mark.crash
@pytest.mark.parametrize("run", range(RUNS))
def test_killed_while_it_rotates_it_converges(
    run: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    cast, kills = CASTS[run // len(KINDS)], kills_of(run)
    print(f"\nrun {run}, seed {SEED + run}: {kills} with {cast.options}")
    record_property("rotation_kill_seed", SEED + run)
    converges(tmp_path, cast, kills)


@pytest.mark.parametrize("victim", ["tool", "simulator"])
def test_a_sample_of_the_rotations(victim: str, tmp_path: Path) -> None:
    """The old seed has died with the time, and the new one is not written yet."""
    converges(tmp_path, DIES_WITH_ITS_TIME, [Kill("TIME_SET", "acted", victim)])
