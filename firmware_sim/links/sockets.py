"""Listening sockets, of TCP and of Unix, and who calls there."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

from firmware_sim.links.port import PortError


def listen_unix(path: Path) -> socket.socket:
    """A non-blocking listening socket for this user alone, in the place of one that a killed simulator left at `path`.

    Raises OSError; EADDRINUSE when something answers there, or the file is no socket.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    _clear_away_dead_socket(path)
    umask = os.umask(0o177)  # the socket must not be open to others even for a moment
    try:
        listener.bind(str(path))
        listener.listen(8)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(umask)
    listener.setblocking(False)
    return listener


def _clear_away_dead_socket(path: Path) -> None:
    """Whatever still answers, or is no socket, stays."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:
            return


def listen(host: str, port: int) -> socket.socket:
    """A non-blocking listening socket. Raises PortError that names the address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise PortError(f"cannot listen on {host} port {port}: {error.strerror}") from None
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where SO_REUSEADDR would let another process in
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(8)
    except OSError as error:
        listener.close()
        hint = "; leave the port out to take a free one" if error.errno == errno.EADDRINUSE else ""
        raise PortError(f"cannot listen on {host} port {port}: {error.strerror}{hint}") from None
    listener.setblocking(False)
    return listener


def accept(listener: socket.socket) -> socket.socket | None:
    """Who calls, non-blocking. None if he has gone again, or cannot be had now (this process has no file left for him):
    a stranger who calls too often must not end the simulation."""
    try:
        caller, _ = listener.accept()
    except OSError:
        return None
    caller.setblocking(False)
    return caller
