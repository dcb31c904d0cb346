"""The PIN and its attempt counter. An attempt is charged and safe in flash before anything is compared."""

from __future__ import annotations

import hashlib
import hmac

from firmware_sim.core.layout import Key
from firmware_sim.core.machine import Event, PinState, check
from firmware_sim.core.refusal import Refused
from firmware_sim.journal import Store
from firmware_sim.seams import Random
from provision.wire.apdu import Sw

_SALT_SIZE = 16


class Pin:
    """The token's one PIN, whoever presents it: a host on any channel or a finger on the keypad.

    `attempts`: how many wrong ones in a row block it. `iterations`: of PBKDF2. Every method may also raise FlashError
    (the flash holds what it held before) and PowerLost. PINs come as checked ASCII digits.
    """

    def __init__(self, store: Store, random: Random, *, attempts: int, iterations: int) -> None:
        self._store = store
        self._random = random
        self._attempts = attempts
        self._iterations = iterations

    @property
    def state(self) -> PinState:
        if self._store.get(Key.PIN_VERIFIER) is None:
            return PinState.UNSET
        return PinState.SET if self._remaining() else PinState.BLOCKED

    @property
    def attempts_remaining(self) -> int | None:
        """None while no PIN is set."""
        return None if self._store.get(Key.PIN_VERIFIER) is None else self._remaining()

    def set(self, pin: bytes) -> None:
        """The first PIN. Raises Refused (6985) if there is one."""
        check(self.state, Event.SET_PIN)
        self._write(pin)

    def verify(self, pin: bytes) -> None:
        """Raises Refused: 63Cx wrong, 6983 blocked, 6985 not set."""
        self._compare(pin)
        self._store.commit({Key.PIN_ATTEMPTS: bytes((self._attempts,))})

    def change(self, old: bytes, new: bytes) -> None:
        """Raises Refused as `verify` does."""
        self._compare(old)
        self._write(new)

    def restore(self) -> None:
        """The administrator gives all attempts back. Raises Refused (6985) if no PIN is set."""
        check(self.state, Event.RESTORE)
        self._store.commit({Key.PIN_ATTEMPTS: bytes((self._attempts,))})

    def replace(self, pin: bytes) -> None:
        """The administrator sets a PIN, whatever there was."""
        check(self.state, Event.REPLACE_PIN)
        self._write(pin)

    def _remaining(self) -> int:
        stored = self._store.get(Key.PIN_ATTEMPTS)
        return stored[0] if stored else 0

    def _compare(self, pin: bytes) -> None:
        """Charge, then compare. Returns only if the PIN is right; the caller's next commit gives the attempts back."""
        left = self._remaining() - 1
        check(self.state, Event.CHARGE_LAST if left == 0 else Event.CHARGE)
        self._store.commit({Key.PIN_ATTEMPTS: bytes((left,))})
        verifier = self._store.get(Key.PIN_VERIFIER) or b""
        if not hmac.compare_digest(verifier, self._stretch(pin, verifier[:_SALT_SIZE])):
            raise Refused(Sw.PIN_INCORRECT | left)
        check(self.state, Event.MATCH)

    def _write(self, pin: bytes) -> None:
        verifier = self._stretch(pin, self._random.randbytes(_SALT_SIZE))
        self._store.commit({Key.PIN_VERIFIER: verifier, Key.PIN_ATTEMPTS: bytes((self._attempts,))})

    def _stretch(self, pin: bytes, salt: bytes) -> bytes:
        return salt + hashlib.pbkdf2_hmac("sha256", pin, salt, self._iterations)
