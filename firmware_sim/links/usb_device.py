"""The token as a USB device at full speed: descriptors, endpoint 0, and its functions. Sans-IO.

Full speed (12 Mbit/s, packets of 64 bytes) because tokens are: no chip of their kind has a high-speed transceiver, and
64 is the packet at whose multiples hosts make their mistakes.
"""

from __future__ import annotations

from firmware_sim.core.family import CCID, CDC_ACM
from firmware_sim.links.port import Lines
from firmware_sim.links.usb_ccid import ReaderFunction
from firmware_sim.links.usb_cdc import SerialFunction
from firmware_sim.links.usb_control import CONFIGURATION, ControlEndpoint
from firmware_sim.links.usb_function import Function, MakeFunction, Place, Stalled
from firmware_sim.links.usb_pipes import PACKET, InPipe
from provision.wire.usb import (
    IN,
    LANGID_ENGLISH_US,
    DescriptorType,
    DeviceClass,
    SetupPacket,
    encode_langids,
    encode_string,
)
from provision.wire.usb_descriptors import Configuration, DeviceDescriptor, InterfaceAssociation
from provision.wire.usbip import IN as DIRECTION_IN
from provision.wire.usbip import Device, ListedDevice, Speed, Status, Submit, SubmitReply

FUNCTIONS: dict[str, MakeFunction] = {CDC_ACM: SerialFunction, CCID: ReaderFunction}
"""What a family's `functions` name."""

BUSID = "1-1"
"""Where the device is plugged in: each port exports one device."""
BUS, DEVICE = 1, 2

MAX_WAITING = 256
"""Transfers that wait on one endpoint. The kernel's drivers have 16."""
MAX_WAITING_BYTES = 1 << 20

_BUS_POWERED = 0x80
_50_MA = 25


class Overloaded(Exception):
    """More transfers than a host of good faith has under way."""


