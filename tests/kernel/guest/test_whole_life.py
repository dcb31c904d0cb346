"""A token's life on the guest's USB: the demo, and removals at the worst moments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provision.cli.demo_acts import ACTS
from tests.kernel.guest.stage import GuestStage

pytestmark = [pytest.mark.kernel, pytest.mark.parametrize("over", ["serial", "usb"])]


@pytest.fixture
def stage(over: str, tmp_path: Path) -> Iterator[GuestStage]:
    with GuestStage(tmp_path, over) as stage:
        yield stage


def test_the_whole_demo(stage: GuestStage, over: str) -> None:
    seen = [step.run(stage) for _, steps in ACTS for step in steps]
    assert all(seen)
    assert stage.address.startswith(f"{over}:")


@pytest.mark.parametrize("instruction", ["PUT", "SET TIME"])
def test_pulled_out_in_the_middle_of_programming(stage: GuestStage, instruction: str) -> None:
    """The command has been carried out, its answer is lost with the device."""
    for step in ACTS[0][1][:3]:
        step.run(stage)
    stage.sim("cable", "unplug", "--after", instruction, "--before-reply")
    broken = stage.program()
    assert broken.exit_code == 3, broken
    stage.address = stage.sim("cable", "plug")["address"]
    assert stage.program().last["state"] == "DONE"
