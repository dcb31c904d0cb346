"""The token attached to the running Linux as a USB device: no listener, no `usbip` program. Needs root and vhci-hcd.

The kernel gets one end of a socketpair and enumerates what it finds at the other. Pulling the cable closes our end, and
so does the death of this process, which is a surprise removal too.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from firmware_sim.core.family import CDC_ACM
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import Lines, Port, PortError, PortOptions
from firmware_sim.links.usb_recorded import usb_device
from firmware_sim.links.usbip import UsbipConnection
from firmware_sim.links.vhci_controller import Controller

if TYPE_CHECKING:
    from provision.wire.capture.recorder import Recorder


class VhciPort:
    """Implements Port. The kernel may end the connection too (`usbip detach`): the token is unplugged then."""

    def __init__(self, loop: Loop, lines: Lines, controller: Controller, recorder: Recorder | None = None) -> None:
        self._loop = loop
        self._controller = controller
        self._family = lines.family
        self._serial = lines.serial
        self._device = usb_device(lines, recorder)
        self._connection: UsbipConnection | None = None
        self._address = ""

    @property
    def address(self) -> str:
        return self._address

    @property
    def plugged(self) -> bool:
        return self._connection is not None

    @property
    def noticed(self) -> bool:
        return self.plugged

    def plug(self) -> None:
        """Returns when the kernel has enumerated the token, which other tokens of this loop have to wait for."""
        if self._connection is not None:
            return
        ours, kernels = socket.socketpair()
        with kernels:
            shown = self._device.exported.device
            try:
                port = self._controller.attach(kernels.fileno(), shown.busnum << 16 | shown.devnum, shown.speed)
            except PortError:
                ours.close()
                raise
        self._connection = UsbipConnection(self._loop, ours, self._ended, device=self._device)
        try:
            self._address = self._enumerated(ours.fileno(), port)
        except PortError:
            self.unplug()
            raise

    def unplug(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def after_reply(self, action: Callable[[], None]) -> None:
        self._loop.when(self._is_sent, action)

    def _is_sent(self) -> bool:
        return self._connection is None or self._connection.drained

    def _ended(self) -> None:
        self._connection = None

    def _enumerated(self, fd: int, port: int) -> str:
        """Serve the kernel until it has made a node: the address."""
        serial_line = CDC_ACM in self._family.functions

        def node() -> Path | None:
            return self._controller.node(port, tty=serial_line)

        if not self._loop.serve_alone(fd, lambda: node() is not None):
            lacks = "no serial line" if serial_line else "no device"
            raise PortError(f"the kernel took the token and made {lacks} of it; `sudo dmesg` tells why")
        if serial_line:
            return f"serial:{node()}"
        return f"usb:{self._family.idVendor:04x}:{self._family.idProduct:04x}/{self._serial}"


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> Port:
    return VhciPort(loop, lines, Controller(), options.recorder)
