"""A token on USB without pcscd: its CCID interface through pyusb, claimed for as long as the link is open.

`usb:VID:PID/SERIAL`, the identity in hexadecimal; the serial may be left out where one token answers to it. pyusb calls
libusb, which the system has to have. links/usbip.py opens a simulated token by the same code and needs none.

pyusb is without types: its objects are Any here, and nothing of it leaves links/usb*.py.
"""

from __future__ import annotations

import contextlib
import errno
import math
import re
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import usb.control
import usb.core
import usb.util

from provision.errors import Busy, LinkError, NotFound, PermissionDenied, RemoteProtocolError, Timeout, UsageError
from provision.links import libusb
from provision.links.ccid import CcidLink, Pipe
from provision.links.link import LinkOptions
from provision.wire import WireError
from provision.wire.ccid import REQUEST_ABORT
from provision.wire.usb import DescriptorType, DeviceClass, decode_string
from provision.wire.usb_descriptors import CcidDescriptor, split_descriptors

_CLASS_REQUEST_TO_INTERFACE = 0x21
_GONE = {errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EIO, errno.ESHUTDOWN, errno.ECONNRESET}
_INSTALL_LIBUSB = {
    "darwin": "install it: brew install libusb",
    "win32": "install it: pip install libusb-package",
}
_INSTALL_LIBUSB_ELSEWHERE = "install it: sudo apt-get install libusb-1.0-0"
_BY_PCSC = "use its pcsc: address (`provision list`)"
_PCSCD_SOCKET = Path("/run/pcscd/pcscd.comm")
_PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class UsbName:
    """What an address tells of a token: idVendor, idProduct and the serial string."""

    vendor: int
    product: int
    serial: str | None = None

    def __str__(self) -> str:
        return f"usb:{self.vendor:04x}:{self.product:04x}" + (f"/{self.serial}" if self.serial else "")

    @classmethod
    def parse(cls, rest: str) -> UsbName:
        """What stands behind `usb:`. Raises UsageError."""
        match = re.fullmatch("([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})(?:/(.+))?", rest)
        if not match:
            raise UsageError(
                f"usb:{rest} is no USB address", hint="use usb:VID:PID/SERIAL, for example usb:1209:0001/HT-0001"
            )
        return cls(int(match[1], 16), int(match[2], 16), match[3])


def open_address(rest: str, options: LinkOptions) -> CcidLink:
    """`usb:VID:PID` or `usb:VID:PID/SERIAL`. Raises UsageError, LinkError."""
    name = UsbName.parse(rest)
    try:
        devices = list(
            usb.core.find(find_all=True, backend=libusb.backend(), idVendor=name.vendor, idProduct=name.product)
        )
    except usb.core.NoBackendError:
        raise LinkError(
            "usb: addresses need libusb, and this system has none",
            hint=_INSTALL_LIBUSB.get(sys.platform, _INSTALL_LIBUSB_ELSEWHERE),
        ) from None
    return open_device(chosen(devices, name), f"usb:{rest}", options)


def chosen(devices: Iterable[Any], name: UsbName) -> Any:
    """The pyusb device that `name` means. Raises NotFound, PermissionDenied, and UsageError if it means several."""
    devices = list(devices)
    if not devices:
        raise NotFound(f"there is no {name}", hint="plug the token in; `provision list` shows what is there")
    if name.serial is None and len(devices) == 1:
        return devices[0]
    serials, denied = [], None
    for device in devices:
        try:
            serials.append(serial_of(device))
        except (usb.core.USBError, NotImplementedError) as error:
            serials.append(None)
            denied = denied or link_error(error, str(name))
    if name.serial is None:
        names = ", ".join(sorted(str(UsbName(name.vendor, name.product, serial)) for serial in serials))
        raise UsageError(f"{len(devices)} tokens are {name}: {names}", hint="name one by its serial")
    if name.serial in serials:
        return devices[serials.index(name.serial)]
    if denied is not None:
        raise denied
    others = ", ".join(serial or "one without a serial" for serial in serials)
    raise NotFound(f"there is no {name}, only {others}", hint="check the serial with `provision list`")


def serial_of(device: Any) -> str | None:
    """The serial string of a pyusb device, None when it has none. Raises usb.core.USBError, also for no permission,
    and NotImplementedError where the system lets nobody in."""
    languages = usb.util.get_langids(device)
    if not device.iSerialNumber or not languages:
        return None
    # usb.util.get_string would fail in many ways on a descriptor that is none.
    raw = usb.control.get_descriptor(device, 254, DescriptorType.STRING, device.iSerialNumber, languages[0])
    try:
        return decode_string(bytes(raw))
    except WireError:
        return None


