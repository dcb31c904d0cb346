"""Serial ports (on ptys) and TCP: opening, using, pulling the cable, and every reason why a port does not open."""

from __future__ import annotations

import concurrent.futures
import contextlib
import errno
import os
import random
import select
import socket
import threading
import tty

import pytest
from serial.tools.list_ports_common import ListPortInfo

from firmware_sim.links.framed import FramedLink as DeviceFramedLink
from provision.clock import SystemClock
from provision.errors import Busy, LinkError, NotFound, OutcomeUnknown, PermissionDenied, Timeout, UsageError
from provision.links import serial as serial_link
from provision.links.link import LinkOptions, leaves_this_machine, open_link
from provision.links.ports import Place, serial_ports
from provision.links.tcp import TcpStream
from provision.wire.framing import MAX_PAYLOAD


class Echo:
    """An ApduChannel that answers with the command and 9000."""

    deadline = None

    def transmit(self, apdu):
        return apdu + b"\x90\x00"

    def poll(self):
        return None

    def reset(self):
        pass


def options(timeout_s=2.0):
    return LinkOptions(SystemClock(), random.Random(3).randbytes, timeout_s)


def serve(fd, stop):
    """Play a token on a file descriptor until `stop` becomes readable or the other end goes."""
    device = DeviceFramedLink(Echo(), lambda: b"bootboot", MAX_PAYLOAD, SystemClock())
    with contextlib.suppress(OSError):
        while stop not in select.select([fd, stop], [], [])[0]:
            data = os.read(fd, 65536)
            if not data:
                return
            for reply in device.receive(data):
                os.write(fd, reply)


class Player:
    """`serve` in a thread; `pull` ends it and closes our end of the wire."""

    def __init__(self, fd, close):
        self._close = close
        stop, self._end = os.pipe()
        self._thread = threading.Thread(target=serve, args=(fd, stop))
        self._thread.start()
        self._stop = stop

    def pull(self):
        if self._thread.is_alive():
            os.write(self._end, b"x")
        self._thread.join()
        if self._close:
            self._close()
            self._close = None
            os.close(self._stop)
            os.close(self._end)


@pytest.fixture
def pty():
    """(address, player) of a token on a pty."""
    master, slave = os.openpty()
    tty.setraw(slave)
    name = os.ttyname(slave)
    os.close(slave)
    # Somebody must hold the slave while nobody else does, or the master reads EIO at once.
    keep = os.open(name, os.O_RDWR | os.O_NOCTTY)

    def close():
        os.close(master)
        os.close(keep)

    player = Player(master, close)
    yield f"serial:{name}", player
    player.pull()


