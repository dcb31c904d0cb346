"""A round trip of 64 bytes over USB/IP with no kernel, beside PyPI `usbip`'s own host API: `python -m bench.usb`.

On both sides a device echoes a bulk transfer of 64 bytes: OUT, then IN. Ours is the token's card reader, with a card
that gives back what it gets, driven by stock pyusb on the backend of provision/links/usbip_backend.py. Theirs is an
interface of six lines, driven by `Handle.bulk_out` and `bulk_in`, which do what pyusb would ask a backend for.

In one process theirs is its Loopback, a thread at the other end of a socketpair; ours is a device that is called. Over
TCP both devices are processes of their own. Theirs leaves TCP_NODELAY off and sends header and payload apart, so it is
measured once as it comes, and once with the option set from outside.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Callable
from statistics import median

import usb.core
import usbip
from usbip.device import In, Out, USBDevice
from usbip.function import Interface

from bench.links import Row
from firmware_sim.clocks import SystemClock as DeviceClock
from firmware_sim.clocks import monotonic
from firmware_sim.families.family import family
from firmware_sim.links.framed import FramedLink
from firmware_sim.links.loop import Loop, stopped_by_signals
from firmware_sim.links.usb_device import UsbDevice
from firmware_sim.links.usbip import UsbipPort
from firmware_sim.links.usbip_session import Session
from firmware_sim.seams import ApduChannel, DeviceLink
from provision.clock import Clock, SystemClock
from provision.links.framed import ByteStream
from provision.links.usbip_backend import UsbipBackend
from provision.links.usbip_connection import connect
from provision.wire.ccid import IccPowerOn, XfrBlock

RUNS = 5
PAYLOAD = 64
_VID, _PID = 0x1209, 0x0001
_READER_OUT, _READER_IN = 0x03, 0x83  # of the reference token: its serial line comes first
_ROOM = 2 * PAYLOAD  # more than comes: a transfer that fills a host's buffer would be followed by an empty one


class _EchoChannel:
    """An ApduChannel whose card gives back what it gets."""

    deadline = None

    def transmit(self, apdu: bytes) -> bytes:
        return apdu

    def poll(self) -> None:
        return None

    def reset(self) -> None:
        """There is nothing to forget."""


class _EchoLines:
    """Lines to such cards, inside the reference token's USB device."""

    family = family("reference")
    serial = "ECHO"
    clock = DeviceClock()
    carries = True

    def line(self, make: Callable[[ApduChannel], DeviceLink]) -> DeviceLink:
        return make(_EchoChannel())

    def framed(self) -> DeviceLink:
        return self.line(lambda channel: FramedLink(channel, lambda: bytes(8), 4096, self.clock))


class _CalledDevice:
    """A ByteStream whose other end is called: what a USB/IP server would send is there when `write` returns."""

    def __init__(self) -> None:
        self.device = UsbDevice(_EchoLines())
        self._session = Session(lambda: None, export=self)
        self._out = b""

    def take(self, session: Session) -> bool:
        return True

    def write(self, data: bytes) -> None:
        self._out += b"".join(self._session.receive(data))

    def read(self, deadline: float) -> bytes:
        data, self._out = self._out, b""
        return data

    def close(self) -> None:
        self._session.disconnect()


class _TheirEcho(Interface):
    tx = In(0x81)
    rx = Out(0x01)

    def on_out(self, ep: object, data: bytes) -> None:
        self.tx.write(data)


def serve_ours() -> None:
    """A process: our echo on a free port, which it prints."""
    loop = Loop(DeviceClock(), ticking=True, monotonic=monotonic)
    port = UsbipPort(loop, UsbDevice(_EchoLines()))
    port.plug()
    print(port.address.removeprefix("usbip:").partition("/")[0], flush=True)
    with stopped_by_signals(loop):
        loop.run()


def serve_theirs() -> None:
    """A process: their echo on a free port, which it prints."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _their_device().plug(via=usbip.USBIP("127.0.0.1", port))
    print(port, flush=True)
    sys.stdin.read()


def rows() -> list[Row]:
    with _Process("serve_ours") as ours, _Process("serve_theirs") as theirs:
        transport = usbip.USBIP("127.0.0.1", int(theirs.said))
        near, far = _ours("", lambda where, clock: _CalledDevice()), _ours(ours.said)
        their_near = _theirs(usbip.Loopback(), serve=True)
        as_it_comes, their_far = _theirs(transport, rounds=20), _theirs(transport, no_delay=True)
        # In turns, so that what else the machine does falls on all of them.
        measured = [[act() for act in (near, far, their_near, their_far)] for _ in range(RUNS)]
        near_rate, far_rate, their_near_rate, their_far_rate = (
            median(column) for column in zip(*measured, strict=True)
        )
        slow = as_it_comes()
    return [
        Row(
            "64 bytes over USB in process",
            f"{near_rate:,.0f}/s",
            f"PyPI usbip {their_near_rate:,.0f}/s: {near_rate / their_near_rate:.1f} x",
            ">= 5,000, >= 1 x",
        ),
        Row(
            "64 bytes over USB/IP on TCP",
            f"{far_rate:,.0f}/s",
            f"PyPI usbip {slow:,.0f}/s, NODELAY {their_far_rate:,.0f}/s",
            ">= 5,000, >= as it comes",
        ),
    ]


def _ours(where: str, dial: Callable[[str, Clock], ByteStream] = connect) -> Callable[[], float]:
    """Round trips per second through stock pyusb."""
    backend = UsbipBackend(where, None, SystemClock(), dial)
    backend.foretell(_READER_OUT, _READER_IN, _ROOM)  # as links/usb.py does
    device = usb.core.find(backend=backend)
    device.write(_READER_OUT, IccPowerOn(0, 0).encode())
    device.read(_READER_IN, _ROOM)
    message = array("B", XfrBlock(0, 0, data=bytes(PAYLOAD - 10)).encode())
    assert len(message) == PAYLOAD
    buffer = array("B", bytes(_ROOM))

    def round_trip() -> None:
        device.write(_READER_OUT, message)
        assert device.read(_READER_IN, buffer) == PAYLOAD

    return lambda: _rate(round_trip)


def _their_device() -> USBDevice:
    device = USBDevice(_VID, _PID)
    device.add(_TheirEcho())
    return device


def _theirs(
    transport: usbip.Transport, *, serve: bool = False, no_delay: bool = False, rounds: int = 1_000
) -> Callable[[], float]:
    """Round trips per second through usbip's Handle, opened for each measurement: it serves one at a time."""
    if serve:
        _their_device().plug(via=transport)
    message = bytes(PAYLOAD)

    def measure() -> float:
        with usbip.open(_VID, _PID, transport=transport) as handle:
            if no_delay:
                handle.conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def round_trip() -> None:
                handle.bulk_out(0x01, message)
                assert len(handle.bulk_in(0x81, PAYLOAD)) == PAYLOAD

            return _rate(round_trip, rounds)

    return measure


def _rate(round_trip: Callable[[], None], rounds: int = 1_000) -> float:
    start = time.perf_counter()
    for _ in range(rounds):
        round_trip()
    return rounds / (time.perf_counter() - start)


class _Process:
    """`python -c` with one of the functions here; `said`: its first line."""

    def __init__(self, function: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"from bench.usb import {function}; {function}()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.said = self._process.stdout.readline().strip()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


def main() -> None:
    for row in rows():
        print(f"{row.what:<34}{row.measured:<20}{row.beside:<38}{row.goal}")


if __name__ == "__main__":
    main()
