"""A token in pytest's own process: a whole one, with flash, quartz and cable, and no wire between."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from firmware_sim.clocks import SteerableClock, SystemClock, parse_clock
from firmware_sim.control.rig import Rig
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash, Supply
from firmware_sim.links.cable import Cable
from firmware_sim.links.framed import FramedLink
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.temperature import TemperatureProfile
from provision.errors import LinkError
from pytest_hwtoken.clocks import MovedClock, StillClock, TokenClock
from pytest_hwtoken.declared import Declared
from pytest_hwtoken.token import Bench, BenchToken, Pending

if TYPE_CHECKING:
    from provision.links.link import Link


class InProcessPort:
    """Implements firmware_sim's Port, and the DeviceEnd of provision's in-process link, over one framed line.

    Frames for every family: they are a wire of ours, and carry any APDU, also of a token that has no serial line.
    """

    def __init__(self, cable: Cable, token: Token) -> None:
        longest = token.family.limits.max_apdu
        self._line = cable.line(lambda channel: FramedLink(channel, lambda: token.boot_id, longest, cable.clock))
        self._pending: Callable[[], None] | None = None
        self.address = f"inprocess:{token.serial}"
        self.plugged = False

    @property
    def noticed(self) -> bool:
        return self.plugged

    def plug(self) -> None:
        self.plugged = True

    def unplug(self) -> None:
        self.plugged = False
        self._line.disconnect()

    def after_reply(self, action: Callable[[], None]) -> None:
        """The host has read its replies when it does something next."""
        self._pending = action

    def receive(self, data: bytes) -> list[bytes]:
        self._require_plug()
        return self._line.receive(data)

    def poll(self) -> tuple[list[bytes], float | None]:
        self._require_plug()
        return self._line.poll()

    def disconnect(self) -> None:
        self._line.disconnect()

    def _require_plug(self) -> None:
        if self._pending is not None:
            action, self._pending = self._pending, None
            action()
        if not self.plugged:
            raise LinkError(f"{self.address} is gone: the cable was pulled or the token lost power")


class InProcessBench(Bench):
    """The token's rig, with its cable in a port."""

    def __init__(self, token: Token, rig: Rig) -> None:
        self._rig = rig
        rig.connect(lambda cable: self._put(InProcessPort(cable, token)))

    def _put(self, port: InProcessPort) -> InProcessPort:
        self._port = port
        return port

    @property
    def address(self) -> str:
        return self._port.address

    def open(self, clock: TokenClock, randbytes: Callable[[int], bytes], on_pending: Pending | None) -> Link:
        from provision.links.inprocess import open_device
        from provision.links.link import LinkOptions

        return open_device(self._port, LinkOptions(StillClock(clock), randbytes, on_pending=on_pending), self.address)

    def control(self, op: str, **fields: object) -> dict[str, Any]:
        from firmware_sim.control.ops import perform  # most tests have no use for hands

        return perform(self._rig, {"op": op, **fields})


def in_process(declared: Declared, clock: TokenClock, serial: str, seed: int) -> BenchToken:
    """A token as declared, plugged in, of no age yet and without PIN. `seed`: of all its randomness, and its host's.

    Raises UnknownFamily, OscillatorError, ControlError.
    """
    kind = family(declared.family, model=declared.model, firmware=declared.firmware)
    randomness = Random(seed)  # noqa: S311  # a test's token must repeat itself
    true_time = _device_clock(clock)
    supply = Supply()
    flash = MemoryFlash(kind.flash.page_size, kind.flash.page_count, supply=supply)
    oscillator = QuartzOscillator(_quartz(declared, true_time.now(), seed))
    token = Token(family=kind, serial=serial, flash=flash, oscillator=oscillator, clock=true_time, random=randomness)
    bench = InProcessBench(token, Rig(token, oscillator, flash, supply, true_time, stop=lambda: None))
    return BenchToken(bench, kind.name, token.serial, clock, randomness)


def _quartz(declared: Declared, now: float, jitter_seed: int) -> OscillatorState:
    temperature = None
    if declared.profile is not None:
        temperature = TemperatureProfile.named(declared.profile)
    elif declared.temperature_c is not None:
        temperature = TemperatureProfile.constant(declared.temperature_c)
    return OscillatorState.start(
        now,
        offset_s=declared.offset_s,
        rate_error_ppm=declared.rate_error_ppm,
        ageing_ppm_per_year=declared.ageing_ppm_per_year,
        temperature=temperature,
        jitter_us=declared.jitter_us,
        jitter_seed=jitter_seed,
    )


def _device_clock(clock: TokenClock) -> SteerableClock:
    """The token's end of the same time."""
    return SameTime(clock) if isinstance(clock, MovedClock) else SystemClock()


class SameTime:
    """A SteerableClock: that of the test."""

    def __init__(self, clock: MovedClock) -> None:
        self.now = clock.now
        self._clock = clock

    def advance(self, seconds: float) -> None:
        parse_clock(self._clock.option).advance(seconds)
