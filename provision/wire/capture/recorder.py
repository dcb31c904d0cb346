"""Records wires into one pcapng file. Sans-IO: the file and the clock are given.

A link asks the Recorder for a tap on its wire, and tells the tap what passes. Everything is told as the host sees it,
on both sides: the captures of both ends of a wire have the same form.
"""

from __future__ import annotations

from collections.abc import Callable

from provision.wire.capture import pcapng
from provision.wire.capture.linktypes import (
    IN_PROGRESS,
    LinkType,
    Transfer,
    UrbEvent,
    apdu_packet,
    serial_packet,
    usb_packet,
)
from provision.wire.capture.mask_apdu import ApduMask
from provision.wire.capture.mask_line import LineMask
from provision.wire.capture.mask_usb import UsbMask
from provision.wire.capture.pcapng import Direction
from provision.wire.usb import SetupPacket


class Recorder:
    """`write` takes whole blocks, in order. `now`: Unix seconds UTC. `application`: the name of the program."""

    def __init__(self, write: Callable[[bytes], None], now: Callable[[], float], application: str) -> None:
        self._write = write
        self._now = now
        self._interfaces = 0
        write(pcapng.section_header(application))

    def serial(self) -> SerialTap:
        """For a line of bytes with frames on it."""
        return SerialTap(self._interface(LinkType.RTAC_SERIAL, "serial"))

    def apdus(self) -> ApduTap:
        """For a wire that carries whole APDUs, such as PC/SC."""
        return ApduTap(self._interface(LinkType.WIRESHARK_UPPER_PDU, "apdu"))

    def usb(self, bus: int, device: int, configuration: bytes) -> UsbTap:
        """For one USB device, known by these numbers. `configuration`: as GET_DESCRIPTOR gives it."""
        return UsbTap(self._interface(LinkType.USB_LINUX_MMAPPED, "usb"), bus, device, configuration)

    def _interface(self, link_type: LinkType, kind: str) -> _Interface:
        number = self._interfaces
        self._interfaces += 1
        # No address in the name: a path or a host may be in one.
        self._write(pcapng.interface(link_type, f"{kind}{number}"))
        return _Interface(self._write, self._now, number)


class _Interface:
    """One wire in the file."""

    def __init__(self, write: Callable[[bytes], None], now: Callable[[], float], number: int) -> None:
        self._write = write
        self.now = now
        self._number = number

    def packet(self, time_s: float, direction: Direction, data: bytes) -> None:
        self._write(pcapng.packet(self._number, time_s, direction, data))


class SerialTap:
    """A packet holds the frames that the bytes completed; bytes that complete none wait for the rest of their frame."""

    def __init__(self, interface: _Interface) -> None:
        self._interface = interface
        self._mask = LineMask()

    def to_token(self, data: bytes) -> None:
        self._packet(Direction.TO_TOKEN, self._mask.to_token(data))

    def to_host(self, data: bytes) -> None:
        self._packet(Direction.TO_HOST, self._mask.to_host(data))

    def close(self) -> None:
        """The line was closed; it may be opened again."""
        to_token, to_host = self._mask.close()
        self._packet(Direction.TO_TOKEN, to_token)
        self._packet(Direction.TO_HOST, to_host)

    def _packet(self, direction: Direction, data: bytes) -> None:
        if data:
            now = self._interface.now()
            self._interface.packet(now, direction, serial_packet(direction, now, data))


class ApduTap:
    def __init__(self, interface: _Interface) -> None:
        self._interface = interface
        self._mask = ApduMask()

    def command(self, apdu: bytes) -> None:
        self._packet(Direction.TO_TOKEN, self._mask.command(apdu))

    def response(self, apdu: bytes) -> None:
        """To the last command."""
        self._packet(Direction.TO_HOST, self._mask.response(apdu))

    def reset(self) -> None:
        """The card was powered or reset: no applet is selected."""
        self._mask.reset()

    def _packet(self, direction: Direction, apdu: bytes) -> None:
        self._interface.packet(self._interface.now(), direction, apdu_packet(direction, apdu))


class UsbTap:
    """URBs, each of which is submitted and then completed. Who tells them gives them numbers, as the wire has them."""

    def __init__(self, interface: _Interface, bus: int, device: int, configuration: bytes) -> None:
        self._interface = interface
        self._bus = bus
        self._device = device
        self._configuration = configuration
        self.reset()

    def reset(self) -> None:
        """The device was reset, imported or pulled: its pipes are as new, and nothing is under way."""
        self._mask = UsbMask(self._configuration)
        self._urbs: dict[int, tuple[Transfer, int, bytes]] = {}

    def submit(
        self, urb: int, transfer: Transfer, endpoint: int, *, setup: bytes = b"", data: bytes = b"", length: int
    ) -> None:
        """`endpoint`: its address, with the bit IN. `setup`: the 8 bytes of a control transfer. `data`: what goes out.
        `length`: the bytes that are wanted in, or go out."""
        self._urbs[urb] = transfer, endpoint, setup
        shown = self._masked(transfer, endpoint, setup, data)
        self._tell(UrbEvent(b"S", urb, transfer, endpoint, self._bus, self._device, IN_PROGRESS, length, setup, shown))

    def complete(self, urb: int, status: int, *, data: bytes = b"", length: int) -> None:
        """`status`: 0, or a negative Linux errno (-32 STALL, -104 unlinked). `data`: what came in. `length`: the bytes
        that went over. Of an URB that is not under way, as when a host used its number twice, nothing is told."""
        if urb not in self._urbs:
            return
        transfer, endpoint, setup = self._urbs.pop(urb)
        shown = self._masked(transfer, endpoint, setup, data)
        self._tell(UrbEvent(b"C", urb, transfer, endpoint, self._bus, self._device, status, length, b"", shown))

    def _masked(self, transfer: Transfer, endpoint: int, setup: bytes, data: bytes) -> bytes:
        if not data:
            return b""
        if transfer is Transfer.CONTROL:
            return self._mask.control(SetupPacket.decode(setup), data)
        return self._mask.transfer(endpoint, data)

    def _tell(self, event: UrbEvent) -> None:
        now = self._interface.now()
        direction = Direction.TO_TOKEN if event.event == b"S" else Direction.TO_HOST
        self._interface.packet(now, direction, usb_packet(event, now))
