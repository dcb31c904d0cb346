"""The seam to a token's wire, and the addresses that name one."""

from __future__ import annotations

import importlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from provision.clock import Clock
from provision.errors import UsageError

if TYPE_CHECKING:
    from provision.wire.capture.recorder import Recorder


class Link(Protocol):
    """An open way to one token: command APDUs out, response APDUs back. A context manager.

    `exchange` returns the response APDU (data and status word) and raises Timeout or another LinkError when none came,
    OutcomeUnknown when the command had left and the token restarted or vanished before it answered,
    RemoteProtocolError when the other side broke the protocol. Deadlines run on the monotonic clock.
    """

    @property
    def address(self) -> str: ...

    def exchange(self, command: bytes) -> bytes: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What every kind of link needs from its caller.

    `timeout_s`: how long a token that is not waiting for a person may take to answer, seconds.
    `randbytes`: where session nonces come from. `on_pending`: called with the seconds left while a touch is awaited.
    `recorder`: where a link tells what passes on its wire, byte for byte, None for nowhere.
    """

    clock: Clock
    randbytes: Callable[[int], bytes]
    timeout_s: float = 2.0
    on_pending: Callable[[int], None] | None = None
    recorder: Recorder | None = None


# scheme -> "module:function"; each function takes (the rest of the address, LinkOptions) and returns a Link.
# Strings, so that naming an address pays only for its own kind of wire.
LINKS = {
    "rfc2217": "provision.links.rfc2217:open_address",
    "serial": "provision.links.serial:open_address",
    "tcp": "provision.links.tcp:open_address",
    "usb": "provision.links.usb:open_address",
    "usbip": "provision.links.usbip:open_address",
    "pcsc": "provision.links.pcsc:open_address",
}


_IN_THE_CLEAR = ("rfc2217", "tcp", "usbip")


def leaves_this_machine(address: str) -> bool:
    """Whether PIN and codes cross a network where nothing protects them: such a wire, to another host than this."""
    scheme, _, rest = address.partition(":")
    host = rest.partition("/")[0].rpartition(":")[0].strip("[]")
    if scheme not in _IN_THE_CLEAR or host in ("", "localhost"):
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True  # a name: who knows where it leads


def open_link(address: str, options: LinkOptions) -> Link:
    """The link that `serial:/dev/ttyACM0` (or another scheme) names. Raises UsageError, LinkError."""
    scheme, _, rest = address.partition(":")
    if scheme not in LINKS or not rest:
        raise UsageError(
            f"unknown token address {address!r}",
            hint=f"use {', '.join(f'{s}:...' for s in LINKS)}; `provision list` shows them",
        )
    module, _, function = LINKS[scheme].partition(":")
    link: Link = getattr(importlib.import_module(module), function)(rest, options)
    return link
