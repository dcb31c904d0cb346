"""What the conformance suite runs against: kinds of tokens, and the wires they hang on. A family adds a Kind."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient
from firmware_sim.core.family import CDC_ACM
from firmware_sim.core.family import Family as SimulatedFamily
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.links.framed import FramedLink as DeviceFramedLink
from firmware_sim.seams import Battery
from firmware_sim.testing.bench import SteadyOscillator
from provision.clock import Clock, FileClock
from provision.families.driver import Session, load
from provision.links.inprocess import open_channel, open_device
from provision.links.link import Link, LinkOptions, open_link
from provision.model import Algorithm, Capability, ClockKind, OtpParameters

START = 1_767_225_600.25  # 2026-01-01 00:00:00.25 UTC: between two edges

PATIENCE_S = 20.0  # with a process on a busy machine, or in a guest

ALL_HASHES = frozenset(Algorithm)

_QUICK = ("inprocess", "usbip")
_ALL = (*_QUICK, "vpcd", "vhci")  # one token of each family takes the slow ways


@dataclass(frozen=True)
class Kind:
    """A token of a family, and what it can hold.

    `links`: where the suite meets it. `room`: how many credentials. `name_bytes`: the longest name, 0 where it knows
    none. `touch`: whether a credential may demand one. `renames`: whether it may get another name.
    """

    name: str
    family: str
    serial: str
    capabilities: frozenset[Capability]
    clock: ClockKind
    room: int
    name_bytes: int
    links: tuple[str, ...] = _ALL
    model: str | None = None
    firmware: str | None = None
    hashes: frozenset[Algorithm] = ALL_HASHES
    digits: tuple[int, ...] = (6, 7, 8)
    steps_s: tuple[int, ...] = (30, 45, 60, 3600)
    hotp: bool = True
    touch: bool = True
    renames: bool = True

    @property
    def simulated(self) -> SimulatedFamily:
        return family(self.family, model=self.model, firmware=self.firmware)

    @property
    def own_clock(self) -> bool:
        return self.clock is not ClockKind.NONE


_YUBIKEY = frozenset(
    {
        Capability.LIST,
        Capability.CODE_READ,
        Capability.ADMIN_KEY,
        Capability.OWN_KEY,
        Capability.FACTORY_RESET,
        Capability.KEYLESS_RESET,
        Capability.READ_LOCK,
    }
)
_NO_SHA512 = frozenset({Algorithm.SHA1, Algorithm.SHA256})

KINDS = (
    Kind(
        "reference",
        "reference",
        "HT-0001",
        frozenset(
            {
                Capability.LIST,
                Capability.CODE_READ,
                Capability.CLOCK_READ,
                Capability.CLOCK_SET,
                Capability.PIN,
                Capability.ADMIN_KEY,
                Capability.CHECK_VALUE,
                Capability.RENAME_TOKEN,
                Capability.FACTORY_RESET,
            }
        ),
        ClockKind.FREE,
        room=64,
        name_bytes=64,
        links=("pty", *_ALL),
    ),
    Kind("yubikey 5.7.4", "yubikey", "20260101", _YUBIKEY, ClockKind.NONE, room=64, name_bytes=64),
    Kind(
        "yubikey 4.2.7",
        "yubikey",
        "5260101",
        _YUBIKEY,
        ClockKind.NONE,
        room=32,
        name_bytes=64,
        links=_QUICK,
        firmware="4.2.7",
        hashes=_NO_SHA512,
        renames=False,
    ),
    Kind(
        "molto2",
        "molto2",
        "826658719844499",
        frozenset(
            {
                Capability.LIST,
                Capability.CLOCK_READ,
                Capability.CLOCK_SET,
                Capability.ADMIN_KEY,
                Capability.OWN_KEY,
                Capability.FACTORY_RESET,
                Capability.KEYLESS_RESET,
                Capability.BUTTON_CONFIRMS,
                Capability.SCREEN_LOCK,
            }
        ),
        ClockKind.FREE,
        room=100,
        name_bytes=12,
        hashes=_NO_SHA512,
        digits=(6, 8),
        steps_s=(30, 60),
        hotp=False,
        touch=False,
    ),
    *(
        Kind(
            f"token2 {model}",
            "token2",
            f"{prefix}0000001",
            frozenset({Capability.CLOCK_READ, Capability.CLOCK_SET}),
            clock,
            room=1,
            name_bytes=0,
            links=links,
            model=model,
            hashes=_NO_SHA512,
            digits=(6,),
            steps_s=(30, 60),
            hotp=False,
            touch=False,
        )
        for model, prefix, clock, links in (
            ("OTPC-P2-i", family("token2", model="OTPC-P2-i").serial_prefix, ClockKind.WITH_SEED, _ALL),
            ("C302-i", family("token2", model="C302-i").serial_prefix, ClockKind.FREE, _QUICK),
        )
    ),
)


class Target(Protocol):
    """A blank token, as from its factory, and the world around it. `clock`: the station's, true time here."""

    kind: Kind
    clock: Clock

    def open(self) -> Link: ...

    def session(self) -> Session: ...

    def press(self) -> str:
        """The button; what the screen shows then."""

    def press_button_when_asked(self) -> None: ...

    def shift_clock(self, seconds: int) -> None:
        """Make the token's clock wrong by that much."""

    def stop_clock(self) -> None: ...

    def restart(self) -> None:
        """Power off and on, the wire staying plugged in."""


