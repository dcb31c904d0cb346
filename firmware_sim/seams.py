"""The seams of the simulated token: what it needs from the world, each with a second implementation that ships.

True time crosses these seams as Unix seconds UTC (float, so about a quarter of a microsecond fine); the
oscillator turns it into device time in whole microseconds.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Protocol


class Clock(Protocol):
    """True time. `now()`: Unix seconds UTC. The simulator never waits: its links say when to look again."""

    def now(self) -> float: ...


@enum.unique
class Battery(enum.Enum):
    """What the token can tell of the battery of its clock."""

    GOOD = "good"
    LOW = "low"
    STOPPED = "stopped"  # the clock stands still, or has lost the time and was not set since


class Oscillator(Protocol):
    """Device time from true time, closed form, so that ten years cost the same as a second."""

    def device_time_us(self, now: float) -> int | None:
        """The token's clock at true time `now`, in microseconds since the Unix epoch; None while it stands still
        with an unknown time (dead battery)."""

    def set_device_time(self, now: float, device_s: int) -> None:
        """From true time `now` on the clock goes on from exactly `device_s` whole seconds (phase zeroed).

        Raises OscillatorError while the battery is dead. The token syncs its flash afterwards: a store that keeps the
        oscillator beside the flash saves both then.
        """

    def battery_status(self, now: float) -> Battery:
        """The battery at true time `now`, as the token's own monitor sees it."""


class OscillatorError(Exception):
    """A parameter out of range, or a clock that cannot be set because its battery is dead."""


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

    @property
    def wear(self) -> Mapping[int, int]:
        """Erases so far, by page number; pages never erased may be absent."""

    def read(self, address: int, length: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None:
        """Program `data` at `address`. Raises FlashError on any 0 -> 1 bit, PowerLost if the supply fails."""

    def erase(self, page: int) -> None:
        """Erase a whole page and count its wear. Raises FlashWornOut past the limit."""

    def sync(self) -> None:
        """Return once everything written so far would survive a loss of power (a real chip: nothing to do).

        Raises FlashError if that cannot be had; the flash is then again as it was at the last sync.
        """


class Random(Protocol):
    """Where the token's challenges, nonces and ids come from."""

    def randbytes(self, n: int) -> bytes: ...


class ApduChannel(Protocol):
    """One way into the token: a serial line, a reader, later others. Never blocks, never raises but PowerLost.

    What a channel knows (selected applet, PIN verified, secure channel) is its own; see docs/PROTOCOL.md section 1.
    """

    def transmit(self, apdu: bytes) -> bytes | None:
        """The response to a command APDU, or None while the command waits for a person: then ask `poll`."""

    def poll(self) -> bytes | None:
        """The response of the command that was waiting, once there is one."""

    @property
    def deadline(self) -> float | None:
        """True time (Unix seconds) at which a waiting command gives up by itself, None when none waits."""

    def reset(self) -> None:
        """Forget everything: the line opened anew, closed, or said HELLO. Abandons a waiting command."""


class DeviceLink(Protocol):
    """The device's end of a wire: bytes in, bytes out, no I/O."""

    def receive(self, data: bytes) -> list[bytes]:
        """Feed bytes as they came; the replies to send, in order."""

    def poll(self) -> tuple[list[bytes], float | None]:
        """Replies that time or a person caused, and the true time (Unix seconds) at which to poll again, if any."""

    def disconnect(self) -> None:
        """The line dropped: close the channel."""