class UsbDevice:
    """One token on its bus. Opens its lines when made; raises PortError if one is missing."""

    def __init__(self, lines: Lines) -> None:
        family = lines.family
        self._answers: list[SubmitReply] = []
        self._functions: list[Function] = []
        by_interface: list[Function] = []
        endpoint = 1
        for name in family.functions:
            place = Place(len(by_interface), endpoint, self._answers)
            function = FUNCTIONS[name](lines, place)
            self._functions.append(function)
            by_interface += [function] * function.interfaces
            endpoint += function.endpoints
        self._pipes = {address: pipe for function in self._functions for address, pipe in function.pipes.items()}
        parts = tuple(one for function in self._functions for one in function.descriptors)
        # The ECN on interface associations says in table 1-1 how a device that has one calls itself.
        associated = any(isinstance(one, InterfaceAssociation) for one in parts)
        self.descriptor = DeviceDescriptor(
            bcdUSB=0x0200,
            bDeviceClass=DeviceClass.MISCELLANEOUS if associated else DeviceClass.PER_INTERFACE,
            bDeviceSubClass=2 if associated else 0,
            bDeviceProtocol=1 if associated else 0,
            bMaxPacketSize0=PACKET,
            idVendor=family.idVendor,
            idProduct=family.idProduct,
            bcdDevice=_bcd(*family.firmware),
            iManufacturer=1,
            iProduct=2,
            iSerialNumber=3,
            bNumConfigurations=1,
        )
        self.configuration = Configuration.of(parts, bmAttributes=_BUS_POWERED, bMaxPower=_50_MA)
        strings = [encode_string(text) for text in (family.iManufacturer, family.iProduct, lines.serial)]
        self._control = ControlEndpoint(
            {
                (DescriptorType.DEVICE, 0): self.descriptor.encode(),
                (DescriptorType.CONFIGURATION, 0): self.configuration.encode(),
                (DescriptorType.STRING, 0): encode_langids(LANGID_ENGLISH_US),
                **{(DescriptorType.STRING, index): string for index, string in enumerate(strings, 1)},
            },
            by_interface,
            self._pipes,
            self._begin_anew,
        )

    def submit(self, transfer: Submit) -> list[SubmitReply]:
        """Begin a transfer: every answer that this brings, its own perhaps among them. Raises Overloaded."""
        endpoint = transfer.endpoint
        if not endpoint:
            self._answers.append(self._control_transfer(transfer))
            return self._take()
        is_in = transfer.direction == DIRECTION_IN
        pipe = self._pipes.get(endpoint | IN if is_in else endpoint)
        if pipe is None or not self._control.configuration:
            self._answers.append(SubmitReply(transfer.seqnum, Status.NO_ENTRY, 0))
        elif isinstance(pipe, InPipe):
            pipe.submit(transfer.seqnum, transfer.length)
            self._go_on()
        else:
            pipe.submit(transfer.seqnum, transfer.data)
        if pipe is not None and (pipe.waiting > MAX_WAITING or pipe.queued > MAX_WAITING_BYTES):
            raise Overloaded(f"{pipe.waiting} transfers wait on endpoint {endpoint}")
        return self._take()

    def unlink(self, seqnum: int) -> bool:
        """Take a transfer back: whether it still waited. If not, its answer is on its way, or there was none."""
        return any(pipe.unlink(seqnum) for pipe in self._pipes.values())

    def poll(self) -> tuple[list[SubmitReply], float | None]:
        """The answers that time or a person brought, and the true time (Unix seconds) at which to poll again."""
        deadlines = [deadline for function in self._functions if (deadline := function.poll()) is not None]
        return self._take(), min(deadlines, default=None)

    def reset(self) -> None:
        """Another host, or none: configured, with nothing under way and every channel closed."""
        self._control.configuration = CONFIGURATION
        self._begin_anew()
        self._answers.clear()

    @property
    def drained(self) -> bool:
        """Whether a host has fetched every reply."""
        return not any(function.queued for function in self._functions)

    @property
    def exported(self) -> ListedDevice:
        """As USB/IP shows it."""
        one, interfaces = self.descriptor, self.configuration.interfaces
        return ListedDevice(
            Device(
                path=f"/sys/devices/firmware-sim/usb{BUS}/{BUSID}",
                busid=BUSID,
                busnum=BUS,
                devnum=DEVICE,
                speed=Speed.FULL,
                idVendor=one.idVendor,
                idProduct=one.idProduct,
                bcdDevice=one.bcdDevice,
                bDeviceClass=one.bDeviceClass,
                bDeviceSubClass=one.bDeviceSubClass,
                bDeviceProtocol=one.bDeviceProtocol,
                bConfigurationValue=self._control.configuration,
                bNumConfigurations=one.bNumConfigurations,
                bNumInterfaces=len(interfaces),
            ),
            tuple((one.bInterfaceClass, one.bInterfaceSubClass, one.bInterfaceProtocol) for one in interfaces),
        )

    def _control_transfer(self, transfer: Submit) -> SubmitReply:
        setup = SetupPacket.decode(transfer.setup)
        if setup.is_in != (transfer.direction == DIRECTION_IN) and setup.wLength:
            return SubmitReply(transfer.seqnum, Status.STALL, 0)
        try:
            answer = self._control.request(setup, transfer.data)[: transfer.length]
        except Stalled:
            return SubmitReply(transfer.seqnum, Status.STALL, 0)
        return SubmitReply(transfer.seqnum, Status.OK, len(answer) or len(transfer.data), answer)

    def _begin_anew(self) -> None:
        for function in self._functions:
            function.reset()

    def _go_on(self) -> None:
        """What a host fetched made room: go on with what waited for that."""
        for function in self._functions:
            function.go_on()

    def _take(self) -> list[SubmitReply]:
        taken = self._answers[:]
        self._answers.clear()
        return taken


def _bcd(major: int, minor: int, patch: int) -> int:
    """bcdDevice: two digits for the major version, one for each of the others, which end at 9."""
    return int(f"{min(major, 99)}{min(minor, 9)}{min(patch, 9)}", 16)
