"""`rotate` on the reference token."""

from __future__ import annotations

import pytest

from provision.errors import PinIncorrect
from provision.model import Secret
from provision.station.states import State


def test_a_wrong_pin_is_found_out_before_the_old_seed_is_gone(world):
    world.run()
    world.clock.advance(86400)
    world.ask_pin = lambda: Secret(b"999999")
    with pytest.raises(PinIncorrect) as caught:
        world.rotate()
    assert caught.value.attempts_remaining == 7
    assert world.entry().state is State.DONE
    assert world.login(world.code()).drift_steps == 0


def test_a_rotation_asks_for_the_pin_once(world):
    world.run()
    world.clock.advance(86400)
    asked = world.pins_asked
    world.rotate()
    assert world.pins_asked == asked + 1


def test_the_reference_token_rotates_too(world):
    world.run()
    first = world.code()
    world.clock.advance(86400)
    assert world.rotate().entry.state is State.DONE
    world.clock.advance(31)
    assert world.login(world.code()).drift_steps == 0
    assert first
