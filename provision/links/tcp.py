"""A token behind a TCP port, for machines without ptys. Nothing protects this wire: keep it on 127.0.0.1."""

from __future__ import annotations

import select
import socket

from provision.clock import Clock
from provision.errors import LinkError, NotFound, Timeout, UsageError
from provision.links.framed import FramedLink
from provision.links.link import LinkOptions

DEFAULT_HOST = "127.0.0.1"


class TcpStream:
    """A ByteStream over a connected socket, of any family; its timeout becomes that of writing, seconds."""

    def __init__(self, connection: socket.socket, address: str, clock: Clock) -> None:
        self._socket = connection
        self._address = address
        self._clock = clock
        self._write_timeout_s = connection.gettimeout()
        connection.setblocking(False)

    def write(self, data: bytes) -> None:
        try:
            # All of it at once is the rule: then nothing needs to wait, and nobody asks for the time.
            if (sent := self._sent(data)) < len(data):
                self._write_rest(data[sent:])
        except (OSError, ValueError) as error:  # ValueError: select on a socket that was closed
            raise self._gone() from error

    def read(self, deadline: float) -> bytes:
        left = max(0.0, deadline - self._clock.monotonic())
        try:
            if not select.select([self._socket], [], [], left)[0]:
                return b""
            data = self._socket.recv(65536)
        except (OSError, ValueError) as error:
            raise self._gone() from error
        if not data:
            raise self._gone()
        return data

    def close(self) -> None:
        self._socket.close()

    def _write_rest(self, data: bytes) -> None:
        start = self._clock.monotonic()
        while data:
            left = None
            if self._write_timeout_s is not None:
                left = max(0.0, start + self._write_timeout_s - self._clock.monotonic())
            if not select.select([], [self._socket], [], left)[1]:
                raise Timeout(f"{self._address} takes no more data")
            data = data[self._sent(data) :]

    def _sent(self, data: bytes) -> int:
        """How much the system took."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def _gone(self) -> LinkError:
        return LinkError(f"the connection to {self._address} broke", hint="check that the token still runs there")


def host_and_port(rest: str, address: str) -> tuple[str, int]:
    """Host and port of `PORT` or `HOST:PORT`, this machine where no host is named. Raises UsageError."""
    host, _, port = rest.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        scheme = address.partition(":")[0]
        raise UsageError(f"{address} does not end in a port number", hint=f"for example {scheme}:{DEFAULT_HOST}:4000")
    return host.strip("[]") or DEFAULT_HOST, int(port)


def open_address(rest: str, options: LinkOptions) -> FramedLink:
    """`tcp:PORT` or `tcp:HOST:PORT` (an IPv6 host in brackets)."""
    address = f"tcp:{rest}"
    host, port = host_and_port(rest, address)
    try:
        connection = socket.create_connection((host, port), options.timeout_s)
    except (ConnectionRefusedError, socket.gaierror) as error:
        raise NotFound(f"nothing listens at {address}", hint="start the token, or correct the address") from error
    except TimeoutError:
        raise Timeout(f"{address} does not answer") from None
    except OSError as error:
        raise LinkError(f"cannot connect to {address}: {error.strerror}") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return FramedLink(TcpStream(connection, address, options.clock), address, options)
