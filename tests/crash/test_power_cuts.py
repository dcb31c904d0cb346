"""Power fails before, inside (any subset of the bits) and after every storage operation of a token's programming.

The whole campaign runs in `make test-crash`; a seeded sample of it in `make test`. Three planted faults show that the
campaign would see them.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_sim.core.layout import Key
from firmware_sim.core.machine import Event, check
from firmware_sim.core.pin import Pin
from firmware_sim.core.refusal import Refused
from firmware_sim.flash import Moment, PowerCut, seeded_subset
from firmware_sim.journal import Store
from provision.errors import ProvisionError
from provision.model import Algorithm
from provision.seeds.generate import generate
from provision.station import program as programming
from provision.station.states import State
from provision.wire.apdu import Sw
from tests.crash.world import BrokenInvariant, World, charged_before_compared

SUBSETS = 8
# How full the first flash bank is when the story begins: empty, half, and so that its commits in turn meet the bank's
# end and the compaction that follows.
PREFILLS = (0, 375, *range(766, 780))
SEED = 20260101


def operations_of(folder: Path, prefill: int) -> range:
    """The numbers of the storage operations of one undisturbed story."""
    world = World(folder, SEED, prefill)
    first = world.supply.operations
    with charged_before_compared(world):
        outcome = world.story()
        last = world.supply.operations
        world.require_convergence(outcome)
    world.close()
    return range(first, last)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory where the system has such a place: thousands of worlds sync their files hundreds of times."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as place:
        yield Path(place)


def cuts_at(operation: int) -> Iterator[PowerCut]:
    yield PowerCut(operation, Moment.BEFORE)
    yield PowerCut(operation, Moment.AFTER)
    for subset in range(SUBSETS):
        yield PowerCut(operation, Moment.INSIDE, seeded_subset(operation * 1000 + subset))


def survive(folder: Path, prefill: int, cut: PowerCut) -> None:
    """One cut in a fresh world. Raises BrokenInvariant, or what kept the programming from its end."""
    world = World(folder, SEED, prefill)
    try:
        with charged_before_compared(world):
            assert world.survive(cut), f"the cut at operation {cut.operation} never came"
    finally:
        world.close()


@pytest.mark.crash
@pytest.mark.parametrize("prefill", PREFILLS)
def test_every_cut(prefill: int, folder: Path, record_property: Callable[[str, object], None]) -> None:
    operations = operations_of(folder / "undisturbed", prefill)
    survived = 0
    for operation in operations:
        for number, cut in enumerate(cuts_at(operation)):
            survive(folder / f"{operation}-{number}", prefill, cut)
            survived += 1
    record_property("power_cuts", survived)
    assert survived == len(operations) * (2 + SUBSETS) > 0


def test_compaction_is_among_the_operations(folder: Path) -> None:
    assert any(len(operations_of(folder / str(p), p)) > len(operations_of(folder / f"{p}-0", 0)) + 5 for p in PREFILLS)


def test_a_sample_of_the_cuts(folder: Path) -> None:
    rng = random.Random(SEED)
    for prefill in rng.sample(PREFILLS, 3):
        operations = operations_of(folder / f"{prefill}", prefill)
        for number in range(20):
            operation = rng.choice(operations)
            survive(folder / f"{prefill}-{number}", prefill, rng.choice(list(cuts_at(operation))))


# Planted faults. Each is what a tired engineer might write, and each must be seen by the campaign.


def compare_before_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare_first(self: Pin, pin: bytes) -> None:
        left = self._remaining() - 1
        check(self.state, Event.CHARGE_LAST if left == 0 else Event.CHARGE)
        from firmware_sim.core import pin as module

        verifier = self._store.get(Key.PIN_VERIFIER) or b""
        if not module.hmac.compare_digest(verifier, self._stretch(pin, verifier[:16])):
            self._store.commit({Key.PIN_ATTEMPTS: bytes((left,))})
            raise Refused(Sw.PIN_INCORRECT | left)

    monkeypatch.setattr(Pin, "_compare", compare_first)


def write_before_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_then_seal(run: programming._Run) -> programming._Acted:
        seed = run._seed = generate(Algorithm.SHA1, run._randbytes)
        run._token.take_over_keys()
        run._token.write(seed)
        return "sealed too late", {"sealed": run._ledger.seal(run.entry, seed, run._randbytes)}

    monkeypatch.setitem(programming._ACTIONS, State.SEALED, write_then_seal)


def commit_key_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    true_commit = Store.commit

    def commit(self: Store, changes: dict[int, bytes | None], *, scrub: bool = False) -> None:
        for key, value in changes.items():
            true_commit(self, {key: value}, scrub=scrub)

    monkeypatch.setattr(Store, "commit", commit)


@pytest.mark.parametrize("plant", [compare_before_charge, write_before_seal, commit_key_by_key])
def test_a_planted_fault_is_seen(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    operations = operations_of(folder / "undisturbed", 0)
    plant(monkeypatch)
    with pytest.raises((BrokenInvariant, ProvisionError)):
        sweep(folder, operations)


def sweep(folder: Path, operations: range) -> None:
    for operation in operations:
        for number, cut in enumerate(cuts_at(operation)):
            survive(folder / f"{operation}-{number}", 0, cut)
