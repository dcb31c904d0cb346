"""A token on a bench, and everything that a hand at that bench can do to it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from firmware_sim.clocks import ClockError, ClockFileError, SteerableClock
from firmware_sim.control.errors import ControlError
from firmware_sim.control.truth import Truth, truth
from firmware_sim.core.family import Family
from firmware_sim.core.token import Token
from firmware_sim.flash import Moment, PowerCut, Supply, seeded_subset
from firmware_sim.links.cable import Cable, Instruction
from firmware_sim.links.port import Port, PortError
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import BatteryEvent
from firmware_sim.seams import Flash, FlashError, OscillatorError, PowerLost


class Rig:
    """One token with its oscillator, flash and cable.

    `flash.sync()` keeps the oscillator's state too, where there is something to keep it in. Every method raises
    ControlError when the thing cannot be done, and returns only after its effect is durable. `connect` comes first.
    `stop`: ends the simulation, once the reply to whoever asked is on its way.
    """

    def __init__(
        self,
        token: Token,
        oscillator: QuartzOscillator,
        flash: Flash,
        supply: Supply,
        clock: SteerableClock,
        stop: Callable[[], None],
    ) -> None:
        self.stop = stop
        self._token = token
        self._oscillator = oscillator
        self._flash = flash
        self._supply = supply
        self._clock = clock
        self._cable = Cable(token, clock, supply.restore)
        self._port: Port | None = None

    def connect(self, make_port: Callable[[Cable], Port]) -> str:
        """Hang the token on the port that `make_port` gives, powered: the address to reach it at. Raises PortError."""
        self._port = make_port(self._cable)
        self._insert()
        return self._port.address

    @property
    def noticed(self) -> bool:
        """Whether hosts can have noticed the token."""
        return self._plug.noticed

    def close(self) -> None:
        """Unplug for good, if it ever hung on a port."""
        if self._port is not None:
            self._pull()

    # The person who holds the token.

    def press(self) -> str:
        """Press the button: what the screen shows then."""
        return self._handle(self._token.press_button)

    def type_pin(self, pin: str) -> str:
        """Type digits and enter on the keypad: what the screen shows then."""
        return self._handle(lambda: self._token.type_pin(pin))

    def screen(self) -> str:
        return self._token.screen()

    # Power and cable.

    def power_on(self, *, button_held: bool = False) -> None:
        """`button_held`: for the 10 s that make it a factory reset."""
        if not self._plug.plugged:
            raise ControlError(f"{self._name} has no supply: its cable is unplugged; use `cable plug`")
        if self._token.powered:
            raise ControlError(f"{self._name} has power already; use `power off` first")
        self._power_up(button_held=button_held)

    def power_off(self) -> None:
        """Now: whatever was in RAM is gone, the line stays open and silent."""
        self._token.power_off()
        self._cable.disconnect()

    def cut_power_in(self, operation: int, moment: Moment, seed: int) -> None:
        """Let the supply fail at the `operation`-th flash operation from now (1: the next).

        `seed` chooses which bits an operation that is cut inside still changes.
        """
        supply = self._supply
        supply.arm(PowerCut(supply.operations + operation - 1, moment, seeded_subset(seed)))

    def plug_in(self) -> str:
        """Plug the cable in, which powers the token: the address, which may be another than before."""
        if self._plug.plugged:
            raise ControlError(f"the cable of {self._name} is plugged in already, at {self._plug.address}")
        self._cable.mend()
        try:
            self._insert()
        except PortError as error:
            raise ControlError(str(error), exit_code=3) from None
        return self._plug.address

    def unplug(self) -> None:
        """Pull the cable now: the host sees a hang-up, the token loses its supply."""
        if not self._plug.plugged:
            raise ControlError(f"the cable of {self._name} is unplugged already")
        self._pull()

    def unplug_after(self, instruction: Instruction, *, before_reply: bool) -> None:
        """Pull the cable once the next such instruction has been executed: when the host has read its reply, or, with
        `before_reply`, in its place."""

        def spring() -> None:
            self._cable.cut(after_reply=not before_reply)
            self._plug.after_reply(pull)

        def pull() -> None:
            if not self._cable.whole:  # it is when somebody was faster, and has plugged it in again
                self._pull()

        self._cable.trap.set(instruction, spring)

    # Time.

    def advance(self, seconds: Decimal) -> float:
        """Move true time, for everybody who shares this clock: the new time, Unix seconds."""
        try:
            self._clock.advance(float(seconds))
        except ClockFileError as error:
            raise ControlError(str(error), exit_code=9) from None
        except ClockError as error:
            raise ControlError(f"{error}, or use `age`") from None
        return self._clock.now()

    def age(self, seconds: Decimal) -> None:
        """True time stands still; the token is as if it had lain there for `seconds`."""
        self._change(lambda: self._oscillator.age(self._clock.now(), seconds))

    def change_oscillator(self, **parameters: Any) -> None:
        """Keyword arguments of QuartzOscillator.change; `temperature` as a TemperatureProfile."""
        self._change(lambda: self._oscillator.change(self._clock.now(), **parameters))

    def battery(self, event: BatteryEvent) -> None:
        self._change(lambda: self._oscillator.battery(self._clock.now(), event))

    def truth(self) -> Truth:
        return truth(self._oscillator, self._clock.now())

    def inspect(self) -> dict[str, Any]:
        """Everything but the secrets."""
        return {
            "token": self._token.inspect(),
            "truth": self.truth(),
            "flash": {
                "operations": self._supply.operations,
                "wear": {str(page): erases for page, erases in sorted(self._flash.wear.items())},
            },
            "cable": {
                "plugged": self._plug.plugged,
                "address": self._plug.address if self._plug.plugged else None,
                "powered": self._token.powered,
            },
        }

    @property
    def powered(self) -> bool:
        return self._token.powered

    @property
    def family(self) -> Family:
        return self._token.family

    @property
    def _plug(self) -> Port:
        assert self._port is not None, "connect comes first"
        return self._port

    @property
    def _name(self) -> str:
        return f"token {self._token.serial}"

    def _power_up(self, *, button_held: bool) -> None:
        self._supply.restore()
        try:
            self._token.power_on(button_held=button_held)
        except FlashError as error:
            raise ControlError(f"{self._name} does not start: {error}", exit_code=9) from None

    def _insert(self) -> None:
        """Power first: a USB plug's power pins are the longer ones, so that who asks at once is answered."""
        self._token.power_off()  # it is on still where the host's side cut it off
        self._power_up(button_held=False)
        try:
            self._plug.plug()
        except PortError:
            self._token.power_off()
            raise

    def _pull(self) -> None:
        self._plug.unplug()
        self._token.power_off()

    def _handle(self, act: Callable[[], None]) -> str:
        if not self._token.powered:
            raise ControlError(f"{self._name} has no power; use `power on` or `cable plug`")
        try:
            act()
        except PowerLost:
            self._cable.lose_power()
            raise ControlError(f"the power of {self._name} failed as it was told to; use `power on`") from None
        return self._token.screen()

    def _change(self, act: Callable[[], None]) -> None:
        """Change the oscillator durably or not at all."""
        before = self._oscillator.state
        try:
            act()
            self._flash.sync()
        except OscillatorError as error:
            raise ControlError(str(error)) from None
        except FlashError as error:
            self._oscillator.state = before
            raise ControlError(f"nothing was changed: {error}", exit_code=1) from None
