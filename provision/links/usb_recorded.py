"""A reader on USB whose pipes tell a capture what passes, and first of all what the device says of itself: by its
descriptors Wireshark knows that there is a reader.

Transfers are told as links/usb.py asks for them: the empty packet that may end one, and what pyusb and the system
repeat, are not seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from provision.errors import LinkError, Timeout
from provision.wire.capture.linktypes import Transfer
from provision.wire.capture.recorder import Recorder
from provision.wire.ccid import REQUEST_ABORT
from provision.wire.usb import IN, DescriptorType, Kind, Recipient, Request, SetupPacket
from provision.wire.usbip import Status

if TYPE_CHECKING:
    from provision.links.usb import UsbPipe

_CLASS_TO_INTERFACE = Kind.CLASS << 5 | Recipient.INTERFACE


class RecordedPipe:
    """A Pipe (links/ccid.py) around the one to a reader on a pyusb device."""

    def __init__(self, pipe: UsbPipe, device: Any, recorder: Recorder) -> None:
        """Raises usb.core.USBError."""
        size = device.get_active_configuration().wTotalLength
        setups = _get_descriptor(DescriptorType.DEVICE, 18), _get_descriptor(DescriptorType.CONFIGURATION, size)
        described = [bytes(device.ctrl_transfer(*setup)) for setup in setups]
        self._pipe = pipe
        self._tap = recorder.usb(device.bus or 0, device.address or 0, described[-1])
        self._last_urb = 0
        for setup, answer in zip(setups, described, strict=True):
            self._told(self._submit(Transfer.CONTROL, IN, setup.wLength, setup=setup.encode()), answer)

    @property
    def packet(self) -> int:
        return self._pipe.packet

    def foretell(self, size: int) -> None:
        self._pipe.foretell(size)

    def write(self, transfer: bytes, timeout_s: float) -> None:
        urb = self._submit(Transfer.BULK, self._pipe.out_address, len(transfer), data=transfer)
        with self._failing(urb):
            self._pipe.write(transfer, timeout_s)
        self._tap.complete(urb, Status.OK, length=len(transfer))

    def read(self, size: int, timeout_s: float) -> bytes:
        urb = self._submit(Transfer.BULK, self._pipe.in_address, size)
        with self._failing(urb):
            data = self._pipe.read(size, timeout_s)
        self._told(urb, data)
        return data

    def abort(self, slot: int, seq: int, timeout_s: float) -> None:
        setup = SetupPacket(_CLASS_TO_INTERFACE, REQUEST_ABORT, seq << 8 | slot, self._pipe.interface, 0)
        urb = self._submit(Transfer.CONTROL, 0, 0, setup=setup.encode())
        with self._failing(urb):
            self._pipe.abort(slot, seq, timeout_s)
        self._told(urb, b"")

    def close(self) -> None:
        self._pipe.close()

    def _submit(self, transfer: Transfer, endpoint: int, length: int, *, setup: bytes = b"", data: bytes = b"") -> int:
        self._last_urb += 1
        self._tap.submit(self._last_urb, transfer, endpoint, setup=setup, data=data, length=length)
        return self._last_urb

    def _told(self, urb: int, data: bytes) -> None:
        self._tap.complete(urb, Status.OK, data=data, length=len(data))

    @contextlib.contextmanager
    def _failing(self, urb: int) -> Iterator[None]:
        """Complete the URB with what Linux says of one that was given up, or whose device is gone."""
        try:
            yield
        except LinkError as error:
            self._tap.complete(urb, Status.NO_ENTRY if isinstance(error, Timeout) else Status.SHUTDOWN, length=0)
            raise


def _get_descriptor(kind: DescriptorType, size: int) -> SetupPacket:
    return SetupPacket(IN, Request.GET_DESCRIPTOR, kind << 8, 0, size)
