"""One way into the token: power, the button that a command waits for, and what a command may come to.

What a command means is the family's (chip.Dialogue); a dialogue lasts until the channel is reset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_sim.core.chip import Dialogue, Waiting
from firmware_sim.core.refusal import Refused
from firmware_sim.seams import Clock, PowerLost
from provision.wire import WireError
from provision.wire.apdu import Sw

if TYPE_CHECKING:
    from firmware_sim.core.chip import Chip

_OFF = "the token is off"


class Channel:
    """Implements seams.ApduChannel.

    `on_power_lost`: called when the supply fails during a command, before PowerLost goes on to the caller.
    """

    def __init__(self, clock: Clock, on_power_lost: Callable[[], None]) -> None:
        self._clock = clock
        self._on_power_lost = on_power_lost
        self._chip: Chip | None = None
        self._dialogue: Dialogue | None = None
        self._longest = 0
        self._parked: Waiting | None = None  # the command that waits for a touch
        self._deadline: float | None = None
        self._reply: bytes | None = None  # of a command that waited

    # What the token does to its channels.

    def attach(self, chip: Chip) -> None:
        """The token has power."""
        self._chip = chip
        self._longest = chip.family.limits.max_apdu
        self.reset()

    def detach(self) -> None:
        """The token has none."""
        self._chip = None
        self.reset()

    @property
    def waiting(self) -> bool:
        """Whether a command waits for a touch, and still may."""
        return self._parked is not None and not self._expire()

    @property
    def waiting_for(self) -> str:
        """What it waits for, as the screen has it."""
        return "" if self._parked is None else self._parked.name

    def touch(self) -> None:
        """The button was pressed: carry out the command that waits for it. Raises PowerLost."""
        parked = self._parked
        if parked is None:
            return
        self._stop_waiting()
        self._reply = self._carry_out(parked.resume)

    # seams.ApduChannel

    def reset(self) -> None:
        self._stop_waiting()
        self._reply = None
        self._dialogue = None if self._chip is None else self._chip.dialogue(self._give_up)

    def transmit(self, apdu: bytes) -> bytes | None:
        """As in the seam. A command that still waits is abandoned by another one. Raises PowerLost, also while the
        token is off."""
        dialogue = self._dialogue
        if dialogue is None:
            raise PowerLost(_OFF)
        self._stop_waiting()
        self._reply = None
        if len(apdu) > self._longest:
            return _refusal(Sw.WRONG_LENGTH)
        return self._carry_out(lambda: dialogue.answer(apdu))

    def poll(self) -> bytes | None:
        if self._parked is not None:
            self._expire()
        reply, self._reply = self._reply, None
        return reply

    @property
    def deadline(self) -> float | None:
        return self._deadline

    # A command, and its wait for a touch.

    def _carry_out(self, command: Callable[[], bytes | Waiting]) -> bytes | None:
        """The response; None while it waits for a touch. Raises PowerLost."""
        try:
            outcome = command()
        except Refused as refused:
            return _refusal(refused.sw)
        except WireError:
            return _refusal(Sw.WRONG_LENGTH)
        except PowerLost:
            self._on_power_lost()
            raise
        if isinstance(outcome, bytes):
            return outcome
        assert self._chip is not None
        self._parked = outcome
        self._deadline = self._clock.now() + self._chip.family.limits.touch_timeout_s
        return None

    def _stop_waiting(self) -> None:
        self._parked = None
        self._deadline = None

    def _give_up(self) -> None:
        """Refuse the command that waits, if one does."""
        if self._parked is not None:
            self._reply = _refusal(self._parked.untouched)
            self._stop_waiting()

    def _expire(self) -> bool:
        """Refuse the waiting command if its time is over."""
        if self._deadline is None or self._clock.now() < self._deadline:
            return False
        self._give_up()
        return True


def _refusal(sw: int) -> bytes:
    return sw.to_bytes(2, "big")