def open_device(device: Any, address: str, options: LinkOptions) -> CcidLink:
    """A link to the CCID interface of a pyusb device; whatever happens, the device is given back. Raises LinkError."""
    try:
        interface, reader = _ccid_interface(device, address)
        pipe = _opened(device, interface, address, options)
    except BaseException as error:
        usb.util.dispose_resources(device)
        if isinstance(error, usb.core.USBError | NotImplementedError):
            raise link_error(error, address) from error
        raise
    return CcidLink(pipe, reader, address, options)


def _opened(device: Any, interface: Any, address: str, options: LinkOptions) -> Pipe:
    pipe = UsbPipe(device, interface, address)
    if options.recorder is None:
        return pipe
    from provision.links.usb_recorded import RecordedPipe

    try:
        return RecordedPipe(pipe, device, options.recorder)
    except BaseException:
        pipe.close()
        raise


class UsbPipe:
    """A Pipe (links/ccid.py) over a pyusb interface. Takes it from a kernel driver, which gets it back at the end."""

    def __init__(self, device: Any, interface: Any, address: str) -> None:
        """Raises usb.core.USBError when the interface cannot be claimed, RemoteProtocolError without bulk pipes."""
        self._device = device
        self.interface: int = interface.bInterfaceNumber
        self._address = address
        self._out = _bulk_endpoint(interface, usb.util.ENDPOINT_OUT, address)
        self._in = _bulk_endpoint(interface, usb.util.ENDPOINT_IN, address)
        self.out_address: int = self._out.bEndpointAddress
        self.in_address: int = self._in.bEndpointAddress
        self.packet: int = self._in.wMaxPacketSize
        self._buffer = array("B")
        self._detached = _detach_kernel_driver(device, self.interface)
        try:
            usb.util.claim_interface(device, self.interface)
        except BaseException:
            self._give_back()
            raise

    def foretell(self, size: int) -> None:
        # Our own backend makes one trip of a write and its read; libusb's has no use for the promise.
        if hasattr(self._device.backend, "foretell"):
            self._device.backend.foretell(self.out_address, self.in_address, size)

    def write(self, transfer: bytes, timeout_s: float) -> None:
        limit_ms = _milliseconds(timeout_s)
        try:
            self._out.write(array("B", transfer), limit_ms)  # what pyusb would make of it, after a detour
            if len(transfer) % self._out.wMaxPacketSize == 0:
                self._out.write(b"", limit_ms)
        except usb.core.USBError as error:
            if error.errno == errno.EPIPE:
                self._clear_halt(self._out)
            raise link_error(error, self._address) from error

    def read(self, size: int, timeout_s: float) -> bytes:
        limit_ms = _milliseconds(timeout_s)
        if len(self._buffer) != size:
            self._buffer = array("B", bytes(size))
        try:
            return self._read(limit_ms)
        except usb.core.USBError as error:
            if error.errno != errno.EPIPE:
                raise link_error(error, self._address) from error
            self._clear_halt(self._in)
        try:
            # Reading again repeats no command: the answer may stand behind the stall.
            return self._read(limit_ms)
        except usb.core.USBError as error:
            raise link_error(error, self._address) from error

    def abort(self, slot: int, seq: int, timeout_s: float) -> None:
        try:
            self._device.ctrl_transfer(
                _CLASS_REQUEST_TO_INTERFACE,
                REQUEST_ABORT,
                seq << 8 | slot,
                self.interface,
                None,
                _milliseconds(timeout_s),
            )
        except usb.core.USBError as error:
            if error.errno != errno.EPIPE:
                raise link_error(error, self._address) from error

    def close(self) -> None:
        with contextlib.suppress(usb.core.USBError):
            usb.util.release_interface(self._device, self.interface)
        self._give_back()
        usb.util.dispose_resources(self._device)

    def _give_back(self) -> None:
        if self._detached:
            self._detached = False
            with contextlib.suppress(usb.core.USBError):
                self._device.attach_kernel_driver(self.interface)

    def _read(self, limit_ms: int) -> bytes:
        moved: int = self._in.read(self._buffer, limit_ms)
        return self._buffer[:moved].tobytes()

    def _clear_halt(self, endpoint: Any) -> None:
        try:
            endpoint.clear_halt()
        except usb.core.USBError as error:
            raise link_error(error, self._address) from error


