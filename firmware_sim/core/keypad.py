"""The person's side of the token: digits, a button, a screen of one line."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from firmware_sim.core import otp
from firmware_sim.core.credentials import Credential
from firmware_sim.core.machine import PinState
from firmware_sim.core.refusal import Refused
from firmware_sim.seams import FlashError
from provision.wire import WireError, reference_oath
from provision.wire.apdu import Sw

if TYPE_CHECKING:
    from firmware_sim.core.running import Running


class Keypad:
    """Implements chip.Panel and running.Holder, with a PIN mark of its own; it lives as long as the power.

    The screen shows a message or a code for a while, then what the token is called.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._clock = running.clock
        self._first_typed: bytes | None = None
        self._next = 0
        self._message = ""
        self._message_ends = 0.0
        self.pin_verified = False

    def revoke(self) -> None:
        self.pin_verified = False
        self._first_typed = None
        self._message = ""

    @property
    def screen(self) -> str:
        if self._message and self._clock.now() < self._message_ends:
            return self._message
        return self._running.label or self._running.family.model

    def type_pin(self, pin: str) -> None:
        """Digits, then enter: sets the PIN when typed twice and there is none, else verifies. Raises PowerLost."""
        try:
            self._show(self._typed(reference_oath.encode_pin(pin)))
        except WireError:
            self._show(f"{reference_oath.MIN_PIN} to {reference_oath.MAX_PIN} digits")
        except FlashError:
            self._show("memory failed")

    def press(self) -> None:
        """Show the code of the next credential that has one to show."""
        shown = [credential for credential in self._running.credentials if credential.own_clock]
        if not shown:
            self._show("no codes")
            return
        credential = shown[self._next % len(shown)]
        if credential.pin and not self.pin_verified:
            self._show("PIN?")
            return
        self._next = (self._next + 1) % len(shown)
        self._show(f"{credential.name} {self._code(credential)}")

    def _code(self, credential: Credential) -> str:
        try:
            step = credential.step_at(self._running.device_time_us())
        except Refused:
            return "no time"
        return otp.code(credential.secret, step, credential.algorithm, credential.digits)

    def _typed(self, pin: bytes) -> str:
        """What the screen says to it. Raises FlashError, PowerLost."""
        if self._running.pin.state is PinState.UNSET:
            return self._typed_new(pin)
        self.pin_verified = False
        try:
            self._running.pin.verify(pin)
        except Refused as refused:
            if refused.sw == Sw.AUTHENTICATION_BLOCKED or not self._running.pin.attempts_remaining:
                return "PIN blocked"
            return f"wrong PIN, {self._running.pin.attempts_remaining} left"
        self.pin_verified = True
        return "PIN ok"

    def _typed_new(self, pin: bytes) -> str:
        first, self._first_typed = self._first_typed, None
        if first is None:
            self._first_typed = pin
            return "again"
        if not hmac.compare_digest(first, pin):
            return "not the same"
        self._running.pin.set(pin)
        return "PIN set"

    def _show(self, message: str) -> None:
        self._message = message
        self._message_ends = self._clock.now() + self._running.family.limits.screen_s
