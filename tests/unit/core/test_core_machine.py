"""The transition table is what the token does: walked by hand, and compared with the PIN's own state at each step."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.core.machine import TRANSITIONS, Event, Lifecycle, PinState, Power, State, check
from firmware_sim.core.pin import Pin
from firmware_sim.core.refusal import Refused
from firmware_sim.flash import MemoryFlash
from firmware_sim.journal import Store
from provision.wire.apdu import Sw

RIGHT, WRONG = b"123456", b"999999"


def test_every_state_has_a_row_and_every_event_a_use() -> None:
    assert set(TRANSITIONS) == {*Power, *Lifecycle, *PinState}
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


@pytest.mark.parametrize("state", TRANSITIONS)
def test_a_transition_stays_on_its_own_axis(state: State) -> None:
    assert {type(after) for after in TRANSITIONS[state].values()} == {type(state)}


@pytest.mark.parametrize("state", TRANSITIONS)
@pytest.mark.parametrize("event", Event)
def test_a_missing_key_is_the_refusal(state: State, event: Event) -> None:
    if event in TRANSITIONS[state]:
        check(state, event)
        return
    with pytest.raises(Refused) as caught:
        check(state, event)
    blocked = state is PinState.BLOCKED and event is Event.CHARGE
    assert caught.value.sw == (Sw.AUTHENTICATION_BLOCKED if blocked else Sw.CONDITIONS_NOT_SATISFIED)


@given(st.lists(st.sampled_from(("set", "right", "wrong", "change", "restore", "replace")), max_size=30))
def test_the_pin_goes_where_the_table_says(steps: list[str]) -> None:
    store = Store.open(MemoryFlash())
    pin = Pin(store, random.Random(0), attempts=3, iterations=1)
    current = RIGHT
    for step in steps:
        before, left = pin.state, pin.attempts_remaining or 0
        charge = Event.CHARGE_LAST if left == 1 else Event.CHARGE
        events = {
            "set": [Event.SET_PIN],
            "right": [charge, Event.MATCH],
            "wrong": [charge],
            "change": [charge, Event.MATCH],
            "restore": [Event.RESTORE],
            "replace": [Event.REPLACE_PIN],
        }[step]
        expected: State | None = before
        for event in events:
            expected = TRANSITIONS[expected].get(event) if expected else None
        status = None
        try:
            {
                "set": lambda: pin.set(RIGHT),
                "right": lambda: pin.verify(RIGHT),
                "wrong": lambda: pin.verify(WRONG),
                "change": lambda: pin.change(RIGHT, RIGHT),
                "restore": pin.restore,
                "replace": lambda: pin.replace(current),
            }[step]()
        except Refused as refused:
            status = refused.sw
        if step == "wrong" and expected:
            assert status == Sw.PIN_INCORRECT | (left - 1)
        else:
            assert (status is None) == (expected is not None)
        assert pin.state is (expected or before)
        assert pin.state is Pin(store, random.Random(0), attempts=3, iterations=1).state
