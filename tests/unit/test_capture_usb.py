"""The taps on USB devices, readers and cards, on both sides of the wire."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest

from firmware_sim.links.cable import Cable
from firmware_sim.links.recorded import recorded_channel
from firmware_sim.links.usb_device import UsbDevice
from firmware_sim.links.usb_recorded import usb_device
from firmware_sim.testing.bench import make_bench
from provision.errors import LinkError, NotFound, Timeout
from provision.links.capture import RecordedLink
from provision.links.usb_recorded import RecordedPipe
from provision.wire import ccid, oath
from provision.wire.apdu import Command, encode_command
from provision.wire.capture.linktypes import Transfer
from provision.wire.capture.recorder import Recorder
from provision.wire.usb import IN, DescriptorType, DeviceClass, Request, SetupPacket, TransferType
from provision.wire.usbip import IN as DIRECTION_IN
from provision.wire.usbip import OUT, Submit

DEVICE = SetupPacket(IN, Request.GET_DESCRIPTOR, DescriptorType.DEVICE << 8, 0, 18)
SELECT = encode_command(Command(0, 0xA4, 4, 0, oath.OATH_AID))
VERIFY = encode_command(Command(0, oath.Ins.VERIFY_PIN, 0, 0, b"\x80\x06271828"))


class Taken:
    """The packets that a Recorder wrote, without their blocks' heads."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.recorder = Recorder(self._write, lambda: 1_767_225_600.0, "test")

    def _write(self, block: bytes) -> None:
        kind, _, _, _, _, length = struct.unpack_from("<6I", block.ljust(24, b"\0"))
        if kind == 6:
            self.packets.append(block[28 : 28 + length])

    @property
    def urbs(self) -> list[tuple[int, str, int, int, int, bytes]]:
        """(number, event, transfer, endpoint, status, data)."""
        return [
            (urb, event.decode(), kind, endpoint, status, data[64:])
            for data in self.packets
            for urb, event, kind, endpoint, status in [struct.unpack_from("<QcBB17xi", data)]
        ]

    @property
    def apdus(self) -> list[bytes]:
        return [data[24:] for data in self.packets]


@pytest.fixture
def taken():
    return Taken()


@pytest.fixture
def device(taken):
    bench = make_bench()
    bench.token.power_on()
    return usb_device(Cable(bench.token, bench.clock, bench.supply.restore), taken.recorder)


def reader_pipes(device: UsbDevice) -> tuple[int, int]:
    """The addresses of the reader's bulk pipes, out and in."""
    [reader] = [one for one in device.configuration.interfaces if one.bInterfaceClass == DeviceClass.CCID]
    bulk = {
        endpoint.bEndpointAddress
        for endpoint in device.configuration.endpoints(reader)
        if endpoint.transfer_type is TransferType.BULK
    }
    return min(bulk), max(bulk)


def test_a_device_that_nobody_records_is_a_plain_one():
    bench = make_bench()
    assert type(usb_device(Cable(bench.token, bench.clock, bench.supply.restore), None)) is UsbDevice


def test_a_device_tells_each_transfer_when_it_begins_and_when_it_ends(taken, device):
    [reply] = device.submit(Submit(5, 0, DIRECTION_IN, 0, 18, DEVICE.encode()))
    pipe_out, pipe_in = reader_pipes(device)
    device.reset()
    assert device.submit(Submit(6, 0, DIRECTION_IN, pipe_in & 0x0F, 512)) == []
    message = ccid.IccPowerOn(0, 1).encode()
    answers = device.submit(Submit(7, 0, OUT, pipe_out, len(message), data=message))
    atr = next(answer.data for answer in answers if answer.seqnum == 6)
    assert taken.urbs == [
        (5, "S", Transfer.CONTROL, 0x80, -115, b""),
        (5, "C", Transfer.CONTROL, 0x80, 0, reply.data),
        (6, "S", Transfer.BULK, pipe_in, -115, b""),
        (7, "S", Transfer.BULK, pipe_out, -115, message),
        *[
            (answer.seqnum, "C", Transfer.BULK, pipe_in if answer.seqnum == 6 else pipe_out, 0, answer.data)
            for answer in answers
        ],
    ]
    assert atr in [data for *_, data in taken.urbs]


def test_a_transfer_taken_back_and_one_that_time_answers_are_told(taken, device):
    interrupt = min(address for address in device._interrupt) & 0x0F
    device.submit(Submit(1, 0, DIRECTION_IN, interrupt, 16))
    assert device.unlink(1)
    assert not device.unlink(1)
    device.poll()
    assert [urb[:5] for urb in taken.urbs] == [
        (1, "S", Transfer.INTERRUPT, IN | interrupt, -115),
        (1, "C", Transfer.INTERRUPT, IN | interrupt, -104),
    ]


