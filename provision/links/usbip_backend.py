"""A pyusb backend in pure Python: the USB devices that a USB/IP server exports, with no kernel module and no root.

Any program that uses pyusb can be given it:

    import usb.core
    from provision.links.usbip_backend import get_backend

    device = usb.core.find(idVendor=0x1209, backend=get_backend("127.0.0.1:3240"))

What a kernel does when a device is plugged in is done here: descriptors are read from the device itself, and opening
one imports it and sets its configuration. An exported device has one host at a time; while another one has it, it is
listed, and opening it is EBUSY. There are no kernel drivers to detach. Isochronous transfers are not carried.
"""

from __future__ import annotations

import dataclasses
import errno
from array import array
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import usb.backend
import usb.core

from provision.clock import Clock, SystemClock
from provision.links.framed import ByteStream
from provision.links.usbip_connection import CONNECT_TIMEOUT_S, UsbipConnection, connect, usb_error
from provision.wire import WireError
from provision.wire.usb import IN, DescriptorType, Feature, Recipient, Request, SetupPacket
from provision.wire.usb_descriptors import (
    Configuration,
    Descriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
)
from provision.wire.usbip import ListedDevice, Speed

_LIBUSB_SPEEDS: dict[int, int] = {Speed.LOW: 1, Speed.FULL: 2, Speed.HIGH: 3, Speed.SUPER: 4, Speed.SUPER_PLUS: 5}
_LONGEST_CONFIGURATION = 4096  # bytes that are asked for at once; a token's has a few hundred


class ExportedDevice:
    """One device of a server: pyusb's `dev`. Its descriptors are read when it is first asked for them."""

    def __init__(self, listed: ListedDevice) -> None:
        self.listed = listed
        self.descriptor: DeviceDescriptor | None = None
        self.configurations: tuple[Configuration, ...] = ()

    @property
    def busid(self) -> str:
        return self.listed.device.busid


class Handle:
    """An imported device: pyusb's `dev_handle`."""

    def __init__(self, device: ExportedDevice, connection: UsbipConnection) -> None:
        self.device = device
        self.connection = connection


