"""The chip of a family that speaks applets: the administrator's keys, a PIN, credentials, and what selects them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Protocol

from firmware_sim.core.admin_keys import AdminKeys
from firmware_sim.core.applet import Applet
from firmware_sim.core.chip import Board, Chip
from firmware_sim.core.credentials import Credentials
from firmware_sim.core.dialogue import AppletDialogue
from firmware_sim.core.keypad import Keypad
from firmware_sim.core.layout import Key
from firmware_sim.core.machine import Event, check
from firmware_sim.core.pin import Pin
from firmware_sim.core.view import View


class Holder(Protocol):
    """A dialogue, or the keypad: who may hold a PIN mark or a secure channel."""

    pin_verified: bool

    def revoke(self) -> None:
        """Drop both, and give up a command that waits: the token has become another."""


class Running(Chip):
    """`applets`: makes those of a chip that has just been powered."""

    def __init__(self, board: Board, applets: Callable[[Running], tuple[Applet, ...]]) -> None:
        super().__init__(board)
        limits = self.family.limits
        self.admin_keys = AdminKeys(self.store)
        self.pin = Pin(self.store, self.random, attempts=limits.pin_attempts, iterations=limits.pin_iterations)
        self.credentials = Credentials(self.store, room=limits.credentials)
        self._applets = applets(self)
        self.panel = Keypad(self)
        self._holders: weakref.WeakSet[Holder] = weakref.WeakSet((self.panel,))

    def dialogue(self, abandon: Callable[[], None]) -> AppletDialogue:
        dialogue = AppletDialogue(self, self._applets, abandon)
        self._holders.add(dialogue)
        return dialogue

    @property
    def label(self) -> str:
        return (self.store.get(Key.LABEL) or b"").decode("utf-8")

    def set_label(self, label: str) -> None:
        self.store.commit({Key.LABEL: label.encode("utf-8") or None})

    def factory_reset(self) -> None:
        """Erase credentials, PIN, label and keys, in one commit and physically."""
        check(self.pin.state, Event.FACTORY_RESET)
        check(self.admin_keys.lifecycle, Event.FACTORY_RESET)
        gone = (Key.LABEL, Key.ADMIN_KEYS, Key.PIN_VERIFIER, Key.PIN_ATTEMPTS)
        self.store.commit({**self.credentials.erasure(), **dict.fromkeys(gone)}, scrub=True)
        self.credentials = Credentials(self.store, room=self.family.limits.credentials)
        for holder in self._holders:
            holder.revoke()

    def pin_changed(self) -> None:
        """Whoever presented the PIN before has to present the new one."""
        for holder in self._holders:
            holder.pin_verified = False

    def describe(self, view: View) -> None:
        view["label"] = self.label
        view["lifecycle"] = self.admin_keys.lifecycle.value
        view["key_version"] = self.admin_keys.version
        view["pin"] = self.pin.state.value
        view["attempts_remaining"] = self.pin.attempts_remaining
        view["credentials"] = [credential.view() for credential in self.credentials]
