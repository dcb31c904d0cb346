"""What distinguishes one family of tokens from another, as data."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firmware_sim.core.chip import Board, Chip

CDC_ACM, CCID = "cdc-acm", "ccid"  # what a token can be on USB: a serial line, a reader with its card


@dataclass(frozen=True, slots=True)
class Limits:
    """`touch_timeout_s`, `screen_s`: seconds of true time. `max_apdu`: bytes of a command or a response, at most.
    `pin_attempts`: at a PIN, or at the key that stands in its place; 0: they are not counted, or there is no such
    thing. `pin_iterations`: PBKDF2's, 0 where no PIN is kept."""

    credentials: int
    touch_timeout_s: int
    screen_s: int
    max_apdu: int
    pin_attempts: int = 0
    pin_iterations: int = 0


@dataclass(frozen=True, slots=True)
class FlashGeometry:
    """`page_size`: bytes."""

    page_size: int
    page_count: int


@dataclass(frozen=True, slots=True)
class Family:
    """One family. The USB fields are spelled as in the device descriptor of USB 2.0 section 9.6.1.

    `iManufacturer`, `iProduct`: the strings themselves. `functions`: what it is on USB, in the order of its interfaces;
    a family without CDC_ACM has no serial line. `instructions`: the names that its documents give its commands.
    `atr`: ISO/IEC 7816-3, what a reader shows. `chip`: makes the chip of a token that has just been powered.
    `quirks`: names of known deviations that drivers must mind. `serial_prefix`: how a new token's serial begins, digits
    follow. `told_serial`: what a token of that serial tells for it, where it cannot tell every serial; of what it
    returns, the same again.
    """

    name: str
    model: str
    firmware: tuple[int, int, int]
    idVendor: int
    idProduct: int
    iManufacturer: str
    iProduct: str
    atr: bytes
    limits: Limits
    flash: FlashGeometry
    functions: tuple[str, ...]
    instructions: tuple[type[enum.IntEnum], ...]
    chip: Callable[[Board], Chip]
    quirks: frozenset[str] = field(default_factory=frozenset)
    serial_prefix: str = "SIM"
    told_serial: Callable[[str], str] = str

    @property
    def firmware_text(self) -> str:
        """As in `5.7.4`."""
        return ".".join(map(str, self.firmware))
