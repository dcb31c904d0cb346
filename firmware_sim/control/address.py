"""Where a control channel listens, and what stands behind the name.

unix:/run/.../0.sock                     a socket in a directory that only its owner may enter
tcp:127.0.0.1:40123@/run/.../secret      where AF_UNIX is missing: behind the secret in that file, mode 0600
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.control.errors import ControlError

HAS_UNIX = hasattr(socket, "AF_UNIX")


@dataclass(frozen=True, slots=True)
class UnixAddress:
    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    host: str
    port: int
    secret_file: Path

    def __str__(self) -> str:
        return f"tcp:{self.host}:{self.port}@{self.secret_file}"


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Raises ControlError."""
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and rest:
        return UnixAddress(Path(rest))
    if scheme == "tcp":
        where, _, secret_file = rest.partition("@")
        host, _, port = where.rpartition(":")
        if host and secret_file and port.isascii() and port.isdecimal() and 0 < int(port) < 65536:
            return TcpAddress(host, int(port), Path(secret_file))
    raise ControlError(
        f'{text!r} is no control address; give the one that `firmware-sim run` printed as "control": '
        "unix:PATH or tcp:HOST:PORT@SECRET_FILE"
    )
