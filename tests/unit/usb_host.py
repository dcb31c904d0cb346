"""A USB host at the end of the transfers of a simulated token."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from firmware_sim.links.cable import Cable
from firmware_sim.links.usb_device import UsbDevice
from firmware_sim.testing.bench import make_bench
from provision.wire import ccid, framing, usb, usbip

SELECT = bytes.fromhex("00A4040007A0000005272101")
SERIAL_OUT, SERIAL_IN, READER_OUT, READER_IN, READER_NOTIFY = 2, 0x82, 3, 0x83, 0x84


class Host:
    """A USB host at the end of the transfers."""

    def __init__(self, functions: tuple[str, ...] | None = None) -> None:
        self.bench = make_bench()
        self.cable = Cable(self.bench.token, self.bench.clock, self.bench.supply.restore)
        self.bench.token.power_on()
        self.device = UsbDevice(self.cable if functions is None else OtherFamily(self.cable, functions))
        self.numbers = itertools.count(1)
        self.answers: dict[int, usbip.SubmitReply] = {}

    def submit(
        self, direction: int, endpoint: int, length: int, setup: bytes = usbip.NO_SETUP, data: bytes = b""
    ) -> int:
        seqnum = next(self.numbers)
        self.keep(self.device.submit(usbip.Submit(seqnum, 0x10002, direction, endpoint, length, setup, data)))
        return seqnum

    def keep(self, answers: list[usbip.SubmitReply]) -> None:
        for answer in answers:
            assert answer.seqnum not in self.answers, "answered twice"
            self.answers[answer.seqnum] = answer

    def control(
        self, kind: int, request: int, value: int = 0, index: int = 0, length: int = 0, data: bytes = b""
    ) -> bytes | None:
        """None: STALL."""
        direction = usbip.IN if kind & usb.IN else usbip.OUT
        setup = usb.SetupPacket(kind, request, value, index, length or len(data)).encode()
        answer = self.answers[self.submit(direction, 0, length or len(data), setup, data)]
        if answer.status == usbip.Status.STALL:
            return None
        assert answer.status == usbip.Status.OK
        return answer.data

    def out(self, endpoint: int, data: bytes) -> usbip.SubmitReply:
        return self.answers[self.submit(usbip.OUT, endpoint, len(data), data=data)]

    def fetch(self, address: int, length: int = 4160) -> usbip.SubmitReply | None:
        return self.answers.get(self.submit(usbip.IN, address & 0x0F, length))

    def poll(self) -> float | None:
        answers, deadline = self.device.poll()
        self.keep(answers)
        return deadline

    def reader(self, message: ccid.Command) -> ccid.Response:
        assert self.out(READER_OUT, message.encode()).status == 0
        answer = self.fetch(READER_IN)
        assert answer is not None
        return ccid.decode_response(answer.data)

    def frame(self, *frame: Any) -> framing.Frame:
        assert self.out(SERIAL_OUT, framing.encode_frame(*frame)).status == 0
        answer = self.fetch(SERIAL_IN)
        assert answer is not None
        return framing.decode_frame(answer.data[:-1])


class OtherFamily:
    """Lines of a token of another family, as far as USB sees it."""

    def __init__(self, lines: Cable, functions: tuple[str, ...]) -> None:
        self.family = dataclasses.replace(lines.family, functions=functions)
        self.serial, self.clock, self.line, self.framed = lines.serial, lines.clock, lines.line, lines.framed


class Echo(OtherFamily):
    """Lines whose chip answers a command with itself."""

    def __init__(self, lines: Cable) -> None:
        super().__init__(lines, lines.family.functions)
        self.line = lambda make: make(self)

    deadline = None

    def transmit(self, apdu: bytes) -> bytes:
        return apdu

    def reset(self) -> None:
        pass


def descriptor(host: Host, kind: int, index: int = 0, length: int = 255) -> bytes | None:
    language = 0x0409 if kind == usb.DescriptorType.STRING and index else 0
    return host.control(0x80, usb.Request.GET_DESCRIPTOR, kind << 8 | index, language, length)
