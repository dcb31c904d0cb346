"""The life of a job in the ledger: one literal table of what may follow what, and the order for a token's family.

A state is written when its step is done, so after a crash the ledger stands at most one step behind the token and
the server, which are asked for the truth.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence

from provision.model import Capability, ClockKind, TokenInfo


@enum.unique
class State(enum.Enum):
    PLANNED = "PLANNED"  # what is to be written, for whom, is on record; nothing else happened
    SEALED = "SEALED"  # the seed is durable, sealed
    KEYS_CHANGED = "KEYS_CHANGED"  # the token obeys the organisation's keys
    WRITTEN = "WRITTEN"  # the seed is on the token
    TIME_SET = "TIME_SET"  # the token's clock is right
    VERIFIED = "VERIFIED"  # a code of the token equals the one computed here
    REGISTERED = "REGISTERED"  # the server knows the device
    SERVER_VERIFIED = "SERVER_VERIFIED"  # the server accepted a code of the token
    DONE = "DONE"  # handed out; the sealed seed is destroyed unless escrow keeps it
    QUARANTINED = "QUARANTINED"  # the token holds what it should not, see the job's cause
    RETIRING = "RETIRING"  # being taken back
    RETIRED = "RETIRED"


_ANY_TIME = frozenset({State.QUARANTINED, State.RETIRING})

# WRITTEN and TIME_SET follow each other in the order that the family wants, and either may be missing.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.SEALED}) | _ANY_TIME,
    State.SEALED: frozenset({State.KEYS_CHANGED, State.WRITTEN, State.TIME_SET}) | _ANY_TIME,
    State.KEYS_CHANGED: frozenset({State.WRITTEN, State.TIME_SET}) | _ANY_TIME,
    State.WRITTEN: frozenset({State.TIME_SET, State.VERIFIED}) | _ANY_TIME,
    State.TIME_SET: frozenset({State.WRITTEN, State.VERIFIED}) | _ANY_TIME,
    State.VERIFIED: frozenset({State.REGISTERED}) | _ANY_TIME,
    State.REGISTERED: frozenset({State.SERVER_VERIFIED}) | _ANY_TIME,
    State.SERVER_VERIFIED: frozenset({State.DONE, State.RETIRING}),
    State.DONE: frozenset({State.RETIRING}),
    State.QUARANTINED: frozenset({State.RETIRING}),
    State.RETIRING: frozenset({State.RETIRED}),
    State.RETIRED: frozenset(),
}

_CLOCK_AND_SEED: dict[ClockKind, tuple[State, ...]] = {
    ClockKind.FREE: (State.WRITTEN, State.TIME_SET),
    ClockKind.WITH_SEED: (State.TIME_SET, State.WRITTEN),  # setting the clock later would erase the seed
    ClockKind.NONE: (State.WRITTEN,),
}


def steps_for(info: TokenInfo) -> Sequence[State]:
    """The states that programming this token passes, first to last."""
    keys = (State.KEYS_CHANGED,) if Capability.ADMIN_KEY in info.capabilities else ()
    return (
        State.PLANNED,
        State.SEALED,
        *keys,
        *_CLOCK_AND_SEED[info.clock_kind],
        State.VERIFIED,
        State.REGISTERED,
        State.SERVER_VERIFIED,
        State.DONE,
    )
