"""The tokens that the conformance suites run against. One suite, many targets: a target is one more class here."""

from __future__ import annotations

import random
from typing import Protocol

import pytest

from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.links.framed import FramedLink as DeviceFramedLink
from firmware_sim.seams import Battery
from provision.clock import Clock, ManualClock
from provision.families.driver import Session
from provision.families.reference import DRIVER
from provision.links.inprocess import open_device
from provision.links.link import Link, LinkOptions

SERIAL = "HT-0001"
START = 1_767_225_600.25  # 2026-01-01 00:00:00.25 UTC: between two edges


class Target(Protocol):
    """A blank token with factory keys, and the world around it. `clock`: the station's, true time here."""

    clock: Clock

    def open(self, **options: object) -> Link: ...

    def session(self) -> Session: ...

    def press_button_when_asked(self) -> None: ...

    def shift_clock(self, seconds: int) -> None:
        """Make the token's clock wrong by that much."""

    def stop_clock(self) -> None: ...

    def restart(self) -> None:
        """Power off and on, the wire staying plugged in."""


class SteppedOscillator:
    """Device time = true time + a constant, until it stops."""

    def __init__(self) -> None:
        self.offset_us = 0
        self.stopped = False

    def device_time_us(self, now: float) -> int | None:
        return None if self.stopped else round(now * 1_000_000) + self.offset_us

    def battery_status(self, now: float) -> Battery:
        return Battery.STOPPED if self.stopped else Battery.GOOD

    def set_device_time(self, now: float, device_s: int) -> None:
        self.offset_us = device_s * 1_000_000 - round(now * 1_000_000)


class InProcess:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.random = random.Random(20260101)
        self.oscillator = SteppedOscillator()
        kind = family("reference")
        self.token = Token(
            family=kind,
            serial=SERIAL,
            flash=MemoryFlash(kind.flash.page_size, kind.flash.page_count),
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.token.power_on()
        self.channel = self.token.open_channel()
        self.device = DeviceFramedLink(self.channel, lambda: self.token.boot_id, kind.limits.max_apdu, self.clock)
        self._press = False

    def open(self, **options: object) -> Link:
        def pending(seconds_left: int) -> None:
            if self._press:
                self._press = False
                self.token.press_button()

        return open_device(self.device, LinkOptions(self.clock, self.random.randbytes, on_pending=pending))

    def session(self) -> Session:
        return DRIVER.open(self.open(), self.clock, self.random.randbytes)

    def press_button_when_asked(self) -> None:
        self._press = True

    def shift_clock(self, seconds: int) -> None:
        self.oscillator.offset_us += seconds * 1_000_000

    def stop_clock(self) -> None:
        self.oscillator.stopped = True

    def restart(self) -> None:
        self.token.power_off()
        self.device.disconnect()
        self.token.power_on()


@pytest.fixture(params=[InProcess])
def target(request: pytest.FixtureRequest) -> Target:
    return request.param()
