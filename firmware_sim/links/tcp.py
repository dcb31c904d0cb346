"""The token's serial line over TCP, for machines without pseudo-terminals. One client at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable

from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK, Lines, PortOptions
from firmware_sim.links.recorded import recorded
from firmware_sim.links.sockets import accept, listen
from firmware_sim.links.stream import Stream
from firmware_sim.seams import DeviceLink


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> TcpPort:
    return TcpPort(loop, recorded(lines.framed(), options.recorder), options.bind)


class TcpPort:
    """Implements Port. `port` 0 takes a free one; it stays the same over unplug and plug.

    Anyone who reaches `host` and the port can talk to the token: keep it on the loopback interface.
    """

    def __init__(self, loop: Loop, link: DeviceLink, host: str = LOOPBACK, port: int = 0) -> None:
        self._loop = loop
        self._link = link
        self._host = host
        self._port = port
        self._listener: socket.socket | None = None
        self._client: socket.socket | None = None
        self._stream: Stream | None = None

    @property
    def address(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"tcp:{host}:{self._port}"

    @property
    def plugged(self) -> bool:
        return self._listener is not None

    def plug(self) -> None:
        if self._listener is not None:
            return
        self._listener = listen(self._host, self._port)
        self._port = self._listener.getsockname()[1]
        self._loop.add(self._listener.fileno(), self._accept)

    def unplug(self) -> None:
        if self._listener is not None:
            self._loop.remove(self._listener.fileno())
            self._listener.close()
            self._listener = None
        self._drop_client()
        self._link.disconnect()

    def after_reply(self, action: Callable[[], None]) -> None:
        # The kernel delivers what it took before it announces the end.
        self._loop.when(self._is_sent, action)

    def _is_sent(self) -> bool:
        return self._stream is None or self._stream.drained

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        client = accept(self._listener)
        if client is None:
            return
        if self._client is not None:
            client.close()
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = client
        self._stream = Stream(self._loop, client.fileno(), client.recv, client.send, self._link, self._client_closed)

    def _client_closed(self) -> None:
        self._drop_client()
        self._link.disconnect()

    def _drop_client(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        if self._client is not None:
            self._client.close()
            self._client = None