class UsbipBackend(usb.backend.IBackend):  # type: ignore[misc]  # pyusb has no types
    """Implements usb.backend.IBackend, which documents the methods. All raise usb.core.USBError.

    `where`: HOST:PORT, PORT on this machine, or the path of a Unix socket. `busid`: see only this device. `clock`:
    for deadlines. `dial`: connects to `where`.
    """

    def __init__(
        self,
        where: str,
        busid: str | None,
        clock: Clock,
        dial: Callable[[str, Clock], ByteStream] = connect,
    ) -> None:
        self._where = where
        self._busid = busid
        self._clock = clock
        self._dial = dial
        self._foretold: dict[int, tuple[int, int]] = {}

    def foretell(self, ep_out: int, ep_in: int, length: int) -> None:
        """Promise that a read of `length` bytes from `ep_in` follows each write to `ep_out`, and no other read.

        The two then travel together, which saves a third of the time. No other backend has this.
        """
        self._foretold[ep_out & 0x0F] = (ep_in & 0x0F, length)

    def enumerate_devices(self) -> list[ExportedDevice]:
        connection = self._connect()
        try:
            listed = connection.devices()
        finally:
            connection.close()
        return [ExportedDevice(one) for one in listed if self._busid in (None, one.device.busid)]

    def get_parent(self, dev: ExportedDevice) -> None:
        return None

    def get_device_descriptor(self, dev: ExportedDevice) -> SimpleNamespace:
        if dev.descriptor is None:
            try:
                self.close_device(self._import(dev))
            except usb.core.USBError as error:
                if error.errno != errno.EBUSY:
                    raise
        descriptor = dev.descriptor or _as_far_as_listed(dev.listed)
        device = dev.listed.device
        return _fields(
            descriptor,
            bus=device.busnum,
            address=device.devnum,
            port_number=None,
            port_numbers=None,
            speed=_LIBUSB_SPEEDS.get(device.speed, 0),
        )

    def get_configuration_descriptor(self, dev: ExportedDevice, config: int) -> SimpleNamespace:
        configuration = self._configuration(dev, config)
        return _fields(configuration.header, extra_descriptors=_extra(configuration.descriptors))

    def get_interface_descriptor(self, dev: ExportedDevice, intf: int, alt: int, config: int) -> SimpleNamespace:
        interface, behind = _interface(self._configuration(dev, config), intf, alt)
        return _fields(interface, extra_descriptors=_extra(behind))

    def get_endpoint_descriptor(
        self, dev: ExportedDevice, ep: int, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        _, behind = _interface(self._configuration(dev, config), intf, alt)
        places = [place for place, one in enumerate(behind) if isinstance(one, EndpointDescriptor)]
        place = places[ep]
        return _fields(behind[place], bRefresh=0, bSynchAddress=0, extra_descriptors=_extra(behind[place + 1 :]))

    def open_device(self, dev: ExportedDevice) -> Handle:
        return self._import(dev)

    def close_device(self, dev_handle: Handle) -> None:
        dev_handle.connection.close()

    def set_configuration(self, dev_handle: Handle, config_value: int) -> None:
        _control_out(dev_handle.connection, Recipient.DEVICE, Request.SET_CONFIGURATION, config_value)

    def get_configuration(self, dev_handle: Handle) -> int:
        return _get_configuration(dev_handle.connection)

    def set_interface_altsetting(self, dev_handle: Handle, intf: int, altsetting: int) -> None:
        _control_out(dev_handle.connection, Recipient.INTERFACE, Request.SET_INTERFACE, altsetting, intf)

    def claim_interface(self, dev_handle: Handle, intf: int) -> None:
        """The whole device is ours: nobody else could hold it."""

    def release_interface(self, dev_handle: Handle, intf: int) -> None:
        """As claim_interface."""

    def bulk_write(self, dev_handle: Handle, ep: int, intf: int, data: array[int], timeout: int) -> int:
        return dev_handle.connection.send(ep & 0x0F, data.tobytes(), _seconds(timeout))

    def bulk_read(self, dev_handle: Handle, ep: int, intf: int, buff: array[int], timeout: int) -> int:
        return _filled(buff, dev_handle.connection.receive(ep & 0x0F, _size(buff), _seconds(timeout)))

    # On the wire an interrupt transfer looks the same: the endpoint knows its kind.
    intr_write = bulk_write
    intr_read = bulk_read

    def ctrl_transfer(
        self,
        dev_handle: Handle,
        bmRequestType: int,
        bRequest: int,
        wValue: int,
        wIndex: int,
        data: array[int],
        timeout: int,
    ) -> int:
        setup = SetupPacket(bmRequestType, bRequest, wValue, wIndex, _size(data)).encode()
        if bmRequestType & IN:
            return _filled(data, dev_handle.connection.receive(0, _size(data), _seconds(timeout), setup))
        return dev_handle.connection.send(0, data.tobytes(), _seconds(timeout), setup)

    def clear_halt(self, dev_handle: Handle, ep: int) -> None:
        _control_out(dev_handle.connection, Recipient.ENDPOINT, Request.CLEAR_FEATURE, Feature.ENDPOINT_HALT, ep)

    def reset_device(self, dev_handle: Handle) -> None:
        # USB/IP has no message for a reset. A device that is let go and imported again has forgotten as much.
        dev_handle.connection.close()
        dev_handle.connection = self._import(dev_handle.device).connection

    def is_kernel_driver_active(self, dev_handle: Handle, intf: int) -> bool:
        return False

    def detach_kernel_driver(self, dev_handle: Handle, intf: int) -> None:
        """There is no kernel in between."""

    def attach_kernel_driver(self, dev_handle: Handle, intf: int) -> None:
        """As detach_kernel_driver."""

    def _connect(self) -> UsbipConnection:
        return UsbipConnection(self._dial(self._where, self._clock), self._clock, self._foretold)

    def _import(self, dev: ExportedDevice) -> Handle:
        """The device, imported and configured, with its descriptors read."""
        connection = self._connect()
        try:
            connection.attach(dev.busid)
            if dev.descriptor is None:
                dev.descriptor, dev.configurations = _read_descriptors(connection)
            if not _get_configuration(connection) and dev.configurations:
                first = dev.configurations[0].header.bConfigurationValue
                _control_out(connection, Recipient.DEVICE, Request.SET_CONFIGURATION, first)
        except BaseException:
            connection.close()
            raise
        return Handle(dev, connection)

    def _configuration(self, dev: ExportedDevice, index: int) -> Configuration:
        if dev.descriptor is None:
            self.close_device(self._import(dev))
        if index >= len(dev.configurations):  # the list told of more
            raise usb_error(errno.EPROTO)
        return dev.configurations[index]


def get_backend(where: str, busid: str | None = None) -> UsbipBackend:
    """The backend for the server at `where`: HOST:PORT, PORT on this machine, or a Unix socket's path."""
    return UsbipBackend(where, busid, SystemClock())


def _read_descriptors(connection: UsbipConnection) -> tuple[DeviceDescriptor, tuple[Configuration, ...]]:
    try:
        device = DeviceDescriptor.decode(_get_descriptor(connection, DescriptorType.DEVICE, 0, 18))
        configurations = tuple(
            Configuration.decode(
                _get_descriptor(connection, DescriptorType.CONFIGURATION, index, _LONGEST_CONFIGURATION)
            )
            for index in range(device.bNumConfigurations)
        )
        for configuration in configurations:
            _check_counts(configuration)
    except WireError as error:
        raise usb.core.USBError(f"the device describes itself wrongly: {error}", errno=errno.EPROTO) from error
    return device, configurations


def _check_counts(configuration: Configuration) -> None:
    """pyusb believes bNumEndpoints. Raises WireError for one that is wrong."""
    for interface in configuration.interfaces:
        there = len(configuration.endpoints(interface))
        if there != interface.bNumEndpoints:
            raise WireError(f"an interface with {interface.bNumEndpoints} endpoints has {there}")


def _get_descriptor(connection: UsbipConnection, kind: int, index: int, length: int) -> bytes:
    setup = SetupPacket(IN, Request.GET_DESCRIPTOR, kind << 8 | index, 0, length).encode()
    return connection.receive(0, length, CONNECT_TIMEOUT_S, setup)


def _get_configuration(connection: UsbipConnection) -> int:
    value = connection.receive(0, 1, CONNECT_TIMEOUT_S, SetupPacket(IN, Request.GET_CONFIGURATION, 0, 0, 1).encode())
    if len(value) != 1:
        raise usb_error(errno.EPROTO)
    return value[0]


def _control_out(connection: UsbipConnection, recipient: int, request: int, value: int, index: int = 0) -> None:
    connection.send(0, b"", CONNECT_TIMEOUT_S, SetupPacket(recipient, request, value, index, 0).encode())


def _interface(configuration: Configuration, index: int, alternate: int) -> tuple[Any, tuple[Descriptor, ...]]:
    """The `alternate`-th setting of the `index`-th interface and what stands behind it. Raises IndexError."""
    numbers = list(dict.fromkeys(one.bInterfaceNumber for one in configuration.interfaces))
    settings = [one for one in configuration.interfaces if one.bInterfaceNumber == numbers[index]]
    interface = settings[alternate]
    return interface, configuration.behind(interface)


def _extra(descriptors: tuple[Descriptor, ...]) -> list[int]:
    """What is neither interface nor endpoint, up to the first that is, as libusb cuts it."""
    raw = b""
    for one in descriptors:
        if isinstance(one, InterfaceDescriptor | EndpointDescriptor):
            break
        raw += one.encode()
    return list(raw)


def _fields(descriptor: Any, **more: Any) -> SimpleNamespace:
    """A descriptor's fields under their names, as pyusb copies them."""
    raw = descriptor.encode()
    named = {field.name: getattr(descriptor, field.name) for field in dataclasses.fields(descriptor)}
    return SimpleNamespace(bLength=raw[0], bDescriptorType=raw[1], **named, **more)


def _as_far_as_listed(listed: ListedDevice) -> DeviceDescriptor:
    """The descriptor of a device that another host has: what the list tells, and no strings."""
    device = listed.device
    return DeviceDescriptor(
        bcdUSB=0x0200,
        bDeviceClass=device.bDeviceClass,
        bDeviceSubClass=device.bDeviceSubClass,
        bDeviceProtocol=device.bDeviceProtocol,
        bMaxPacketSize0=64,
        idVendor=device.idVendor,
        idProduct=device.idProduct,
        bcdDevice=device.bcdDevice,
        iManufacturer=0,
        iProduct=0,
        iSerialNumber=0,
        bNumConfigurations=device.bNumConfigurations,
    )


def _size(buffer: array[int]) -> int:
    return len(buffer) * buffer.itemsize


def _filled(buffer: array[int], data: bytes) -> int:
    """Copy `data` to the beginning of `buffer`; how much that was."""
    memoryview(buffer).cast("B")[: len(data)] = data
    return len(data)


def _seconds(timeout_ms: int) -> float | None:
    """pyusb counts in milliseconds, and 0 is for ever."""
    return timeout_ms / 1000 if timeout_ms else None
