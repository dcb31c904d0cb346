"""A serial port behind a network, by RFC 2217 (ser2net, console servers): pyserial's client.

Nothing protects this wire either: PIN and codes cross it in the clear. So the host is 127.0.0.1 unless the address
names another.

pyserial changes no setting without asking the server, which costs 50 ms and more, the read timeout among them.
Reading therefore waits in slices of a fixed one.
"""

from __future__ import annotations

import contextlib
import socket

import serial
from serial import rfc2217

from provision.clock import Clock
from provision.errors import LinkError, NotFound, Timeout
from provision.links.framed import FramedLink
from provision.links.link import LinkOptions
from provision.links.serial import BIT_RATE
from provision.links.tcp import host_and_port

_SLICE_S = 0.05


class Rfc2217Stream:
    """A ByteStream over a negotiated port."""

    def __init__(self, port: rfc2217.Serial, address: str, clock: Clock) -> None:
        self._port = port
        self._address = address
        self._clock = clock
        self._alive = True

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._gone() from error

    def read(self, deadline: float) -> bytes:
        try:
            while True:
                if first := self._port.read(1):
                    return first + self._port.read(self._port.in_waiting)
                if self._clock.monotonic() >= deadline:
                    return b""
        except (serial.SerialException, OSError) as error:
            raise self._gone() from error

    def close(self) -> None:
        """Drops DTR first, as closing a port of one's own does: a server may keep its port open when we are gone, and
        the token must know that nobody is there."""
        if self._alive and self._port.is_open:
            with contextlib.suppress(serial.SerialException, ValueError, OSError):  # refused, or gone meanwhile
                self._port.dtr = False
        self._port.close()

    def _gone(self) -> LinkError:
        self._alive = False
        return LinkError(f"the connection to {self._address} broke", hint="check that its server still runs")


def open_address(rest: str, options: LinkOptions) -> FramedLink:
    """`rfc2217:PORT` or `rfc2217:HOST:PORT` (an IPv6 host in brackets)."""
    address = f"rfc2217:{rest}"
    host, number = host_and_port(rest, address)
    url = f"rfc2217://{f'[{host}]' if ':' in host else host}:{number}"
    try:
        port = rfc2217.Serial(url, BIT_RATE, timeout=_SLICE_S)
    except (serial.SerialException, OSError, ValueError) as error:
        raise _open_error(address, error) from error
    return FramedLink(Rfc2217Stream(port, address, options.clock), address, options)


def _open_error(address: str, error: Exception) -> LinkError:
    cause = error.__context__ or error  # pyserial wraps the system's reason as text
    if isinstance(cause, TimeoutError):
        return Timeout(f"{address} does not answer")
    if isinstance(cause, ConnectionRefusedError | socket.gaierror):
        return NotFound(f"nothing listens at {address}", hint="start the server, or correct the address")
    if isinstance(cause, ConnectionError):
        return LinkError(f"the server at {address} hung up", hint="look whether another client uses its port")
    return LinkError(f"the server at {address} does not speak RFC 2217", hint="for a plain socket use tcp:HOST:PORT")
