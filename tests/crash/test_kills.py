"""SIGKILL of the tool and of the simulator at every state of the ledger: run again, everything converges."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from provision.station.program import Phase
from provision.station.states import State
from tests.crash.scene import Kill, Scene

SEED = 20260102
STATES = (
    State.PLANNED,
    State.SEALED,
    State.KEYS_CHANGED,
    State.WRITTEN,
    State.TIME_SET,
    State.VERIFIED,
    State.REGISTERED,
    State.SERVER_VERIFIED,
    State.DONE,
)
KINDS = [Kill(step.value, when.value, who) for who in ("tool", "simulator") for step in STATES for when in Phase]
RUNS = 200  # each kind three times, and some more


def kills_of(run: int) -> list[Kill]:
    """One to three murders: the first of each kind in turn, the others drawn from the run's seed."""
    rng = random.Random(SEED + run)
    return [KINDS[run % len(KINDS)], *rng.choices(KINDS, k=rng.randrange(3))]


def converges(folder: Path, run: int) -> None:
    scene = Scene(folder)
    try:
        scene.prepare()
        for kill in kills_of(run):
            scene.require_simulator()
            code, result = scene.provision(*scene.program, kill=kill)
            # -9: the tool died; 3: it lost the token; 0: the instant had passed already, or the token was not needed.
            assert code in (-9, 3, 0), (kill, result, scene.log)
        scene.require_simulator()
        assert scene.must(*scene.program)["state"] == "DONE", scene.log
        assert scene.states() == ["DONE"], scene.log
        scene.require_working()
    finally:
        scene.close()


@pytest.mark.crash
@pytest.mark.parametrize("run", range(RUNS))
def test_killed_anywhere_it_converges(run: int, tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    print(f"\nrun {run}, seed {SEED + run}: {kills_of(run)}")
    record_property("kill_seed", SEED + run)
    converges(tmp_path, run)


@pytest.mark.parametrize("run", [10, 37])
def test_a_sample_of_the_kills(run: int, tmp_path: Path) -> None:
    """One death of the tool and one of the simulator, both in the middle of writing the seed."""
    assert kills_of(run)[0].step == "WRITTEN"
    converges(tmp_path, run)
