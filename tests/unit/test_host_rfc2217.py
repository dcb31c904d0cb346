"""A token behind an RFC 2217 server: pyserial's own server code in this process, the token on a pty behind it."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import threading
import tty
from collections.abc import Iterator

import pytest
import serial
from serial import rfc2217

from firmware_sim.links.framed import FramedLink as DeviceFramedLink
from provision.clock import SystemClock
from provision.errors import LinkError, NotFound, UsageError
from provision.links.link import LinkOptions, open_link
from provision.wire.framing import MAX_PAYLOAD

pytestmark = [
    # Of pyserial's client: Python 3.10 would have it say `daemon` and `name`.
    pytest.mark.filterwarnings("ignore:set(Daemon|Name)\\(\\) is deprecated:DeprecationWarning:serial.rfc2217"),
    # Its close() leaves the socket to the garbage collector where the other end hung up first.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


class Echo:
    """An ApduChannel that answers with the command and 9000."""

    deadline = None

    def transmit(self, apdu: bytes) -> bytes:
        return apdu + b"\x90\x00"

    def poll(self) -> None:
        return None

    def reset(self) -> None:
        pass


class LinesOfNoPty(serial.Serial):
    """A pty as a port with modem lines: what the server sets is written down."""

    cts = dsr = ri = cd = False

    def __init__(self, *arguments, **options):
        self.history: list[tuple[str, bool]] = []
        super().__init__(*arguments, **options)

    def _update_dtr_state(self) -> None:
        self.history.append(("dtr", self._dtr_state))

    def _update_rts_state(self) -> None:
        self.history.append(("rts", self._rts_state))


class Server:
    """Serves one client, with a token behind the port. `hang_up` ends both."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"rfc2217:{self._listener.getsockname()[1]}"
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.port = LinesOfNoPty(os.ttyname(slave), timeout=0)
        os.close(slave)
        self._stop, self._end = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        device = DeviceFramedLink(Echo(), lambda: b"bootboot", MAX_PAYLOAD, SystemClock())
        if self._stop in select.select([self._listener, self._stop], [], [])[0]:
            return
        connection, _ = self._listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        manager = rfc2217.PortManager(self.port, _Writer(connection))
        with contextlib.suppress(OSError), connection:
            while True:
                ready = select.select([connection, self.port, self._master, self._stop], [], [])[0]
                if self._stop in ready:
                    return
                if self._master in ready:
                    for reply in device.receive(os.read(self._master, 65536)):
                        os.write(self._master, reply)
                if self.port in ready:
                    connection.sendall(b"".join(manager.escape(self.port.read(65536))))
                if connection in ready:
                    if not (data := connection.recv(65536)):
                        return
                    self.port.write(b"".join(manager.filter(data)))

    def hang_up(self) -> None:
        os.write(self._end, b"x")
        self._thread.join()

    def close(self) -> None:
        self.hang_up()
        self.port.close()
        self._listener.close()
        for fd in (self._master, self._stop, self._end):
            os.close(fd)


class _Writer:
    def __init__(self, connection: socket.socket) -> None:
        self.write = connection.sendall


def options(timeout_s: float = 2.0) -> LinkOptions:
    return LinkOptions(SystemClock(), random.Random(3).randbytes, timeout_s)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def test_exchange_and_modem_lines(server: Server) -> None:
    with open_link(server.address, options()) as link:
        assert link.address == server.address
        assert server.port.history[-2:] == [("dtr", True), ("rts", True)]
        for size in (1, 253, 1000, 4000):
            command = bytes(n % 256 for n in range(size))  # with every 0xFF, which telnet doubles
            assert link.exchange(command) == command + b"\x90\x00"
    assert server.port.history[-1] == ("dtr", False)


def test_the_server_goes_away(server: Server) -> None:
    with open_link(server.address, options()) as link:
        link.exchange(b"abcd")
        server.hang_up()
        for _ in range(2):
            with pytest.raises(LinkError, match=server.address):
                link.exchange(b"abcd")


def test_a_server_that_speaks_no_rfc2217_or_hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"rfc2217:127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with pytest.raises(LinkError, match=r"hung up|does not speak"):
            open_link(address, options())
        thread.join()


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotFound, match="nothing listens"):
        open_link(f"rfc2217:{port}", options())


@pytest.mark.parametrize("address", ["rfc2217:localhost", "rfc2217:127.0.0.1:0", "rfc2217:[::1]:x"])
def test_an_address_without_a_port(address: str) -> None:
    with pytest.raises(UsageError, match=r"port number.*rfc2217:127"):
        open_link(address, options())
