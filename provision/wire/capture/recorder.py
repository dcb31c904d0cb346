"""Records wires into one pcapng file. Sans-IO: the file and the clock are given.

A link asks the Recorder for a tap on its wire, and tells the tap what passes. Everything is told as the host sees it,
on both sides: the captures of both ends of a wire have the same form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

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
from provision.wire.capture.mask_usb import Function, UsbMask
from provision.wire.capture.pcapng import Direction


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

    def usb(self, bus: int, device: int, endpoints: Mapping[int, Function]) -> UsbTap:
        """For one USB device, known by these numbers; `endpoints`: what its pipes carry, by their addresses."""
        return UsbTap(self._interface(LinkType.USB_LINUX_MMAPPED, "usb"), bus, device, endpoints)

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
    """URBs, each of which is submitted and then completed."""

    def __init__(self, interface: _Interface, bus: int, device: int, endpoints: Mapping[int, Function]) -> None:
        self._interface = interface
        self._bus = bus
        self._device = device
        self._endpoints = endpoints
        self._urbs: dict[int, tuple[Transfer, int, bytes]] = {}
        self._last_urb = 0
        self.reset()

    def submit(self, transfer: Transfer, endpoint: int, *, setup: bytes = b"", data: bytes = b"", length: int) -> int:
        """The number of this URB. `endpoint`: its address, with the bit IN. `setup`: the 8 bytes, for a control
        transfer. `data`: what goes out. `length`: the bytes that are wanted in, or go out."""
        self._last_urb = urb = self._last_urb + 1
        self._urbs[urb] = transfer, endpoint, setup
        shown = self._masked(transfer, endpoint, setup, data)
        self._event(b"S", urb, transfer, endpoint, IN_PROGRESS, len(shown) if shown else length, setup, shown)
        return urb

    def complete(self, urb: int, status: int, *, data: bytes = b"", length: int) -> None:
        """`status`: 0, or a negative Linux errno (-32 STALL, -104 unlinked). `data`: what came in. `length`: the bytes
        that went over."""
        transfer, endpoint, setup = self._urbs.pop(urb)
        shown = self._masked(transfer, endpoint, setup, data)
        self._event(b"C", urb, transfer, endpoint, status, len(shown) if shown else length, b"", shown)

    def reset(self) -> None:
        """The device was reset, attached or pulled: its pipes are as new. URBs under way may still complete."""
        self._mask = UsbMask(self._endpoints)

    def _masked(self, transfer: Transfer, endpoint: int, setup: bytes, data: bytes) -> bytes:
        if not data:
            return b""
        return self._mask.control(setup, data) if transfer is Transfer.CONTROL else self._mask.transfer(endpoint, data)

    def _event(
        self,
        event: bytes,
        urb: int,
        transfer: Transfer,
        endpoint: int,
        status: int,
        length: int,
        setup: bytes,
        data: bytes,
    ) -> None:
        told = UrbEvent(event, urb, transfer, endpoint, self._bus, self._device, status, length, setup, data)
        now = self._interface.now()
        direction = Direction.TO_TOKEN if event == b"S" else Direction.TO_HOST
        self._interface.packet(now, direction, usb_packet(told, now))
