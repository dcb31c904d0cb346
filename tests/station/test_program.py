"""`program` over a simulated token and an embedded server: what it does when nothing goes wrong, and what it refuses."""

from __future__ import annotations

import pytest

from provision.station.program import Phase
from provision.station.states import State


def test_a_token_out_of_its_box_becomes_a_second_factor(world):
    seen = []
    outcome = world.run(observer=lambda step, phase, note: seen.append((step, phase, note)))
    print(*seen, sep="\n")
    assert [step for step, phase, _ in seen if phase is Phase.AFTER] == [
        State.PLANNED,
        State.SEALED,
        State.KEYS_CHANGED,
        State.WRITTEN,
        State.TIME_SET,
        State.VERIFIED,
        State.REGISTERED,
        State.SERVER_VERIFIED,
        State.DONE,
    ]
    assert outcome.entry.state is State.DONE
    assert not outcome.already_done
    assert world.pins_asked == 1
    assert world.passphrases_asked == 0
    [device] = world.devices()
    assert (device.user, device.name, device.serial, device.device_id) == (
        "alice",
        "desk token",
        "HT000001",
        outcome.entry.device_id,
    )
    world.clock.advance(30)
    assert world.login(world.code()).device_id == device.device_id
