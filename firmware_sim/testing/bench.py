"""A token on a bench: out of its box, with hands on everything it depends on."""

from __future__ import annotations

import random
from typing import NamedTuple

from firmware_sim.clocks import ManualClock
from firmware_sim.core.token import Token
from firmware_sim.families.reference import REFERENCE
from firmware_sim.flash import MemoryFlash, Supply
from firmware_sim.seams import Battery, OscillatorError

START_S = 1_700_000_000.0


class SteadyOscillator:
    """Implements seams.Oscillator: true time plus an offset, and a battery that a test can empty."""

    def __init__(self) -> None:
        self.offset_us = 0
        self.battery = Battery.GOOD

    def device_time_us(self, now: float) -> int | None:
        return None if self.battery is Battery.STOPPED else round(now * 1_000_000) + self.offset_us

    def set_device_time(self, now: float, device_s: int) -> None:
        if self.battery is Battery.STOPPED:
            raise OscillatorError("the battery is dead")
        self.offset_us = device_s * 1_000_000 - round(now * 1_000_000)

    def battery_status(self, now: float) -> Battery:
        return self.battery


class Bench(NamedTuple):
    """A token and the hands on everything it depends on."""

    token: Token
    flash: MemoryFlash
    clock: ManualClock
    oscillator: SteadyOscillator

    @property
    def supply(self) -> Supply:
        return self.flash.supply


def make_bench(seed: int = 0, *, flash: MemoryFlash | None = None) -> Bench:
    """A reference token out of its box, without power; `flash`: another chip than one that hardly wears."""
    flash = MemoryFlash(wear_limit=1_000_000) if flash is None else flash
    clock, oscillator = ManualClock(START_S), SteadyOscillator()
    token = Token(
        family=REFERENCE,
        serial=f"SIM{seed:05d}",
        flash=flash,
        oscillator=oscillator,
        clock=clock,
        random=random.Random(seed),  # noqa: S311  # a test's token must repeat itself
    )
    return Bench(token, flash, clock, oscillator)
