"""What exists while a token has power, and goes with it: the seam between a token and its family.

A token (token.py) has power, channels and a person; its family's chip is made at every power-up, reads what it needs
out of the flash, and holds one dialogue for each channel.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from firmware_sim.core.layout import Key
from firmware_sim.core.machine import Event, Lifecycle, check
from firmware_sim.core.refusal import Refused
from firmware_sim.core.view import View
from firmware_sim.journal import Store
from firmware_sim.seams import Battery, Clock, Flash, Oscillator, OscillatorError, Random
from provision.wire.apdu import Sw

if TYPE_CHECKING:
    from firmware_sim.core.family import Family

DEVICE_ID_SIZE = 8
_BOOT_ID_SIZE = 8


@dataclass(frozen=True, slots=True)
class Board:
    """What a chip is soldered to."""

    family: Family
    serial: str
    flash: Flash
    oscillator: Oscillator
    clock: Clock
    random: Random


class Waiting(NamedTuple):
    """A command that is in order, and waits for the button.

    `name`: what for, as the screen has it. `resume`: carries it out once the button is pressed; the response APDU, or
    what it waits for next. Raises PowerLost. `untouched`: the status word if it is not pressed in time.
    """

    name: str
    resume: Callable[[], bytes | Waiting]
    untouched: int = Sw.CONDITIONS_NOT_SATISFIED


class Dialogue(Protocol):
    """What one channel has said, and been told, since it was reset. Gone when it is reset again."""

    def answer(self, apdu: bytes) -> bytes | Waiting:
        """Carry out a command APDU of at most `Limits.max_apdu` bytes.

        Raises Refused (its status word is the response), WireError (6700), PowerLost.
        """


class Panel(Protocol):
    """The person's side of a token: what it has of keys, button and screen."""

    @property
    def screen(self) -> str:
        """One line; empty if there is no screen. A code is the last word of its line."""

    def press(self) -> None:
        """The button, while no command waits for it. Raises PowerLost."""

    def type_pin(self, pin: str) -> None:
        """Digits and enter. Raises PowerLost."""


class Chip(ABC):
    """Mounts the flash. Raises FlashError if it cannot be mounted, PowerLost."""

    panel: Panel

    def __init__(self, board: Board) -> None:
        self.family = board.family
        self.serial = board.serial
        self.random = board.random
        self.clock = board.clock
        self.boot_id = board.random.randbytes(_BOOT_ID_SIZE)
        self._flash = board.flash
        self._oscillator = board.oscillator
        self.store = Store.open(board.flash)
        self.device_id = self.store.get(Key.DEVICE_ID) or self._manufacture()

    @abstractmethod
    def dialogue(self, abandon: Callable[[], None]) -> Dialogue:
        """A fresh one. `abandon`: refuses the command of that channel that waits, if one does, as if untouched."""

    @abstractmethod
    def factory_reset(self) -> None:
        """What a button held at power-up does. Raises FlashError, PowerLost."""

    @abstractmethod
    def describe(self, view: View) -> None:
        """Add what there is to know about it, for whoever watches the simulation. Never a secret."""

    @property
    def battery(self) -> Battery:
        return self._oscillator.battery_status(self.clock.now())

    def device_time_us(self) -> int:
        """Microseconds since the Unix epoch by the token's clock. Raises Refused (6985) if it stands still."""
        time = self._oscillator.device_time_us(self.clock.now())
        if time is None:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        return time

    def set_device_time(self, seconds: int) -> None:
        """Raises Refused (6985) if the battery is dead, FlashError: set, but not saved."""
        try:
            self._oscillator.set_device_time(self.clock.now(), seconds)
        except OscillatorError:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED) from None
        self._flash.sync()

    def _manufacture(self) -> bytes:
        check(Lifecycle.BLANK, Event.MANUFACTURE)
        device_id = self.random.randbytes(DEVICE_ID_SIZE)
        self.store.commit({Key.DEVICE_ID: device_id})
        return device_id
