"""The other end of the control channel: one request, one reply, blocking."""

from __future__ import annotations

import json
import socket
from typing import Any

from firmware_sim.control.address import HAS_UNIX, Address, TcpAddress
from firmware_sim.control.errors import ControlError

_TIMEOUT_S = 10.0


class ControlClient:
    """A connection to a simulator. A context manager. Raises ControlError, exit code 3 if nobody is there."""

    def __init__(self, address: Address) -> None:
        self._address = address
        try:
            self._socket = _connect(address)
        except OSError as error:
            raise ControlError(
                f"no simulator answers at {address}: {error.strerror or error}; is `firmware-sim run` still running?",
                exit_code=3,
            ) from None
        self._reader = self._socket.makefile("rb")
        if isinstance(address, TcpAddress):
            try:
                self._say({"secret": _read_secret(address)})
            except BaseException:
                self.close()
                raise

    def request(self, op: str, **fields: object) -> dict[str, Any]:
        """The fields of the reply, without its "ok"."""
        return self._say({"op": op, **fields})

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _say(self, request: dict[str, object]) -> dict[str, Any]:
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._reader.readline()
        except OSError as error:
            raise ControlError(f"the simulator at {self._address} is gone: {error}", exit_code=3) from None
        if not line.endswith(b"\n"):
            raise ControlError(f"the simulator at {self._address} closed the control channel", exit_code=3)
        reply: dict[str, Any] = json.loads(line)
        if not reply.pop("ok"):
            raise ControlError(reply["error"], exit_code=reply["exit_code"])
        return reply


def _connect(address: Address) -> socket.socket:
    if isinstance(address, TcpAddress):
        return socket.create_connection((address.host, address.port), timeout=_TIMEOUT_S)
    if not HAS_UNIX:
        raise ControlError(f"{address}: this system has no Unix sockets; run the simulator with --control tcp")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_S)
    try:
        connection.connect(str(address.path))
    except OSError:
        connection.close()
        raise
    return connection


def _read_secret(address: TcpAddress) -> str:
    try:
        return address.secret_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ControlError(f"cannot read the secret of {address}: {error}", exit_code=3) from None
