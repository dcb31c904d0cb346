"""`firmware-sim run`: build the tokens, wire them up, say where they are, and serve until told to stop."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_sim.clocks import SteerableClock, SystemClock, monotonic
from firmware_sim.control.errors import ControlError
from firmware_sim.control.listener import ControlListener, control_directory, open_tcp, open_unix
from firmware_sim.control.ops import perform
from firmware_sim.control.rig import Rig
from firmware_sim.core.family import Family
from firmware_sim.core.token import Token
from firmware_sim.families.family import UnknownFamily, family
from firmware_sim.flash import MemoryFlash, Supply
from firmware_sim.links.loop import Loop, stopped_by_signals
from firmware_sim.links.port import PortOptions, open_port
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import Flash

if TYPE_CHECKING:
    from firmware_sim.statefile import StateFile
    from firmware_sim.temperature import TemperatureProfile

# Per token: both ends of a pty, its control socket and one connection to it, its lock.
_FILES_PER_TOKEN = 5
_FILES_BESIDE = 64


@dataclass(frozen=True, slots=True)
class Quartz:
    """The clock of a token that has just been made. `temperature` None: 25 degrees C."""

    offset_s: Decimal = Decimal(0)
    rate_error_ppm: Decimal = Decimal(0)
    ageing_ppm_per_year: Decimal = Decimal(0)
    temperature: TemperatureProfile | None = None
    jitter_us: int = 0

    def start(self, now: float, jitter_seed: int) -> OscillatorState:
        """Raises OscillatorError."""
        return OscillatorState.start(
            now,
            offset_s=self.offset_s,
            rate_error_ppm=self.rate_error_ppm,
            ageing_ppm_per_year=self.ageing_ppm_per_year,
            temperature=self.temperature,
            jitter_us=self.jitter_us,
            jitter_seed=jitter_seed,
        )


@dataclass(frozen=True, slots=True)
class Fleet:
    """What `run` was asked for.

    `family`: of a new token. `model`, `firmware`: what a token from a state file must be; None: whatever it is.
    `serial` None: the one in the state file, else a random one; with `count` over 1, numbered. `state` None: in memory;
    with `count` over 1, a directory of state files. `control_path`: where the Unix socket is wanted; None: in a fresh
    directory of its own. `capture`: one file for all. `seed` None: randomness from the system.
    """

    family: Family
    clock: SteerableClock
    model: str | None = None
    firmware: str | None = None
    quartz: Quartz = Quartz()
    count: int = 1
    serial: str | None = None
    state: Path | None = None
    link: str = "pty"
    port: PortOptions = field(default_factory=PortOptions)
    control: str = "unix"
    control_path: Path | None = None
    capture: Path | None = None
    seed: int | None = None


def serve(fleet: Fleet, announce: Callable[[list[dict[str, str]]], None], warn: Callable[[str], None]) -> None:
    """Serve until SIGTERM, SIGINT or `stop`. `announce` gets a line for each token, once all of them are served and
    noticed (Port.noticed), or 2 s later. `warn`: something for a person, while it serves.

    Raises ControlError, StateFileError, PortError, OscillatorError, ClockError; what was opened is closed again, and a
    state file that was made for a token that could not be served is removed: the corrected command would find the
    wrong token in it.
    """
    _allow_files(fleet.count * _FILES_PER_TOKEN + _FILES_BESIDE)
    with contextlib.ExitStack() as stack, contextlib.ExitStack() as unserved:
        loop = Loop(fleet.clock, ticking=isinstance(fleet.clock, SystemClock), monotonic=monotonic)
        stack.callback(loop.close)
        stack.enter_context(stopped_by_signals(loop))
        directory = stack.enter_context(control_directory())
        options = fleet.port
        if fleet.capture is not None:
            from firmware_sim.control.capture import capture

            options = replace(options, recorder=stack.enter_context(capture(fleet.capture, fleet.clock, warn)))
        rigs, lines = zip(
            *(
                stack.enter_context(_served(fleet, options, number, rng, loop, directory, unserved))
                for number, rng in enumerate(_generators(fleet))
            ),
            strict=True,
        )
        unserved.pop_all()
        loop.when(lambda: all(rig.noticed for rig in rigs), lambda: announce(list(lines)))
        loop.run()


@contextlib.contextmanager
def _served(
    fleet: Fleet,
    options: PortOptions,
    number: int,
    rng: random.Random,
    loop: Loop,
    directory: Path,
    unserved: contextlib.ExitStack,
) -> Iterator[tuple[Rig, dict[str, str]]]:
    """One token on its port, with its control channel, and what to announce of it."""
    with contextlib.ExitStack() as stack:
        rig, serial = _make(fleet, number, rng, loop, stack, unserved)
        stack.callback(rig.close)
        address = rig.connect(lambda cable: open_port(fleet.link, loop, cable, options))
        place = fleet.control_path or directory / f"{number}.{'sock' if fleet.control == 'unix' else 'secret'}"
        control = _control(fleet, loop, place, rig)
        stack.callback(control.close)
        told = {"serial": serial, "family": fleet.family.name, "address": address, "control": str(control.address)}
        yield rig, told


def _make(
    fleet: Fleet,
    number: int,
    rng: random.Random,
    loop: Loop,
    stack: contextlib.ExitStack,
    unserved: contextlib.ExitStack,
) -> tuple[Rig, str]:
    """The token of that number, made anew or taken from its state file, and the serial that it tells."""
    supply = Supply()
    serial = fleet.serial if fleet.count == 1 else f"{fleet.serial or fleet.family.serial_prefix}{number + 1:05d}"
    kind = fleet.family
    flash: Flash
    if fleet.state is None:
        serial = serial or _random_serial(kind, rng)
        geometry = kind.flash
        flash = MemoryFlash(geometry.page_size, geometry.page_count, supply=supply)
        oscillator = QuartzOscillator(fleet.quartz.start(fleet.clock.now(), rng.getrandbits(64)))
    else:
        state = stack.enter_context(_open_state(fleet, fleet.state, serial, rng, supply, unserved))
        kind = _kind(state)
        serial, flash, oscillator = state.serial, state.flash, state.oscillator
    token = Token(family=kind, serial=serial, flash=flash, oscillator=oscillator, clock=fleet.clock, random=rng)
    return Rig(token, oscillator, flash, supply, fleet.clock, loop.stop), token.serial


def _open_state(
    fleet: Fleet, path: Path, serial: str | None, rng: random.Random, supply: Supply, unserved: contextlib.ExitStack
) -> StateFile:
    """The token in the state file, or a new one. Raises StateFileError, ControlError if it is another token."""
    from firmware_sim.statefile import StateFile
    from firmware_sim.tokenimage import TokenImage

    now = fleet.clock.now()
    if fleet.count > 1:
        _make_directory(path)
        path = path / f"{serial}.json"
    if not path.exists():
        image = TokenImage(
            family=fleet.family.name,
            serial=serial or _random_serial(fleet.family, rng),
            model=fleet.family.model,
            firmware=fleet.family.firmware_text,
            oscillator=fleet.quartz.start(now, rng.getrandbits(64)),
            page_size=fleet.family.flash.page_size,
            page_count=fleet.family.flash.page_count,
        )
        state = StateFile.create(path, image, supply=supply)
        unserved.callback(state.path.unlink, missing_ok=True)
        return state
    state = StateFile.open(path, now, supply=supply)
    for what, found, asked in (
        ("family", state.family, fleet.family.name),
        ("model", state.model, fleet.model),
        ("firmware", state.firmware, fleet.firmware),
        ("serial", state.serial, serial),
    ):
        if asked is not None and asked != found:
            state.close()
            raise ControlError(
                f"{path} holds a token of {what} {found}, not {asked}; leave --{what} out, or name another --state"
            )
    return state


def _kind(state: StateFile) -> Family:
    try:
        return family(state.family, model=state.model, firmware=state.firmware)
    except UnknownFamily as error:
        raise ControlError(f"{state.path}: {error}; use a newer firmware-sim", exit_code=9) from None


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ControlError(f"no directory for the fleet at {path}: {error.strerror}", exit_code=9) from None


def _random_serial(kind: Family, rng: random.Random) -> str:
    return f"{kind.serial_prefix}{rng.randrange(10**8):08d}"


def _generators(fleet: Fleet) -> Iterator[random.Random]:
    """A source of randomness for each token."""
    for number in range(fleet.count):
        if fleet.seed is None:
            yield random.SystemRandom()
        else:
            # Whoever names a seed wants the same token twice, challenges and all.
            yield random.Random(f"{fleet.seed}/{number}")  # noqa: S311  # asked for, and said on stderr


def _control(fleet: Fleet, loop: Loop, path: Path, rig: Rig) -> ControlListener:
    def dispatch(request: dict[str, Any]) -> dict[str, Any]:
        reply = perform(rig, request)
        loop.poll_waiting()
        return reply

    if fleet.control == "tcp":
        return open_tcp(loop, path, os.urandom, dispatch)
    return open_unix(loop, path, dispatch)


def _allow_files(needed: int) -> None:
    """Make room for `needed` open files. Raises ControlError that tells how."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ControlError(
            f"so many tokens need {needed} open files, and the limit is {hard}; "
            "raise it (`ulimit -Hn`, LimitNOFILE= in systemd) or give a smaller --count"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
