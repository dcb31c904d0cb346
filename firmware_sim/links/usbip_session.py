"""USB/IP, the device's side of one connection: bytes of a host to transfers of a device, and back. Sans-IO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from firmware_sim.links.usb_device import BUSID, Overloaded, UsbDevice
from provision.wire import WireError
from provision.wire.usbip import (
    DevlistReply,
    DevlistRequest,
    ImportReply,
    ImportRequest,
    Status,
    Submit,
    Unlink,
    UnlinkReply,
)
from provision.wire.usbip_stream import DeviceDecoder

_REFUSED = ImportReply(1, None)  # no such device, or somebody has it: usbipd does not say which either


class Export(Protocol):
    """What a host may import, one at a time."""

    @property
    def device(self) -> UsbDevice: ...

    def take(self, session: Session) -> bool:
        """Give the device to that session: whether it was free."""


class Session:
    """A DeviceLink.

    `export`: what may be listed and imported; a `device` is imported already, as when the kernel was told so. `hang_up`
    is called, from inside `receive`, when the host broke the protocol: nothing can be understood any more.
    """

    def __init__(self, hang_up: Callable[[], None], *, export: Export | None = None, device: UsbDevice | None = None):
        self._hang_up = hang_up
        self._export = export
        self._device = device
        self._decoder = DeviceDecoder()
        self._decoder.imported = device is not None

    @property
    def imported(self) -> bool:
        return self._device is not None

    @property
    def drained(self) -> bool:
        """Whether the host has fetched every reply of the device."""
        return self._device is None or self._device.drained

    def receive(self, data: bytes) -> list[bytes]:
        replies: list[bytes] = []
        try:
            for message in self._decoder.feed(data):
                if isinstance(message, Submit):
                    assert self._device is not None
                    replies += [answer.encode() for answer in self._device.submit(message)]
                elif isinstance(message, Unlink):
                    replies.append(self._unlink(message).encode())
                else:
                    replies.append(self._operate(message).encode())
        except (WireError, Overloaded):
            self._hang_up()
            return []
        return replies

    def poll(self) -> tuple[list[bytes], float | None]:
        if self._device is None:
            return [], None
        answers, deadline = self._device.poll()
        return [answer.encode() for answer in answers], deadline

    def disconnect(self) -> None:
        """The connection is over; somebody else may import the device."""
        if self._device is not None:
            self._device.reset()
            self._device = None

    def _operate(self, request: DevlistRequest | ImportRequest) -> DevlistReply | ImportReply:
        assert self._export is not None
        if isinstance(request, DevlistRequest):
            return DevlistReply((self._export.device.exported,))
        if request.busid != BUSID or not self._export.take(self):
            return _REFUSED
        self._device = self._export.device
        self._decoder.imported = True
        return ImportReply(0, self._device.exported.device)

    def _unlink(self, request: Unlink) -> UnlinkReply:
        assert self._device is not None
        return UnlinkReply(request.seqnum, Status.UNLINKED if self._device.unlink(request.target) else Status.OK)
