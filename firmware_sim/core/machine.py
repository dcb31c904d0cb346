"""What the token can be, and what may happen to it: one table. A missing key is the refusal.

Three things change independently: power, the lifecycle of the chip and its keys, and the PIN. The PIN's state is a
function of what the flash holds at every instant (attempts left: SET, none left: BLOCKED), so a power cut needs no
row of its own.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from firmware_sim.core.refusal import Refused
from provision.wire.apdu import Sw


@enum.unique
class Power(enum.Enum):
    OFF = "off"
    ON = "on"


@enum.unique
class Lifecycle(enum.Enum):
    BLANK = "blank"  # an erased chip that has never had power
    FACTORY = "factory"  # the published keys: anybody can administer it
    OWNED = "owned"  # keys of its administrator


@enum.unique
class PinState(enum.Enum):
    UNSET = "unset"
    SET = "set"
    BLOCKED = "blocked"


@enum.unique
class Event(enum.Enum):
    POWER_ON = "power on"
    POWER_OFF = "power off"
    MANUFACTURE = "manufacture"  # the first power-up gives the chip its device id
    PUT_KEY = "put key"
    FACTORY_RESET = "factory reset"
    SET_PIN = "set PIN"
    CHARGE = "charge"  # an attempt, stored before the comparison
    CHARGE_LAST = "charge the last"
    MATCH = "match"  # the comparison after a charge found the PIN right
    RESTORE = "restore"  # the administrator gives the attempts back
    REPLACE_PIN = "replace PIN"  # the administrator sets another PIN, or the first


State = Power | Lifecycle | PinState

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    Power.OFF: {Event.POWER_ON: Power.ON},
    Power.ON: {Event.POWER_OFF: Power.OFF},
    Lifecycle.BLANK: {Event.MANUFACTURE: Lifecycle.FACTORY},
    Lifecycle.FACTORY: {Event.PUT_KEY: Lifecycle.OWNED, Event.FACTORY_RESET: Lifecycle.FACTORY},
    Lifecycle.OWNED: {Event.PUT_KEY: Lifecycle.OWNED, Event.FACTORY_RESET: Lifecycle.FACTORY},
    PinState.UNSET: {
        Event.SET_PIN: PinState.SET,
        Event.REPLACE_PIN: PinState.SET,
        Event.FACTORY_RESET: PinState.UNSET,
    },
    PinState.SET: {
        Event.CHARGE: PinState.SET,
        Event.CHARGE_LAST: PinState.BLOCKED,
        Event.MATCH: PinState.SET,
        Event.RESTORE: PinState.SET,
        Event.REPLACE_PIN: PinState.SET,
        Event.FACTORY_RESET: PinState.UNSET,
    },
    PinState.BLOCKED: {
        Event.MATCH: PinState.SET,  # only after CHARGE_LAST in the same command: nothing else charges a blocked PIN
        Event.RESTORE: PinState.SET,
        Event.REPLACE_PIN: PinState.SET,
        Event.FACTORY_RESET: PinState.UNSET,
    },
}

_STATUS: Mapping[tuple[State, Event], int] = {(PinState.BLOCKED, Event.CHARGE): Sw.AUTHENTICATION_BLOCKED}


def check(state: State, event: Event) -> None:
    """Raises Refused if the table has no such transition: 6985, or the word that says it better."""
    if event not in TRANSITIONS[state]:
        raise Refused(_STATUS.get((state, event), Sw.CONDITIONS_NOT_SATISFIED))
