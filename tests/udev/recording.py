"""Simulated tokens as the kernel's sysfs would show them, in umockdev's format.

The descriptors are the simulator's own; the attributes around them are spelled as Linux does
(drivers/usb/core/sysfs.c). No property that a rule could have set is in them: E: lines are the kernel's uevent alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from unittest.mock import Mock

from firmware_sim.core.family import Family
from firmware_sim.links.usb_device import UsbDevice
from provision.wire.usb import DeviceClass
from provision.wire.usb_descriptors import InterfaceDescriptor

BUS = "/devices/pci0000:00/0000:00:14.0/usb1"
_USB_MAJOR, _ACM_MAJOR = 189, 166


@dataclass(frozen=True)
class Plugged:
    """What a device says of itself, and the socket that it is in, as in `1-1` or behind a hub `1-1.4`."""

    product: str
    serial: str
    idVendor: int
    idProduct: int
    descriptors: bytes = b""
    interfaces: tuple[InterfaceDescriptor, ...] = ()
    socket: str = "1-1"
    number: int = 2  # on the bus
    has_keyboard: bool = False  # its raw reports are a node of their own

    @classmethod
    def token(cls, family: Family, serial: str, **where: object) -> Plugged:
        lines = Mock(family=family, serial=serial)
        lines.line = lambda make: make(Mock())
        device = UsbDevice(lines)
        descriptors = device.descriptor.encode() + device.configuration.encode()
        interfaces = device.configuration.interfaces
        return cls(family.iProduct, serial, family.idVendor, family.idProduct, descriptors, interfaces, **where)

    @property
    def path(self) -> str:
        """Below /sys."""
        ports = self.socket.partition("-")[2].split(".")
        return BUS + "".join(f"/1-{'.'.join(ports[: depth + 1])}" for depth in range(len(ports)))

    @property
    def node(self) -> str:
        """Below /dev."""
        return f"bus/usb/001/{self.number:03}"

    @property
    def line(self) -> str:
        """The path below /sys of its serial line, which the driver cdc_acm hangs below the control interface."""
        (control,) = (one for one in self.interfaces if one.bInterfaceClass == DeviceClass.CDC)
        return f"{self.path}/{self.socket}:1.{control.bInterfaceNumber}/tty/{self.tty}"

    @property
    def tty(self) -> str:
        return f"ttyACM{self.number - 2}"

    @property
    def keyboard(self) -> str:
        """The path below /sys of its keyboard's raw reports."""
        numbers = f"0003:{self.idVendor:04X}:{self.idProduct:04X}.0001"
        return f"{self.path}/{self.socket}:1.9/{numbers}/hidraw/hidraw{self.number}"

    @property
    def has_line(self) -> bool:
        return any(one.bInterfaceClass == DeviceClass.CDC for one in self.interfaces)


def recording(*plugged: Plugged) -> str:
    """A bus with these devices on it."""
    hub = Plugged("xHCI Host Controller", "0000:00:14.0", 0x1D6B, 0x0002, socket="usb1", number=1)
    parts = [_device(hub, BUS)]
    for device in plugged:
        parts.append(_device(device, device.path))
        parts += [_interface(device, one) for one in device.interfaces]
        if device.has_line:
            parts.append(_line(device))
        if device.has_keyboard:
            parts.append(_keyboard(device))
    return "\n".join(parts)


def _device(device: Plugged, path: str) -> str:
    attributes = {
        "dev": f"{_USB_MAJOR}:{device.number - 1}",
        "idVendor": f"{device.idVendor:04x}",
        "idProduct": f"{device.idProduct:04x}",
        "product": device.product,
        "manufacturer": "a manufacturer",
        "serial": device.serial,
        "busnum": "1",
        "devnum": str(device.number),
        "speed": "12",
        "bConfigurationValue": "1",
        "bNumInterfaces": f"{len(device.interfaces):2}",
    }
    lines = [
        f"P: {path}",
        f"N: {device.node}",
        f"E: DEVNAME=/dev/{device.node}",
        "E: DEVTYPE=usb_device",
        "E: DRIVER=usb",
        f"E: MAJOR={_USB_MAJOR}",
        f"E: MINOR={device.number - 1}",
        f"E: PRODUCT={device.idVendor:x}/{device.idProduct:x}/100",
        "E: SUBSYSTEM=usb",
        *(f"A: {name}={value}" for name, value in attributes.items() if value),
    ]
    if device.descriptors:
        lines.append(f"H: descriptors={device.descriptors.hex().upper()}")
    return "\n".join((*lines, ""))


def _interface(device: Plugged, one: InterfaceDescriptor) -> str:
    return f"""P: {device.path}/{device.socket}:1.{one.bInterfaceNumber}
E: DEVTYPE=usb_interface
E: SUBSYSTEM=usb
A: bInterfaceClass={one.bInterfaceClass:02x}
A: bInterfaceSubClass={one.bInterfaceSubClass:02x}
A: bInterfaceProtocol={one.bInterfaceProtocol:02x}
A: bInterfaceNumber={one.bInterfaceNumber:02x}
"""


def _line(device: Plugged) -> str:
    return f"""P: {device.line}
N: {device.tty}
E: DEVNAME=/dev/{device.tty}
E: MAJOR={_ACM_MAJOR}
E: MINOR={device.number - 2}
E: SUBSYSTEM=tty
L: device=../../../{device.line.split("/")[-3]}
A: dev={_ACM_MAJOR}:{device.number - 2}
"""


def _keyboard(device: Plugged) -> str:
    return f"""P: {device.keyboard}
N: hidraw{device.number}
E: DEVNAME=/dev/hidraw{device.number}
E: MAJOR=245
E: MINOR={device.number}
E: SUBSYSTEM=hidraw
"""
