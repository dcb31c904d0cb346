"""Sockets of the control channel, and the directory that keeps others away from them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from firmware_sim.control.address import HAS_UNIX, Address, TcpAddress, UnixAddress
from firmware_sim.control.errors import ControlError
from firmware_sim.control.session import ControlSession, Dispatch
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK
from firmware_sim.links.sockets import accept, listen, listen_unix
from firmware_sim.links.stream import Stream

_SECRET_BYTES = 32
_STRANGERS = 8
"""Connections at most that have not told the secret; another one takes the place of the oldest."""


@contextlib.contextmanager
def control_directory() -> Iterator[Path]:
    """A fresh directory of mode 0700, gone afterwards with all that is in it."""
    path = Path(tempfile.mkdtemp(prefix="firmware-sim-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class ControlListener:
    """Accepts connections, any number of those that it trusts, and carries out what they ask.

    `secret` None: the socket itself keeps strangers away.
    """

    def __init__(
        self, loop: Loop, listener: socket.socket, address: Address, secret: str | None, dispatch: Dispatch
    ) -> None:
        self.address = address
        self._loop = loop
        self._listener = listener
        self._secret = secret
        self._dispatch = dispatch
        self._connections: dict[socket.socket, tuple[Stream, ControlSession]] = {}  # oldest first
        loop.add(listener.fileno(), self._accept)

    def close(self) -> None:
        self._loop.remove(self._listener.fileno())
        self._listener.close()
        if isinstance(self.address, UnixAddress):
            self.address.path.unlink(missing_ok=True)
        for connection in list(self._connections):
            self._drop(connection)

    def _accept(self, _events: int) -> None:
        connection = accept(self._listener)
        if connection is None:
            return
        strangers = [one for one, (_, session) in self._connections.items() if not session.trusted]
        if len(strangers) >= _STRANGERS:
            self._drop(strangers[0])
        session = ControlSession(self._dispatch, self._secret)
        stream = Stream(
            self._loop,
            connection.fileno(),
            connection.recv,
            connection.send,
            session,
            lambda: self._hung_up(connection),
        )
        self._connections[connection] = stream, session

    def _hung_up(self, connection: socket.socket) -> None:
        _, session = self._connections[connection]
        self._drop(connection)
        if session.is_lifeline:
            self._dispatch({"op": "stop"})

    def _drop(self, connection: socket.socket) -> None:
        stream, _ = self._connections.pop(connection)
        stream.close()
        connection.close()


def open_unix(loop: Loop, path: Path, dispatch: Dispatch) -> ControlListener:
    """Listen at `path`, for this user alone. Raises ControlError."""
    try:
        listener = listen_unix(path)
    except OSError as error:  # an AF_UNIX path has room for about 100 bytes
        if error.errno == errno.EADDRINUSE:
            advice = "another simulator answers there, or the file is no socket: name another --control unix:PATH"
        else:
            advice = "name another --control unix:PATH (a short one), set TMPDIR, or use --control tcp"
        raise ControlError(f"no control socket at {path}: {error.strerror or error}; {advice}", exit_code=3) from None
    return ControlListener(loop, listener, UnixAddress(path), None, dispatch)


def open_tcp(loop: Loop, secret_file: Path, randbytes: Callable[[int], bytes], dispatch: Dispatch) -> ControlListener:
    """Listen on a free port of 127.0.0.1, behind a fresh secret that is written to `secret_file`. Raises PortError."""
    listener = listen(LOOPBACK, 0)
    secret = randbytes(_SECRET_BYTES).hex()
    with open(secret_file, "x", encoding="ascii", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(secret + "\n")
    address = TcpAddress(LOOPBACK, listener.getsockname()[1], secret_file)
    return ControlListener(loop, listener, address, secret, dispatch)


def default_kind() -> str:
    """`unix` where there are Unix sockets, else `tcp`."""
    return "unix" if HAS_UNIX else "tcp"
