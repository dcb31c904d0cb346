"""The seam between a token and what its cable is plugged into, and the kinds there are."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from firmware_sim.core.family import CDC_ACM, Family
from firmware_sim.seams import ApduChannel, Clock, DeviceLink

if TYPE_CHECKING:
    from firmware_sim.links.loop import Loop
    from provision.wire.capture.recorder import Recorder

LOOPBACK = "127.0.0.1"


class PortError(Exception):
    """The line could not be opened. The message names it and says what to do."""


class Port(Protocol):
    """One token's socket. Starts unplugged."""

    @property
    def address(self) -> str:
        """What `provision --token` takes while plugged, for example `serial:/dev/pts/3`."""

    @property
    def plugged(self) -> bool: ...

    @property
    def noticed(self) -> bool:
        """Whether the other end has noticed the token, so that who follows the address finds it."""

    def plug(self) -> None:
        """Open the line, perhaps at another address than before. Raises PortError."""

    def unplug(self) -> None:
        """Cut the line now: the host sees a hang-up, and replies that it has not read are lost."""

    def after_reply(self, action: Callable[[], None]) -> None:
        """Call `action` from the loop as soon as the host has read the replies under way, at most 2 s later."""


class Lines(Protocol):
    """The token's end of its cable (cable.Cable): whose it is, and as many lines as a port serves."""

    @property
    def family(self) -> Family: ...

    @property
    def serial(self) -> str: ...

    @property
    def clock(self) -> Clock:
        """True time."""

    @property
    def carries(self) -> bool:
        """Whether bytes pass: the cable is whole and the token has power."""

    def line(self, make: Callable[[ApduChannel], DeviceLink]) -> DeviceLink:
        """One more line, with a channel of its own; `make` gives what is spoken on it."""

    def framed(self) -> DeviceLink:
        """One more line, which speaks the frames of docs/PROTOCOL.md section 2. Raises PortError if it has none."""


@dataclass(frozen=True, slots=True)
class PortOptions:
    """What a kind of port may need to know. `bind`: where a listener is put. `pty_link`: a symbolic link that always
    leads to the pty. `dial`: HOST:PORT of a service that the token itself calls, `reader_name`: the name under which
    PC/SC shows the reader there. `recorder`: where a port tells what passes, byte for byte, None for nowhere."""

    bind: str = LOOPBACK
    pty_link: Path | None = None
    dial: str | None = None
    reader_name: str | None = None
    recorder: Recorder | None = None


# kind -> the module whose open_port(loop, lines, options) makes such a port. Strings, so that a kind costs nothing
# where it is not used, and is missed nowhere: there is no pty on Windows.
PORTS = {
    "pty": "firmware_sim.links.pty",
    "tcp": "firmware_sim.links.tcp",
    "usbip": "firmware_sim.links.usbip",
    "vhci": "firmware_sim.links.vhci",
    "vpcd": "firmware_sim.links.vpcd",
}


def usual_kind(family: Family) -> str:
    """The best that this platform has for such a token."""
    if CDC_ACM not in family.functions:
        return "usbip"
    return "pty" if hasattr(os, "openpty") else "tcp"


def open_port(kind: str, loop: Loop, lines: Lines, options: PortOptions) -> Port:
    """A port of that kind, still unplugged. Raises PortError."""
    port: Port = importlib.import_module(PORTS[kind]).open_port(loop, lines, options)
    return port
