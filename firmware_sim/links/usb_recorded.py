"""A USB device that tells a capture what passes on its bus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_sim.links.port import Lines
from firmware_sim.links.usb_device import BUS, DEVICE, UsbDevice
from provision.wire.capture.linktypes import Transfer
from provision.wire.usb import IN, TransferType
from provision.wire.usbip import IN as DIRECTION_IN
from provision.wire.usbip import Status, Submit, SubmitReply

if TYPE_CHECKING:  # every port asks here, and hardly one is captured
    from provision.wire.capture.recorder import Recorder


def usb_device(lines: Lines, recorder: Recorder | None) -> UsbDevice:
    """The token as a USB device. Raises PortError if one of its lines is missing."""
    return UsbDevice(lines) if recorder is None else _RecordedDevice(lines, recorder)


class _RecordedDevice(UsbDevice):
    def __init__(self, lines: Lines, recorder: Recorder) -> None:
        super().__init__(lines)
        self._tap = recorder.usb(BUS, DEVICE, self.configuration.encode())
        self._interrupt = {
            endpoint.bEndpointAddress
            for interface in self.configuration.interfaces
            for endpoint in self.configuration.endpoints(interface)
            if endpoint.transfer_type is TransferType.INTERRUPT
        }

    def submit(self, transfer: Submit) -> list[SubmitReply]:
        endpoint = transfer.endpoint | (IN if transfer.direction == DIRECTION_IN else 0)
        kind = Transfer.BULK
        if not transfer.endpoint:
            kind = Transfer.CONTROL
        elif endpoint in self._interrupt:
            kind = Transfer.INTERRUPT
        self._tap.submit(
            transfer.seqnum,
            kind,
            endpoint,
            setup=transfer.setup if kind is Transfer.CONTROL else b"",
            data=transfer.data,
            length=transfer.length,
        )
        return self._told(super().submit(transfer))

    def unlink(self, seqnum: int) -> bool:
        waited = super().unlink(seqnum)
        if waited:
            self._tap.complete(seqnum, Status.UNLINKED, length=0)
        return waited

    def poll(self) -> tuple[list[SubmitReply], float | None]:
        answers, deadline = super().poll()
        return self._told(answers), deadline

    def reset(self) -> None:
        super().reset()
        self._tap.reset()

    def _told(self, answers: list[SubmitReply]) -> list[SubmitReply]:
        for answer in answers:
            self._tap.complete(answer.seqnum, answer.status, data=answer.data, length=answer.actual_length)
        return answers
