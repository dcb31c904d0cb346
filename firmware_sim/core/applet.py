"""What an applet is to the channel that selects it: an AID, an answer to SELECT, and a table of instructions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

from firmware_sim.core.refusal import Refused
from provision.wire.apdu import Command, Sw


class Caller(Protocol):
    """The channel that a command came by, as far as an applet needs to know it."""

    pin_verified: bool

    @property
    def touched(self) -> bool:
        """Whether the button was pressed for this very command."""


Run = Callable[[Caller, Command], bytes]
"""Carry the command out and return the reply's data. Raises Refused, TouchNeeded, WireError (6A80), FlashError."""


class Instruction(NamedTuple):
    """`secure`: only inside a secure channel. `p1_p2`: the allowed pairs; empty: the instruction looks itself."""

    run: Run
    secure: bool = False
    p1_p2: Collection[tuple[int, int]] = ((0, 0),)


class Applet(Protocol):
    @property
    def aid(self) -> bytes: ...

    @property
    def instructions(self) -> Mapping[int, Instruction]: ...

    def select(self) -> bytes:
        """The data of SELECT's reply."""


def no_data(command: Command) -> None:
    """Raises Refused (6700) if there is data where none belongs."""
    if command.data:
        raise Refused(Sw.WRONG_LENGTH)
