"""A simulated token over USB/IP with no kernel in between: `usbip:127.0.0.1:PORT/BUSID` or `usbip:/SOCKET/BUSID`.

The same code as links/usb.py, on a pyusb backend of our own (links/usbip_backend.py). Nothing protects this wire:
whoever can reach it can talk to the token. Without a host the address means this machine.
"""

from __future__ import annotations

import usb.core

from provision.errors import NotFound, UsageError
from provision.links.ccid import CcidLink
from provision.links.link import LinkOptions
from provision.links.tcp import host_and_port
from provision.links.usb import link_error, open_device
from provision.links.usbip_backend import UsbipBackend


def open_address(rest: str, options: LinkOptions) -> CcidLink:
    """`usbip:PORT/BUSID`, `usbip:HOST:PORT/BUSID` (an IPv6 host in brackets) or `usbip:/SOCKET/BUSID`.

    Raises UsageError, LinkError.
    """
    address = f"usbip:{rest}"
    where, _, busid = rest.rpartition("/")
    if not where or not busid:
        raise UsageError(f"{address} names no device", hint="for example usbip:127.0.0.1:3240/1-1")
    if not where.startswith("/"):
        host_and_port(where, f"usbip:{where}")
    return open_exported(UsbipBackend(where, busid, options.clock), address, options)


def open_exported(backend: UsbipBackend, address: str, options: LinkOptions) -> CcidLink:
    """The first device that `backend` sees. Raises LinkError, RemoteProtocolError."""
    try:
        device = usb.core.find(backend=backend)
    except usb.core.USBError as error:
        raise link_error(error, address) from error
    if device is None:
        raise NotFound(f"there is no device at {address}", hint="is it plugged in there?")
    return open_device(device, address, options)
