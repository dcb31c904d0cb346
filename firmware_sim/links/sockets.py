"""Unix sockets that only this user can reach."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listen_unix(path: Path) -> socket.socket:
    """A non-blocking listening socket at `path`, in the place of one that a killed simulator left there.

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