def link_error(error: Any, address: str) -> LinkError:
    """A usb.core.USBError in our words; pyusb's NotImplementedError means that the system's driver cannot be passed by.

    A reader that is held by somebody is named as pcscd's where that one runs.
    """
    if isinstance(error, NotImplementedError):
        return PermissionDenied(f"the system keeps the reader at {address} for itself", hint=_BY_PCSC)
    code = error.errno
    if isinstance(error, usb.core.USBTimeoutError) or code == errno.ETIMEDOUT:
        return Timeout(f"the reader at {address} does not answer")
    if code in (errno.EACCES, errno.EPERM):
        by_udev = "sudo provision udev install, then plug the token in again"
        return PermissionDenied(f"you may not open {address}", hint=by_udev if sys.platform == "linux" else _BY_PCSC)
    if code == errno.EBUSY:
        if address.startswith("usb:") and pcscd_runs():  # no daemon takes what is not on a real bus
            return Busy(
                f"pcscd holds the reader at {address}",
                hint=f"{_BY_PCSC}, or sudo systemctl stop pcscd.socket pcscd",
            )
        return Busy(f"{address} is in use by another program", hint="close that program and try again")
    if code == errno.ECONNREFUSED:
        return NotFound(f"nothing listens at {address}", hint="start the token, or correct the address")
    if code == errno.EPIPE:
        return LinkError(f"the reader at {address} refused a transfer")
    if code in _GONE:
        return LinkError(f"{address} is gone: the cable was pulled or the token lost power")
    return LinkError(f"{address}: {error.strerror}")


def pcscd_runs(socket: Path = _PCSCD_SOCKET, processes: Path = _PROCESSES) -> bool:
    """Whether a PC/SC daemon is there: as a socket (also that of another container) or as a process."""
    if socket.exists():
        return True
    for name in processes.glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if name.read_text(encoding="utf-8", errors="replace").strip() == "pcscd":
                return True
    return False


def _ccid_interface(device: Any, address: str) -> tuple[Any, CcidDescriptor]:
    """The first CCID interface and what its class descriptor says. Raises NotFound, RemoteProtocolError, USBError."""
    for interface in _active_configuration(device):
        if interface.bInterfaceClass == DeviceClass.CCID and interface.bAlternateSetting == 0:
            return interface, _class_descriptor(interface, address)
    raise NotFound(f"the device at {address} has no card reader in it", hint="check the address with `provision list`")


def _active_configuration(device: Any) -> Any:
    try:
        return device.get_active_configuration()
    except usb.core.USBError as error:
        if error.errno is not None:
            raise
        # pyusb's word for a device that nobody has configured yet.
        device.set_configuration()
        return device.get_active_configuration()


def _class_descriptor(interface: Any, address: str) -> CcidDescriptor:
    # Behind the interface as the specification has it; some readers put it behind their endpoints.
    extra = bytes(interface.extra_descriptors) + b"".join(bytes(e.extra_descriptors) for e in interface)
    try:
        for raw in split_descriptors(extra):
            if raw[1] == DescriptorType.CCID:
                return CcidDescriptor.decode(raw)
    except WireError as error:
        raise RemoteProtocolError(f"the reader at {address} describes itself wrongly: {error}") from error
    raise RemoteProtocolError(f"the reader at {address} has no CCID descriptor")


def _bulk_endpoint(interface: Any, direction: int, address: str) -> Any:
    for endpoint in interface:
        bulk = usb.util.endpoint_type(endpoint.bmAttributes) == usb.util.ENDPOINT_TYPE_BULK
        if bulk and usb.util.endpoint_direction(endpoint.bEndpointAddress) == direction and endpoint.wMaxPacketSize:
            return endpoint
    raise RemoteProtocolError(f"the reader at {address} has no pair of bulk pipes")


def _detach_kernel_driver(device: Any, number: int) -> bool:
    """Whether there was one. Systems other than Linux have no such thing."""
    try:
        if not device.is_kernel_driver_active(number):
            return False
    except NotImplementedError:
        return False
    device.detach_kernel_driver(number)
    return True


def _milliseconds(timeout_s: float) -> int:
    """For pyusb, where 0 is for ever."""
    return max(1, math.ceil(timeout_s * 1000))
