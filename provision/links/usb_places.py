"""Which tokens are on USB, by their CCID interfaces. Nothing is claimed, and on Linux nothing is opened."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import usb.core
import usb.util

from provision.links import libusb
from provision.links.ports import Place, kernel_line
from provision.links.usb import UsbName
from provision.wire.usb import DeviceClass

SYSFS = Path("/sys/bus/usb/devices")
DEVFS = Path("/dev/bus/usb")


def usb_readers(sysfs: Path = SYSFS, devfs: Path = DEVFS) -> list[Place]:
    """The CCID devices; none without libusb. A string that can be had only by opening a shut device is None."""
    try:
        devices = list(usb.core.find(find_all=True, backend=libusb.backend(), custom_match=_has_reader))
    except usb.core.NoBackendError:
        return []
    return [_place(device, sysfs, devfs) for device in devices]


def _has_reader(device: Any) -> bool:
    with contextlib.suppress(usb.core.USBError):  # it describes itself wrongly, or left at this moment
        return any(part.bInterfaceClass == DeviceClass.CCID for configuration in device for part in configuration)
    return False


def _place(device: Any, sysfs: Path, devfs: Path) -> Place:
    folder = sysfs / f"{device.bus}-{'.'.join(map(str, device.port_numbers or ()))}"
    if folder.is_dir():  # the kernel has read the strings already
        product, serial = kernel_line(folder / "product"), kernel_line(folder / "serial")
    else:
        product, serial = _strings(device)
    node = devfs / f"{device.bus:03}" / f"{device.address:03}" if device.bus and device.address else devfs
    return Place(
        str(UsbName(device.idVendor, device.idProduct, serial)),
        device.idVendor,
        device.idProduct,
        product,
        serial,
        openable=not node.exists() or os.access(node, os.R_OK | os.W_OK),
    )


def _strings(device: Any) -> tuple[str | None, str | None]:
    try:
        return device.product, device.serial_number
    except (usb.core.USBError, ValueError, NotImplementedError):  # ValueError: pyusb's word for a shut device
        return None, None
    finally:
        usb.util.dispose_resources(device)
