"""The token as a USB device over USB/IP: what `usbip attach` gives a kernel, and pyusb programs open without one.

One listener for each token, which exports one device, to one host at a time. Whoever has a connected socket already
(a socketpair whose other end the kernel holds) needs no listener: `UsbipConnection`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable

from firmware_sim.links.listener import Listener
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK, Lines, Port, PortOptions
from firmware_sim.links.stream import Stream
from firmware_sim.links.usb_device import BUSID, UsbDevice
from firmware_sim.links.usb_recorded import usb_device
from firmware_sim.links.usbip_session import Export, Session

_GUESTS = 8
"""Connections at most that have not imported anything; another one takes the place of the oldest."""


class UsbipConnection:
    """A connected socket, served until one side ends it: `on_close` is called from the loop then, but not by `close`.

    Give `device` when the other side has imported it already and sends transfers at once (vhci's attach file), `export`
    when it first has to ask. The socket is closed with the connection.
    """

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        on_close: Callable[[], None],
        *,
        device: UsbDevice | None = None,
        export: Export | None = None,
    ) -> None:
        self._sock = sock
        self._on_close = on_close
        sock.setblocking(False)
        if sock.family != getattr(socket, "AF_UNIX", None):
            # A transfer is small and is waited for.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.session = Session(self._end, device=device, export=export)
        self._stream = Stream(loop, sock.fileno(), sock.recv, sock.send, self.session, self._end)

    @property
    def drained(self) -> bool:
        """Whether the host has fetched every reply; what the socket has taken it delivers before the end."""
        return self._stream.drained and self.session.drained

    def close(self) -> None:
        """Surprise removal: the other side sees a hang-up."""
        self._stream.close()
        self.session.disconnect()
        self._sock.close()

    def _end(self) -> None:
        self.close()
        self._on_close()


class UsbipPort:
    """Implements Port. `bind`: as listener.Listener has it."""

    def __init__(self, loop: Loop, device: UsbDevice, bind: str = LOOPBACK) -> None:
        self._loop = loop
        self.device = device
        self._listener = Listener(loop, self._called, bind)
        self._connections: list[UsbipConnection] = []  # oldest first
        self._importer: Session | None = None

    @property
    def address(self) -> str:
        return f"usbip:{self._listener.place}/{BUSID}"

    @property
    def plugged(self) -> bool:
        return self._listener.is_open

    @property
    def noticed(self) -> bool:
        return self.plugged

    def plug(self) -> None:
        self._listener.open()

    def unplug(self) -> None:
        self._listener.close()
        for connection in self._connections:
            connection.close()
        self._connections.clear()
        self._importer = None

    def after_reply(self, action: Callable[[], None]) -> None:
        self._loop.when(self._is_sent, action)

    def take(self, session: Session) -> bool:
        if self._importer is not None:
            return False
        self._importer = session
        return True

    def _is_sent(self) -> bool:
        return all(connection.drained for connection in self._connections)

    def _called(self, client: socket.socket) -> None:
        guests = [one for one in self._connections if not one.session.imported]
        if len(guests) >= _GUESTS:
            self._drop(guests[0])
        self._connections.append(
            connection := UsbipConnection(self._loop, client, lambda: self._drop(connection), export=self)
        )

    def _drop(self, connection: UsbipConnection) -> None:
        connection.close()
        self._connections.remove(connection)
        if connection.session is self._importer:
            self._importer = None


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> Port:
    return UsbipPort(loop, usb_device(lines, options.recorder), options.bind)
