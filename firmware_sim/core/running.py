"""What exists while a token has power: the mounted store and everything read from it. Gone with the power."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from firmware_sim.core.admin_keys import AdminKeys
from firmware_sim.core.credentials import Credentials
from firmware_sim.core.family import Family
from firmware_sim.core.layout import Key
from firmware_sim.core.machine import Event, Lifecycle, check
from firmware_sim.core.pin import Pin
from firmware_sim.core.refusal import Refused
from firmware_sim.journal import Store
from firmware_sim.seams import Battery, Clock, Flash, Oscillator, OscillatorError, Random
from provision.wire.apdu import Sw
from provision.wire.oath import DEVICE_ID_SIZE

_BOOT_ID_SIZE = 8


class Holder(Protocol):
    """A channel, or the keypad: whoever may hold a PIN mark or a secure channel session."""

    pin_verified: bool

    def revoke(self) -> None:
        """Drop mark and session, and refuse (6985) a command that waits: the token has become another."""


class Running:
    """Mounts the flash. `holders`: everybody whose rights end with a new PIN or a factory reset.

    Raises FlashError if the chip cannot be mounted, PowerLost.
    """

    def __init__(
        self,
        *,
        family: Family,
        serial: str,
        flash: Flash,
        oscillator: Oscillator,
        clock: Clock,
        random: Random,
        holders: Collection[Holder],
    ) -> None:
        self.family = family
        self.serial = serial
        self.random = random
        self.boot_id = random.randbytes(_BOOT_ID_SIZE)
        self._holders = holders
        self._flash = flash
        self._oscillator = oscillator
        self._clock = clock
        self._store = Store.open(flash)
        self.device_id = self._store.get(Key.DEVICE_ID) or self._manufacture()
        self.admin_keys = AdminKeys(self._store)
        self.pin = Pin(
            self._store, random, attempts=family.limits.pin_attempts, iterations=family.limits.pin_iterations
        )
        self.credentials = Credentials(self._store, room=family.limits.credentials)
        self.applets = family.applets(self)

    @property
    def label(self) -> str:
        return (self._store.get(Key.LABEL) or b"").decode("utf-8")

    def set_label(self, label: str) -> None:
        self._store.commit({Key.LABEL: label.encode("utf-8") or None})

    @property
    def battery(self) -> Battery:
        return self._oscillator.battery_status(self._clock.now())

    def device_time_us(self) -> int:
        """Microseconds since the Unix epoch by the token's clock. Raises Refused (6985) if it stands still."""
        time = self._oscillator.device_time_us(self._clock.now())
        if time is None:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        return time

    def set_device_time(self, seconds: int) -> None:
        """Raises Refused (6985) if the battery is dead, FlashError: set, but not saved."""
        try:
            self._oscillator.set_device_time(self._clock.now(), seconds)
        except OscillatorError:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED) from None
        self._flash.sync()

    def factory_reset(self) -> None:
        """Erase credentials, PIN, label and keys, in one commit and physically."""
        check(self.pin.state, Event.FACTORY_RESET)
        check(self.admin_keys.lifecycle, Event.FACTORY_RESET)
        gone = (Key.LABEL, Key.ADMIN_KEYS, Key.PIN_VERIFIER, Key.PIN_ATTEMPTS)
        self._store.commit({**self.credentials.erasure(), **dict.fromkeys(gone)}, scrub=True)
        self.credentials = Credentials(self._store, room=self.family.limits.credentials)
        for holder in self._holders:
            holder.revoke()

    def pin_changed(self) -> None:
        """Whoever presented the PIN before has to present the new one."""
        for holder in self._holders:
            holder.pin_verified = False

    def _manufacture(self) -> bytes:
        check(Lifecycle.BLANK, Event.MANUFACTURE)
        device_id = self.random.randbytes(DEVICE_ID_SIZE)
        self._store.commit({Key.DEVICE_ID: device_id})
        return device_id
