"""A token: power, its channels, its keypad. Everything else hangs on what exists while it has power.

token = Token(family=..., serial=..., flash=..., oscillator=..., clock=..., random=...)
channel = token.open_channel()
token.power_on()
channel.transmit(apdu)
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.core.channel import Channel
from firmware_sim.core.chip import Board, Chip
from firmware_sim.core.family import Family
from firmware_sim.core.machine import Event, Power, check
from firmware_sim.core.view import View
from firmware_sim.seams import ApduChannel, Clock, Flash, Oscillator, PowerLost, Random


class Token:
    """`serial`: 1 to 32 characters; `.serial` is what the token tells for it, on every wire. It starts without power.
    Whatever drives it must expect PowerLost (the supply of its flash failed); the token is off then, until `power_on`.
    """

    def __init__(
        self, *, family: Family, serial: str, flash: Flash, oscillator: Oscillator, clock: Clock, random: Random
    ) -> None:
        self.family = family
        self.serial = family.told_serial(serial)
        self._flash = flash
        self._oscillator = oscillator
        self._clock = clock
        self._random = random
        self._power = Power.OFF
        self._chip: Chip | None = None
        self._channels: list[Channel] = []

    @property
    def powered(self) -> bool:
        return self._power is Power.ON

    @property
    def boot_id(self) -> bytes:
        """8 random bytes of this power-up. Raises PowerLost while the token is off."""
        if self._chip is None:
            raise PowerLost("the token is off")
        return self._chip.boot_id

    def open_channel(self) -> ApduChannel:
        """One for each line that the token has, for good: a line that closes and opens again calls `reset`."""
        channel = Channel(self._clock, self.power_off)
        self._channels.append(channel)
        if self._chip is not None:
            channel.attach(self._chip)
        return channel

    def power_on(self, *, button_held: bool = False) -> None:
        """Nothing if it is on already. `button_held`, for the 10 s that it takes: a factory reset.

        Raises FlashError if the flash cannot be mounted or erased, PowerLost; the token is off then.
        """
        if self._power is Power.ON:
            return
        check(self._power, Event.POWER_ON)
        chip = self.family.chip(
            Board(
                family=self.family,
                serial=self.serial,
                flash=self._flash,
                oscillator=self._oscillator,
                clock=self._clock,
                random=self._random,
            )
        )
        if button_held:
            chip.factory_reset()
        self._power = Power.ON
        self._chip = chip
        for channel in self._channels:
            channel.attach(chip)

    def power_off(self) -> None:
        """Everything that is not in flash is gone. Nothing if it is off already."""
        if self._power is Power.OFF:
            return
        check(self._power, Event.POWER_OFF)
        self._power = Power.OFF
        self._chip = None
        for channel in self._channels:
            channel.detach()

    def press_button(self) -> None:
        """The touch of the command that waits longest, or else what the button does by itself. Raises PowerLost."""
        if waiting := self._waits_longest():
            waiting.touch()
        elif self._chip is not None:
            self._with_power(self._chip.panel.press)

    def type_pin(self, pin: str) -> None:
        """Digits and enter on the keypad; the screen says what became of it. Raises PowerLost."""
        if self._chip is not None:
            panel = self._chip.panel
            self._with_power(lambda: panel.type_pin(pin))

    def screen(self) -> str:
        """One line; empty while the token is off. A code is the last word of its line."""
        if self._chip is None:
            return ""
        if waiting := self._waits_longest():
            return f"touch? {waiting.waiting_for}"
        return self._chip.panel.screen

    def inspect(self) -> View:
        """The truth, for whoever watches the simulation. Never a secret, a PIN, or a code that is not on the screen."""
        now = self._clock.now()
        view = View(
            family=self.family.name,
            model=self.family.model,
            firmware=self.family.firmware_text,
            serial=self.serial,
            powered=self.powered,
            true_time_s=now,
            device_time_us=self._oscillator.device_time_us(now),
            battery=self._oscillator.battery_status(now).value,
            most_erases_of_a_page=max(self._flash.wear.values(), default=0),
        )
        if self._chip is not None:
            view["boot_id"] = self._chip.boot_id.hex()
            view["device_id"] = self._chip.device_id.hex()
            view["screen"] = self.screen()
            self._chip.describe(view)
        return view

    def _waits_longest(self) -> Channel | None:
        """The channel whose command the button is for."""
        waiting = (channel for channel in self._channels if channel.waiting)
        return min(waiting, key=lambda channel: channel.deadline or 0.0, default=None)

    def _with_power(self, act: Callable[[], None]) -> None:
        try:
            act()
        except PowerLost:
            self.power_off()
            raise
