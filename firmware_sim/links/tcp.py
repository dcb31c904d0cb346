"""The token's serial line over TCP, for machines without pseudo-terminals. One client at a time."""

from __future__ import annotations

import socket
from collections.abc import Callable

from firmware_sim.links.listener import Listener
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK, Lines, PortOptions
from firmware_sim.links.recorded import recorded
from firmware_sim.links.stream import Stream
from firmware_sim.seams import DeviceLink


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> TcpPort:
    return TcpPort(loop, recorded(lines.framed(), options.recorder), options.bind)


class TcpPort:
    """Implements Port. `host`, `port`: as listener.Listener has it."""

    def __init__(self, loop: Loop, link: DeviceLink, host: str = LOOPBACK, port: int = 0) -> None:
        self._loop = loop
        self._link = link
        self._listener = Listener(loop, self._called, host, port)
        self._client: socket.socket | None = None
        self._stream: Stream | None = None

    @property
    def address(self) -> str:
        return f"tcp:{self._listener.place}"

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
        self._drop_client()
        self._link.disconnect()

    def after_reply(self, action: Callable[[], None]) -> None:
        # The kernel delivers what it took before it announces the end.
        self._loop.when(self._is_sent, action)

    def _is_sent(self) -> bool:
        return self._stream is None or self._stream.drained

    def _called(self, client: socket.socket) -> None:
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
