"""The seam between a USB device and what it is good for: a serial line, a reader, later others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from firmware_sim.links.port import Lines
from firmware_sim.links.usb_pipes import InPipe, OutPipe
from provision.wire.usb import SetupPacket
from provision.wire.usb_descriptors import Descriptor
from provision.wire.usbip import SubmitReply


class Stalled(Exception):
    """Not an error but an answer: this control request is refused."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a function stands in its device: the numbers of its first interface and of its first endpoint. `answers`:
    where its completed transfers go."""

    interface: int
    endpoint: int
    answers: list[SubmitReply]


class Function(Protocol):
    """One function of a USB device. Interfaces and endpoints are numbered from its Place on, without gaps."""

    @property
    def interfaces(self) -> int:
        """How many it has."""

    @property
    def endpoints(self) -> int:
        """How many endpoint numbers it takes; one number may serve both directions."""

    @property
    def descriptors(self) -> tuple[Descriptor, ...]: ...

    @property
    def pipes(self) -> dict[int, InPipe | OutPipe]:
        """By bEndpointAddress."""

    @property
    def queued(self) -> int:
        """Bytes of replies that the host has not fetched."""

    def control(self, setup: SetupPacket, data: bytes) -> bytes:
        """A class or vendor request to one of its interfaces, or GET_DESCRIPTOR for one; `data` is what an OUT request
        brought. Raises Stalled."""

    def poll(self) -> float | None:
        """Say what time or a person caused; the true time (Unix seconds) at which to poll again, if any."""

    def go_on(self) -> None:
        """The host fetched something: take what waited for room."""

    def reset(self) -> None:
        """The host begins anew, or has gone: its channels forget, what was to be said is lost."""


MakeFunction = Callable[[Lines, Place], Function]
