"""The seams of the simulated token: what it needs from the world, each with a second implementation that ships.

True time crosses these seams as Unix seconds UTC (float, so about a quarter of a microsecond fine); the
oscillator turns it into device time in whole microseconds.
"""

from __future__ import annotations

import enum
from typing import Protocol


class Clock(Protocol):
    """True time. `now()`: Unix seconds UTC. The simulator never waits: its links say when to look again."""

    def now(self) -> float: ...


class Oscillator(Protocol):
    """Device time from true time, closed form, so that ten years cost the same as a second."""

    def device_time_us(self, now: float) -> int | None:
        """The token's clock at true time `now`, in microseconds since the Unix epoch; None while it stands still
        with an unknown time (dead battery)."""

    def set_device_time(self, now: float, device_s: int) -> None:
        """From true time `now` on the clock goes on from exactly `device_s` whole seconds (phase zeroed)."""


class FlashError(Exception):
    """The flash refused: a 0 -> 1 write, an address outside, or a page worn out."""


class FlashWornOut(FlashError):
    """A page reached its erase limit."""


class PowerLost(BaseException):
    """The supply failed during a flash operation.

    A BaseException, as KeyboardInterrupt is: the device's own error handling must not catch it, because a real
    device does not run any code after its supply is gone.
    """


class Flash(Protocol):
    """NOR flash: reads anywhere, writes turn 1 bits into 0 bits only, erasing a page turns all of it to 1."""

    @property
    def page_size(self) -> int: ...

    @property
    def page_count(self) -> int: ...

    def read(self, address: int, length: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None:
        """Program `data` at `address`. Raises FlashError on any 0 -> 1 bit, PowerLost if the supply fails."""

    def erase(self, page: int) -> None:
        """Erase a whole page and count its wear. Raises FlashWornOut past the limit."""

    def sync(self) -> None:
        """Return once everything written so far would survive a loss of power (a real chip: nothing to do).

        Raises FlashError if that cannot be had; the flash is then again as it was at the last sync.
        """


@enum.unique
class Presence(enum.Enum):
    """What a person at the token did."""

    BUTTON = "button"


class Random(Protocol):
    """Where the token's challenges, nonces and ids come from."""

    def randbytes(self, n: int) -> bytes: ...
