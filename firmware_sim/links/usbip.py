"""The token as a USB device over USB/IP: what `usbip attach` gives a kernel, and pyusb programs open without one.

One listener for each token, which exports one device, to one host at a time. Whoever has a connected socket already
(a socketpair whose other end the kernel holds) needs no listener: `UsbipConnection`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK, Lines, Port, PortError, PortOptions
from firmware_sim.links.sockets import accept, listen, listen_unix
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
    """Implements Port. `bind`: where to listen, an IP address or the path of a Unix socket. `port` 0 takes a free one,
    which stays the same over unplug and plug.

    Anyone who reaches `bind` can talk to the token: keep it on the loopback interface.
    """

    def __init__(self, loop: Loop, device: UsbDevice, bind: str = LOOPBACK, port: int = 0) -> None:
        self._loop = loop
        self.device = device
        self._bind = bind
        self._port = port
        self._listener: socket.socket | None = None
        self._connections: list[UsbipConnection] = []  # oldest first
        self._importer: Session | None = None

    @property
    def address(self) -> str:
        if is_path(self._bind):
            return f"usbip:{self._bind}/{BUSID}"
        host = f"[{self._bind}]" if ":" in self._bind else self._bind
        return f"usbip:{host}:{self._port}/{BUSID}"

    @property
    def plugged(self) -> bool:
        return self._listener is not None

    def plug(self) -> None:
        if self._listener is not None:
            return
        if is_path(self._bind):
            self._listener = _listen_at(Path(self._bind))
        else:
            self._listener = listen(self._bind, self._port)
            self._port = self._listener.getsockname()[1]
        self._loop.add(self._listener.fileno(), self._accept)

    def unplug(self) -> None:
        if self._listener is not None:
            self._loop.remove(self._listener.fileno())
            self._listener.close()
            self._listener = None
            if is_path(self._bind):
                Path(self._bind).unlink(missing_ok=True)
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

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        client = accept(self._listener)
        if client is None:
            return
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


def is_path(bind: str) -> bool:
    """Whether that names a Unix socket."""
    return bind.startswith("/")


def _listen_at(path: Path) -> socket.socket:
    try:
        return listen_unix(path)
    except OSError as error:
        raise PortError(f"cannot listen at {path}: {error.strerror or error}; name another --bind PATH") from None


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> Port:
    return UsbipPort(loop, usb_device(lines, options.recorder), options.bind)
