"""What a YubiKey has not, in words."""

from __future__ import annotations

from provision.errors import NotSupported
from provision.model import Capability, ClockReading, Secret


class LackingSession:
    """The part of a Session (families/driver.py) that no YubiKey can keep."""

    def check_value(self, name: str, secret: Secret) -> bool | None:
        raise _lack("a YubiKey proves its seed by nothing but its codes", Capability.CHECK_VALUE, "compare two of them")

    def read_clock(self) -> ClockReading:
        raise no_clock()

    def write_clock(self, seconds: int) -> ClockReading:
        raise no_clock()

    def set_pin(self, pin: Secret) -> None:
        raise no_pin()

    def change_pin(self, pin: Secret, new_pin: Secret) -> None:
        raise no_pin()

    def verify_pin(self, pin: Secret) -> None:
        raise no_pin()

    def unblock(self, new_pin: Secret | None) -> None:
        raise no_pin()

    def set_label(self, label: str) -> None:
        raise _lack("a YubiKey has no name of its own", Capability.RENAME_TOKEN, "write its serial on a label")

    def lock_screen(self, locked: bool) -> None:
        raise _lack("a YubiKey has no screen", Capability.SCREEN_LOCK, "set a password instead")


def no_clock() -> NotSupported:
    return _lack(
        "a YubiKey has no clock: its host sends the time",
        Capability.CLOCK_READ,
        "keep the time right on the computers where it is used",
    )


def no_pin() -> NotSupported:
    return _lack("a YubiKey's OATH applet has no PIN: it has a password", Capability.PIN, "program it with --no-pin")


def _lack(what: str, capability: Capability, hint: str) -> NotSupported:
    return NotSupported(what, capability=capability.value, hint=hint)
