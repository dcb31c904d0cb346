"""A token's life on the guest's USB: the demo, and removals at the worst moments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cli.demo_acts import acts_of
from tests.kernel.guest.stage import GuestStage

pytestmark = pytest.mark.kernel


@pytest.fixture
def stage(over: str, tmp_path: Path) -> Iterator[GuestStage]:
    with GuestStage(tmp_path, over) as stage:
        yield stage


@pytest.mark.parametrize("over", ["serial", "usb"])
def test_the_whole_demo(stage: GuestStage, over: str) -> None:
    seen = [step.run(stage) for _, steps in acts_of(stage.cast) for step in steps]
    assert all(seen)
    assert stage.address.startswith(f"{over}:")


@pytest.mark.parametrize(("over", "instruction"), [("serial", "PUT"), ("usb", "SET TIME")])
def test_pulled_out_in_the_middle_of_programming(stage: GuestStage, instruction: str) -> None:
    """The command has been carried out, its answer is lost with the device."""
    (_, arrival), *_ = acts_of(stage.cast)
    for step in arrival[:3]:
        step.run(stage)
    stage.sim("cable", "unplug", "--after", instruction, "--before-reply")
    broken = stage.program()
    assert broken.exit_code == 3, broken
    stage.address = stage.sim("cable", "plug")["address"]
    resumed = stage.program()
    assert resumed.exit_code == 0, resumed
    assert resumed.last["state"] == "DONE"