def code_of(target: Target, session: Session, name: str, parameters: OtpParameters) -> tuple[str, int]:
    """A code of a TOTP credential now, as its owner gets it, and its step."""
    now = parameters.step_at(target.clock.now())
    if Capability.CODE_READ in target.kind.capabilities:
        if target.kind.own_clock:
            code = session.calculate(name)
            assert code.device_s is not None
            return code.value, parameters.step_at(code.device_s)
        return session.calculate(name, step=now).value, now
    for _ in range(target.kind.room):
        shown, _, code = target.press().rpartition(" ")
        if not target.kind.name_bytes or shown.partition(".")[2] == name:
            return code, now
    raise AssertionError(f"no code of {name} on the screen")


class InProcess:
    """A token in this process: behind serial frames if it has a serial line, else APDU by APDU."""

    def __init__(self, kind: Kind, clock: Clock) -> None:
        self.kind = kind
        self.clock = clock
        self.random = random.Random(20260101)
        self.oscillator = SteadyOscillator()
        simulated = kind.simulated
        self.flash = MemoryFlash(simulated.flash.page_size, simulated.flash.page_count)
        self.token = Token(
            family=simulated,
            serial=kind.serial,
            flash=self.flash,
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.token.power_on()
        self.channel = self.token.open_channel()
        self.device = DeviceFramedLink(self.channel, lambda: self.token.boot_id, simulated.limits.max_apdu, self.clock)
        self._framed = CDC_ACM in simulated.functions
        self._press = False

    def open(self) -> Link:
        return self.link(LinkOptions(self.clock, self.random.randbytes, on_pending=self._pending))

    def link(self, options: LinkOptions, address: str = "inprocess:") -> Link:
        if self._framed:
            return open_device(self.device, options, address)
        return open_channel(self.channel, options, address)

    def session(self) -> Session:
        return load(self.kind.family).open(self.open(), self.clock, self.random.randbytes)

    def press(self) -> str:
        self.token.press_button()
        return self.token.screen()

    def press_button_when_asked(self) -> None:
        self._press = True

    def shift_clock(self, seconds: int) -> None:
        self.oscillator.offset_us += seconds * 1_000_000

    def stop_clock(self) -> None:
        self.oscillator.battery = Battery.STOPPED

    def restart(self) -> None:
        self.token.power_off()
        self.device.disconnect()
        self.token.power_on()

    def _pending(self, seconds_left: int) -> None:
        if self._press:
            self._press = False
            self.token.press_button()


class Process:
    """A token in a process of its own, steered through its control channel; blank again by `begin`.

    `link`: the wire it hangs on, as `firmware-sim run --link` names it. `within`: a command that carries out another.
    """

    def __init__(self, folder: Path, kind: Kind, link: str, within: Sequence[str] = ()) -> None:
        self.kind = kind
        path = folder / "clock"
        path.write_text(f"{START}\n")
        self.clock = FileClock(path)
        command = [*within, sys.executable, "-m", "firmware_sim", "run", "--family", kind.family, "--link", link]
        command += ["--serial", kind.serial, "--clock", f"file:{path}", "--json"]
        for option, value in (("--model", kind.model), ("--firmware", kind.firmware)):
            command += [option, value] if value else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        born = json.loads(self._process.stdout.readline())
        assert "address" in born, born
        self._address = born["address"]
        self._control = ControlClient(parse_address(born["control"]))
        self._random = random.Random(20260101)
        self._links: list[Link] = []
        self._press = False

    def begin(self) -> None:
        self._press = False
        self._control.request("battery", event="replace")
        can = self.kind.capabilities
        if Capability.KEYLESS_RESET in can:
            self.session().factory_reset()
            if Capability.BUTTON_CONFIRMS in can:
                self.press()
        elif Capability.FACTORY_RESET in can:
            self._power("off")
            self._power("on", hold_button=True)
        session = self.session()
        session.authenticate(None)
        if Capability.FACTORY_RESET not in can:
            session.reset()
        if Capability.CLOCK_SET in can:
            # A new battery leaves the clock waiting to be set.
            session.assume(OtpParameters())
            session.write_clock(int(self.clock.now()))
        self.end()
        self._control.request("oscillator", offset_s=0)

    def end(self) -> None:
        while self._links:
            self._links.pop().close()

    def close(self) -> None:
        self._control.close()
        self._process.terminate()
        assert self._process.wait(10) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()

    def open(self) -> Link:
        self.end()  # a port has one owner
        options = LinkOptions(self.clock, self._random.randbytes, PATIENCE_S, on_pending=self._pending)
        link = open_link(self._address, options)
        self._links.append(link)
        return link

    def session(self) -> Session:
        return load(self.kind.family).open(self.open(), self.clock, self._random.randbytes)

    def press(self) -> str:
        screen: str = self._control.request("press")["screen"]
        return screen

    def press_button_when_asked(self) -> None:
        self._press = True

    def shift_clock(self, seconds: int) -> None:
        self._control.request("oscillator", offset_s=seconds)

    def stop_clock(self) -> None:
        self._control.request("battery", event="dead")

    def restart(self) -> None:
        self._power("off")
        self._power("on")

    def _power(self, state: str, **more: bool) -> None:
        self._control.request("power", state=state, **more)

    def _pending(self, seconds_left: int) -> None:
        if self._press:
            self._press = False
            self._control.request("press")
        else:
            self._control.request("advance", seconds=seconds_left + 1)


class Card(Process):
    """As a card in a reader, which takes its time to notice that a card went or came."""

    def _power(self, state: str, **more: bool) -> None:
        from tests.pcsc import wait_for_card  # needs pyscard, which only the lane with a reader has

        super()._power(state, **more)
        wait_for_card.main(self._address.removeprefix("pcsc:"), "present" if state == "on" else "absent")
