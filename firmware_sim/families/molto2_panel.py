"""The person's side of a Molto2: two buttons, of which one press each is simulated, and a screen.

The button shows the code of a profile, and of the next one while the screen is still on; what a host has asked for and
a person must confirm comes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_sim.core.refusal import Refused
from firmware_sim.seams import FlashError
from provision.wire.sm4_secure import DISPLAY_SECONDS

if TYPE_CHECKING:
    from firmware_sim.families.molto2 import Molto2Chip


class Molto2Panel:
    """Implements chip.Panel; it lives as long as the power, and what waits for the button is gone with it."""

    def __init__(self, chip: Molto2Chip) -> None:
        self._chip = chip
        self._proposal: tuple[str, Callable[[], None]] | None = None
        self._proposal_ends = 0.0
        self._shown: int | None = None  # a profile's number
        self._message = ""
        self._on_until = 0.0

    def propose(self, what: str, act: Callable[[], None]) -> None:
        """Show what a host wants; the button does it, for as long as a command may wait for one."""
        self._proposal = (what, act)
        self._proposal_ends = self._chip.clock.now() + self._chip.family.limits.touch_timeout_s

    @property
    def screen(self) -> str:
        if self._proposed is not None:
            return f"{self._proposed[0]}? press ▲"
        if not self._is_on:
            return ""
        if self._message:
            return self._message
        if self._chip.screen_locked:
            return "locked"
        assert self._shown is not None, "the screen went on for a message or a profile"
        profile = self._chip.profiles[self._shown]
        if not profile.seed:
            return f"{profile.name} empty"
        try:
            return f"{profile.name} {profile.code(self._chip.seconds())}"
        except Refused:
            return f"{profile.name} no time"

    def press(self) -> None:
        if self._proposed is not None:
            what, act = self._proposed
            self._proposal = None
            try:
                act()
            except FlashError:
                self._show("memory failed")
            else:
                self._show(f"{what} done")
            return
        self._next_profile()

    def type_pin(self, pin: str) -> None:
        """It has no keys for digits: nothing happens."""

    @property
    def _is_on(self) -> bool:
        return self._chip.clock.now() < self._on_until

    @property
    def _proposed(self) -> tuple[str, Callable[[], None]] | None:
        if self._chip.clock.now() >= self._proposal_ends:
            self._proposal = None
        return self._proposal

    def _next_profile(self) -> None:
        numbers = [profile.number for profile in self._chip.profiles if profile.seed]
        if not numbers:
            self._show("no codes")
            return
        if self._shown not in numbers:
            self._shown = numbers[0]
        elif self._is_on and not self._message:
            self._shown = numbers[(numbers.index(self._shown) + 1) % len(numbers)]
        self._message = ""
        self._on_until = self._chip.clock.now() + DISPLAY_SECONDS[self._chip.profiles[self._shown].display]

    def _show(self, message: str) -> None:
        self._message = message
        self._on_until = self._chip.clock.now() + self._chip.family.limits.screen_s