@pytest.fixture
def tcp():
    """(address, player) of a token behind a port; accepts one connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
    accepted = []
    ready = threading.Event()

    def accept():
        connection, _ = listener.accept()
        accepted.append(Player(connection.fileno(), connection.close))
        ready.set()

    thread = threading.Thread(target=accept)
    thread.start()

    class Late:
        @staticmethod
        def pull():
            ready.wait()
            accepted[0].pull()

    yield address, Late
    if not ready.is_set():
        socket.create_connection(listener.getsockname()).close()
    thread.join()
    accepted[0].pull()
    listener.close()


@pytest.fixture(params=["pty", "tcp"])
def wire(request):
    return request.getfixturevalue(request.param)


def test_exchange(wire):
    address, _ = wire
    with open_link(address, options()) as link:
        assert link.address == address
        for size in (1, 253, 254, 255, 1000, 4000):
            command = bytes(n % 256 for n in range(size))
            assert link.exchange(command) == command + b"\x90\x00"


def test_the_cable_is_pulled(wire):
    address, player = wire
    with open_link(address, options()) as link:
        link.exchange(b"abcd")
        player.pull()
        with pytest.raises(LinkError) as caught:  # before it left, or after: the system tells when it likes
            link.exchange(b"abcd")
        assert address in str(caught.value)
        with pytest.raises(LinkError) as caught:
            link.exchange(b"abcd")
        assert not isinstance(caught.value, OutcomeUnknown)


def test_closed_twice_and_used_afterwards(wire):
    address, _ = wire
    link = open_link(address, options())
    link.close()
    link.close()
    with pytest.raises(LinkError):
        link.exchange(b"abcd")


def test_a_port_is_ours_alone(pty):
    address, _ = pty
    with open_link(address, options()), pytest.raises(Busy, match="in use"):
        open_link(address, options())
    open_link(address, options()).close()


def test_no_such_port():
    with pytest.raises(NotFound, match="/dev/no-such-port"):
        open_link("serial:/dev/no-such-port", options())


def test_a_file_is_no_port(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkError, match="cannot be opened as a serial port"):
        open_link(f"serial:{tmp_path / 'file'}", options())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EACCES, "x"), PermissionDenied),
        (OSError(errno.EPERM, "x"), PermissionDenied),
        (OSError(errno.EBUSY, "x"), Busy),
        (OSError(errno.ENXIO, "x"), NotFound),
        (OSError("could not open port 'COM3': FileNotFoundError(2, ...)"), NotFound),
        (OSError("could not open port 'COM3': PermissionError(13, ...)"), Busy),
        (OSError(errno.EIO, "x"), LinkError),
    ],
)
def test_reasons_why_a_port_does_not_open(error, kind):
    found = serial_link._open_error("serial:COM3", error)
    assert type(found) is kind
    assert "serial:COM3" in found.message
    assert found.hint


def test_silence_on_a_port():
    master, slave = os.openpty()
    try:
        with pytest.raises(Timeout, match="nothing at serial:"):
            open_link(f"serial:{os.ttyname(slave)}", options(0.05))
    finally:
        os.close(master)
        os.close(slave)


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NotFound, match="nothing listens"):
        open_link(f"tcp:{port}", options())


@pytest.mark.parametrize("address", ["tcp:localhost", "tcp:127.0.0.1:0", "tcp:127.0.0.1:70000", "tcp:1:x", "tcp:²"])
def test_a_tcp_address_without_a_port(address):
    with pytest.raises(UsageError, match="port number"):
        open_link(address, options())


@pytest.mark.parametrize("address", ["", "serial", "serial:", "smoke:signals", "/dev/ttyACM0"])
def test_addresses_that_name_no_wire(address):
    with pytest.raises(UsageError, match="unknown token address"):
        open_link(address, options())


def test_ports_are_found_through_links_once(tmp_path, monkeypatch):
    master, slave = os.openpty()
    monkeypatch.setattr("serial.tools.list_ports.comports", list)
    try:
        name = os.ttyname(slave)
        (tmp_path / "desk").symlink_to(name)
        (tmp_path / "same").symlink_to(name)
        (tmp_path / "dangling").symlink_to("/dev/no-such-port")
        (tmp_path / "file").write_text("")
        assert serial_ports(tmp_path) == [Place(f"serial:{tmp_path / 'desk'}", chosen=True)]
    finally:
        os.close(master)
        os.close(slave)
    assert serial_ports(tmp_path / "absent") == []


def test_a_linked_port_keeps_what_usb_says_of_it(tmp_path, monkeypatch):
    token, modem = ListPortInfo("/dev/null"), ListPortInfo("/dev/full")
    token.vid, token.pid, token.product, token.serial_number = 0x1209, 1, "hwtoken reference token", "SN-1"
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda: [modem, token])
    monkeypatch.setattr("provision.links.ports.UDEV_LINKS", tmp_path)
    (tmp_path / "SN-1").symlink_to("/dev/null")
    assert serial_ports() == [
        Place(f"serial:{tmp_path / 'SN-1'}", 0x1209, 1, "hwtoken reference token", "SN-1", chosen=True),
        Place("serial:/dev/full"),
    ]


class TestTcpStream:
    def pair(self, timeout_s):
        near, far = socket.socketpair()
        near.settimeout(timeout_s)
        return TcpStream(near, "tcp:test", SystemClock()), far

    def test_more_than_the_system_takes_at_once_arrives_whole(self):
        stream, far = self.pair(5.0)
        data = random.Random(1).randbytes(3_000_000)
        with far, contextlib.closing(stream), concurrent.futures.ThreadPoolExecutor(1) as other:
            received = other.submit(lambda: b"".join(iter(lambda: far.recv(65536), b"")))
            stream.write(data)
            stream.close()
            assert received.result(10) == data

    def test_a_peer_that_does_not_read_is_a_timeout(self):
        stream, far = self.pair(0.05)
        with far, contextlib.closing(stream), pytest.raises(Timeout):
            stream.write(bytes(3_000_000))

    @pytest.mark.parametrize("use", [lambda stream: stream.write(b"x"), lambda stream: stream.read(0.0)])
    def test_a_closed_one_is_gone(self, use):
        stream, far = self.pair(1.0)
        far.close()
        stream.close()
        with pytest.raises(LinkError, match="broke"):
            use(stream)


@pytest.mark.parametrize(
    ("address", "leaves"),
    [
        ("tcp:4000", False),
        ("tcp:127.0.0.1:4000", False),
        ("tcp:[::1]:4000", False),
        ("usbip:localhost:4000/1-1", False),
        ("usbip:/run/token.sock/1-1", False),
        ("serial:/dev/ttyACM0", False),
        ("usb:1209:0001/10.0.0.1", False),
        ("tcp:10.0.0.1:4000", True),
        ("usbip:[2001:db8::1]:3240/1-1", True),
        ("rfc2217:console.example.org:2217", True),
    ],
)
def test_wires_that_leave_this_machine_in_the_clear(address: str, leaves: bool) -> None:
    assert leaves_this_machine(address) is leaves
