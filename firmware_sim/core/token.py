"""A token: power, its channels, its keypad. Everything else hangs on what exists while it has power.

token = Token(family=..., serial=..., flash=..., oscillator=..., clock=..., random=...)
channel = token.open_channel()
token.power_on()
channel.transmit(apdu)
"""

from __future__ import annotations

from typing import TypedDict

from firmware_sim.core.channel import Channel
from firmware_sim.core.credentials import Credential
from firmware_sim.core.family import Family
from firmware_sim.core.keypad import Keypad
from firmware_sim.core.machine import Event, Power, check
from firmware_sim.core.running import Holder, Running
from firmware_sim.seams import ApduChannel, Clock, Flash, Oscillator, PowerLost, Random
from provision.wire.oath import OathKind


class CredentialView(TypedDict):
    name: str
    type: str
    algorithm: str
    digits: int
    time_step_s: int
    t0_s: int
    counter: int | None
    own_clock: bool
    pin: bool
    touch: bool


class View(TypedDict, total=False):
    """What `Token.inspect` tells. Only the first seven are there while the token is off."""

    family: str
    serial: str
    powered: bool
    true_time_s: float
    device_time_us: int | None
    battery: str
    most_erases_of_a_page: int
    boot_id: str
    device_id: str
    label: str
    screen: str
    lifecycle: str
    key_version: int
    pin: str
    attempts_remaining: int | None
    credentials: list[CredentialView]


class Token:
    """`serial`: 1 to 32 characters. It starts without power. Whatever drives it must expect PowerLost (the supply of
    its flash failed); the token is off then, until `power_on`.
    """

    def __init__(
        self, *, family: Family, serial: str, flash: Flash, oscillator: Oscillator, clock: Clock, random: Random
    ) -> None:
        self.family = family
        self.serial = serial
        self._flash = flash
        self._oscillator = oscillator
        self._clock = clock
        self._random = random
        self._power = Power.OFF
        self._running: Running | None = None
        self._keypad: Keypad | None = None
        self._channels: list[Channel] = []
        self._holders: list[Holder] = []  # the channels, and the keypad of this power-up

    @property
    def powered(self) -> bool:
        return self._power is Power.ON

    @property
    def boot_id(self) -> bytes:
        """8 random bytes of this power-up. Raises PowerLost while the token is off."""
        if self._running is None:
            raise PowerLost("the token is off")
        return self._running.boot_id

    def open_channel(self) -> ApduChannel:
        """One for each line that the token has, for good: a line that closes and opens again calls `reset`."""
        channel = Channel(self._clock, self.power_off)
        self._channels.append(channel)
        self._holders.append(channel)
        if self._running is not None:
            channel.attach(self._running)
        return channel

    def power_on(self, *, button_held: bool = False) -> None:
        """Nothing if it is on already. `button_held`, for the 10 s that it takes: a factory reset.

        Raises FlashError if the flash cannot be mounted or erased, PowerLost; the token is off then.
        """
        if self._power is Power.ON:
            return
        check(self._power, Event.POWER_ON)
        running = Running(
            family=self.family,
            serial=self.serial,
            flash=self._flash,
            oscillator=self._oscillator,
            clock=self._clock,
            random=self._random,
            holders=self._holders,
        )
        if button_held:
            running.factory_reset()
        self._power = Power.ON
        self._running = running
        self._keypad = Keypad(running, self._clock)
        self._holders.append(self._keypad)
        for channel in self._channels:
            channel.attach(running)

    def power_off(self) -> None:
        """Everything that is not in flash is gone. Nothing if it is off already."""
        if self._power is Power.OFF:
            return
        check(self._power, Event.POWER_OFF)
        self._power = Power.OFF
        self._running = None
        self._keypad = None
        self._holders[:] = self._channels
        for channel in self._channels:
            channel.detach()

    def press_button(self) -> None:
        """The touch of the command that waits longest, or else the next code on the screen. Raises PowerLost."""
        waiting = [channel for channel in self._channels if channel.waiting]
        if waiting:
            min(waiting, key=lambda channel: channel.deadline or 0.0).touch()
        elif self._keypad is not None:
            self._keypad.press()

    def type_pin(self, pin: str) -> None:
        """Digits and enter on the keypad; the screen says what became of it. Raises PowerLost."""
        if self._keypad is None:
            return
        try:
            self._keypad.type_pin(pin)
        except PowerLost:
            self.power_off()
            raise

    def screen(self) -> str:
        """One line; empty while the token is off. A code is the last word of its line."""
        if self._keypad is None:
            return ""
        for channel in self._channels:
            if channel.waiting:
                return f"touch? {channel.waiting_for}"
        return self._keypad.screen

    def inspect(self) -> View:
        """The truth, for whoever watches the simulation. Never a secret, a PIN, or a code that is not on the screen."""
        now = self._clock.now()
        view = View(
            family=self.family.name,
            serial=self.serial,
            powered=self.powered,
            true_time_s=now,
            device_time_us=self._oscillator.device_time_us(now),
            battery=self._oscillator.battery_status(now).value,
            most_erases_of_a_page=max(self._flash.wear.values(), default=0),
        )
        running = self._running
        if running is not None:
            view["boot_id"] = running.boot_id.hex()
            view["device_id"] = running.device_id.hex()
            view["label"] = running.label
            view["screen"] = self.screen()
            view["lifecycle"] = running.admin_keys.lifecycle.value
            view["key_version"] = running.admin_keys.version
            view["pin"] = running.pin.state.value
            view["attempts_remaining"] = running.pin.attempts_remaining
            view["credentials"] = [_view(credential) for credential in running.credentials]
        return view


def _view(credential: Credential) -> CredentialView:
    is_hotp = credential.kind is OathKind.HOTP
    return CredentialView(
        name=credential.name,
        type=credential.kind.name.lower(),
        algorithm=credential.hash.name,
        digits=credential.digits,
        time_step_s=credential.step_s,
        t0_s=credential.t0_s,
        counter=credential.counter if is_hotp else None,
        own_clock=credential.own_clock,
        pin=credential.pin,
        touch=credential.touch,
    )