class Pipe:
    """A host's pipe to a reader, as links/usb.py has it."""

    out_address, in_address, interface = 0x04, 0x84, 2

    def __init__(self, answer: bytes | LinkError) -> None:
        self.answer = answer
        self.closed = False

    def write(self, transfer: bytes, timeout_s: float) -> None:
        if isinstance(self.answer, LinkError):
            raise self.answer

    def read(self, size: int, timeout_s: float) -> bytes:
        if isinstance(self.answer, LinkError):
            raise self.answer
        return self.answer

    def abort(self, slot: int, seq: int, timeout_s: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def described(device: UsbDevice) -> SimpleNamespace:
    """`device` as pyusb shows it."""

    def ctrl_transfer(request_type: int, request: int, value: int, index: int, length: int) -> bytes:
        setup = SetupPacket(request_type, request, value, index, length).encode()
        return device.submit(Submit(1, 0, DIRECTION_IN, 0, length, setup))[0].data

    configuration = SimpleNamespace(wTotalLength=device.configuration.header.wTotalLength)
    return SimpleNamespace(
        bus=1, address=None, ctrl_transfer=ctrl_transfer, get_active_configuration=lambda: configuration
    )


@pytest.fixture
def plain_device():
    bench = make_bench()
    bench.token.power_on()
    return UsbDevice(Cable(bench.token, bench.clock, bench.supply.restore))


def test_a_hosts_pipe_tells_what_the_device_is_and_then_its_transfers(taken, plain_device):
    answer = ccid.DataBlock(0, 1, data=b"\x90\x00").encode()
    inner = Pipe(answer)
    inner.out_address, inner.in_address = pipe_out, pipe_in = reader_pipes(plain_device)
    pipe = RecordedPipe(inner, described(plain_device), taken.recorder)
    command = ccid.XfrBlock(0, 1, data=SELECT).encode()
    pipe.write(command, 1.0)
    assert pipe.read(512, 1.0) == answer
    pipe.abort(0, 9, 1.0)
    pipe.close()
    assert inner.closed
    assert taken.urbs == [
        (1, "S", Transfer.CONTROL, 0x80, -115, b""),
        (1, "C", Transfer.CONTROL, 0x80, 0, plain_device.descriptor.encode()),
        (2, "S", Transfer.CONTROL, 0x80, -115, b""),
        (2, "C", Transfer.CONTROL, 0x80, 0, plain_device.configuration.encode()),
        (3, "S", Transfer.BULK, pipe_out, -115, command),
        (3, "C", Transfer.BULK, pipe_out, 0, b""),
        (4, "S", Transfer.BULK, pipe_in, -115, b""),
        (4, "C", Transfer.BULK, pipe_in, 0, answer),
        (5, "S", Transfer.CONTROL, 0x00, -115, b""),
        (5, "C", Transfer.CONTROL, 0x00, 0, b""),
    ]


@pytest.mark.parametrize(("error", "status"), [(Timeout("late"), -2), (NotFound("gone"), -108)])
def test_a_transfer_that_failed_is_told_too(taken, plain_device, error, status):
    pipe = RecordedPipe(Pipe(error), described(plain_device), taken.recorder)
    with pytest.raises(LinkError):
        pipe.write(b"", 1.0)
    with pytest.raises(LinkError):
        pipe.read(64, 1.0)
    assert [urb[4] for urb in taken.urbs[4:]] == [-115, status, -115, status]


# Cards.


def test_a_hosts_link_tells_its_apdus_masked(taken):
    class Card:
        address = "pcsc:test"
        closed = False

        def exchange(self, command):
            if command == b"":
                raise LinkError("gone")
            return b"\x90\x00"

        def close(self):
            self.closed = True

    card = Card()
    with RecordedLink(card, taken.recorder.apdus()) as link:
        assert link.address == "pcsc:test"
        assert link.exchange(VERIFY) == b"\x90\x00"
        with pytest.raises(LinkError):
            link.exchange(b"")
    assert card.closed
    assert taken.apdus == [VERIFY[:5] + b"*" * 8, b"\x90\x00", b""]


def test_a_devices_channel_tells_its_apdus_masked(taken):
    bench = make_bench()
    bench.token.power_on()
    plain = bench.token.open_channel()
    assert recorded_channel(plain, None) is plain
    channel = recorded_channel(plain, taken.recorder)
    selected = channel.transmit(SELECT)
    assert channel.poll() is None
    assert channel.deadline is None
    channel.reset()
    assert channel.transmit(VERIFY) is not None
    assert taken.apdus[0] == SELECT
    assert len(taken.apdus[1]) == len(selected)
    assert taken.apdus[2] == VERIFY[:5] + b"*" * 8
