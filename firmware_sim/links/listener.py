"""The place where hosts call a token: there while its cable is plugged in."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK, PortError
from firmware_sim.links.sockets import accept, listen, listen_unix


class Listener:
    """`bind`: an IP address, or the path of a Unix socket, which begins with a slash. `port` 0 takes a free one, which
    stays the same when it opens again. `called` gets the socket of each who calls, non-blocking.

    Anyone who reaches `bind` can talk to the token: keep it on the loopback interface.
    """

    def __init__(
        self, loop: Loop, called: Callable[[socket.socket], None], bind: str = LOOPBACK, port: int = 0
    ) -> None:
        self._loop = loop
        self._called = called
        self._bind = bind
        self._port = port
        self._socket: socket.socket | None = None

    @property
    def place(self) -> str:
        """`127.0.0.1:4000`, `[::1]:4000` or `/path`, as addresses have it."""
        if is_path(self._bind):
            return self._bind
        return f"[{self._bind}]:{self._port}" if ":" in self._bind else f"{self._bind}:{self._port}"

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self) -> None:
        """Nothing if it is open. Raises PortError."""
        if self._socket is not None:
            return
        if is_path(self._bind):
            self._socket = _listen_at(Path(self._bind))
        else:
            self._socket = listen(self._bind, self._port)
            self._port = self._socket.getsockname()[1]
        self._loop.add(self._socket.fileno(), self._accept)

    def close(self) -> None:
        """Nothing if it is closed."""
        if self._socket is None:
            return
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._socket = None
        if is_path(self._bind):
            Path(self._bind).unlink(missing_ok=True)

    def _accept(self, _events: int) -> None:
        if self._socket is not None and (caller := accept(self._socket)) is not None:
            self._called(caller)


def is_path(bind: str) -> bool:
    """Whether that names a Unix socket."""
    return bind.startswith("/")


def _listen_at(path: Path) -> socket.socket:
    try:
        return listen_unix(path)
    except OSError as error:
        raise PortError(f"cannot listen at {path}: {error.strerror or error}; name another --bind PATH") from None
