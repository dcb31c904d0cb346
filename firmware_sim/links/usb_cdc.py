"""The token's serial line as a USB function: CDC 1.2 with abstract control (PSTN 1.2), what systems call a modem.

It carries the frames of docs/PROTOCOL.md section 2 byte for byte, whatever the speed: line coding is kept and means
nothing. When DTR drops, the program at the other end has gone, and its channel closes.
"""

from __future__ import annotations

from firmware_sim.links.port import Lines
from firmware_sim.links.usb_function import Place, Stalled
from firmware_sim.links.usb_pipes import FULL, PACKET, InPipe, OutPipe
from provision.wire.usb import IN, DeviceClass, SetupPacket, TransferType
from provision.wire.usb_descriptors import (
    CdcAcm,
    CdcCallManagement,
    CdcHeader,
    CdcUnion,
    Descriptor,
    EndpointDescriptor,
    InterfaceAssociation,
    InterfaceDescriptor,
)

# (bmRequestType, bRequest) to the control interface: PSTN 1.2 section 6.3.
_SET_LINE_CODING = (0x21, 0x20)
_GET_LINE_CODING = (0xA1, 0x21)
_SET_CONTROL_LINE_STATE = (0x21, 0x22)
_SEND_BREAK = (0x21, 0x23)
_DTR = 0x01  # of SET_CONTROL_LINE_STATE's wValue

_ABSTRACT_CONTROL = 0x02
_LINE_AND_BREAK = 0x06
_LINE_CODING_SIZE = 7
_115200_8N1 = (115200).to_bytes(4, "little") + bytes((0, 0, 8))


class SerialFunction:
    """Implements Function: a control interface with the endpoint that no notification ever comes from, and a data
    interface."""

    interfaces = 2
    endpoints = 2

    def __init__(self, lines: Lines, place: Place) -> None:
        self._line = lines.framed()
        self._place = place
        self._coding = _115200_8N1
        self._dtr = False
        self._in = InPipe(place.answers)
        self._out = OutPipe(place.answers, self._receive, lambda: self._in.queued < FULL)
        self._notify_address = IN | place.endpoint
        self._in_address = IN | place.endpoint + 1
        self._out_address = place.endpoint + 1
        self.pipes: dict[int, InPipe | OutPipe] = {
            self._notify_address: InPipe(place.answers),
            self._in_address: self._in,
            self._out_address: self._out,
        }

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        control, data = self._place.interface, self._place.interface + 1
        return (
            InterfaceAssociation(control, self.interfaces, DeviceClass.CDC, _ABSTRACT_CONTROL, 0, 0),
            InterfaceDescriptor(control, 0, 1, DeviceClass.CDC, _ABSTRACT_CONTROL, 0, 0),
            CdcHeader(bcdCDC=0x0120),
            CdcCallManagement(bmCapabilities=0, bDataInterface=data),
            CdcAcm(_LINE_AND_BREAK),
            CdcUnion(control, data),
            EndpointDescriptor(self._notify_address, TransferType.INTERRUPT, 16, bInterval=16),
            InterfaceDescriptor(data, 0, 2, DeviceClass.CDC_DATA, 0, 0, 0),
            EndpointDescriptor(self._out_address, TransferType.BULK, PACKET, 0),
            EndpointDescriptor(self._in_address, TransferType.BULK, PACKET, 0),
        )

    @property
    def queued(self) -> int:
        return self._in.queued

    def control(self, setup: SetupPacket, data: bytes) -> bytes:
        if setup.wIndex != self._place.interface:
            raise Stalled
        request = setup.bmRequestType, setup.bRequest
        if request == _GET_LINE_CODING:
            return self._coding
        if request == _SET_LINE_CODING and len(data) == _LINE_CODING_SIZE:
            self._coding = data
        elif request == _SET_CONTROL_LINE_STATE:
            self._set_dtr(bool(setup.wValue & _DTR))
        elif request != _SEND_BREAK:
            raise Stalled
        return b""

    def poll(self) -> float | None:
        replies, deadline = self._line.poll()
        self._say(replies)
        return deadline

    def go_on(self) -> None:
        self._out.go_on()

    def reset(self) -> None:
        self._dtr = False
        self._line.disconnect()
        for pipe in self.pipes.values():
            pipe.reset()

    def _receive(self, data: bytes) -> None:
        self._say(self._line.receive(data))

    def _say(self, replies: list[bytes]) -> None:
        if replies:
            self._in.send(b"".join(replies))

    def _set_dtr(self, dtr: bool) -> None:
        if self._dtr and not dtr:
            self._line.disconnect()
            self._in.flush()
        self._dtr = dtr
