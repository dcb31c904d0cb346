"""The token on its bus: enumeration, standard requests, its serial line and its reader, halts, unlinks and resets."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from firmware_sim.core.family import CCID
from firmware_sim.flash import Moment, PowerCut
from firmware_sim.links.cable import Cable
from firmware_sim.links.usb_device import MAX_WAITING, MAX_WAITING_BYTES, Overloaded, UsbDevice
from firmware_sim.links.usb_pipes import FULL
from firmware_sim.testing.bench import make_bench
from provision.wire import ccid, framing, usb, usbip
from provision.wire.apdu import Command, Sw, encode_command
from provision.wire.usb_descriptors import (
    CcidDescriptor,
    CdcCallManagement,
    CdcUnion,
    Configuration,
    DeviceDescriptor,
    InterfaceAssociation,
)

SELECT = bytes.fromhex("00A4040007A0000005272101")
SERIAL_OUT, SERIAL_IN, READER_OUT, READER_IN, READER_NOTIFY = 2, 0x82, 3, 0x83, 0x84


class Host:
    """A USB host at the end of the transfers."""

    def __init__(self, functions: tuple[str, ...] | None = None) -> None:
        self.bench = make_bench()
        self.cable = Cable(self.bench.token, self.bench.clock, self.bench.supply.restore)
        self.bench.token.power_on()
        self.device = UsbDevice(self.cable if functions is None else _Only(self.cable, functions))
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


class _Only:
    """Lines of a token of another family, as far as USB sees it."""

    def __init__(self, lines: Cable, functions: tuple[str, ...]) -> None:
        self.family = dataclasses.replace(lines.family, functions=functions)
        self.serial, self.clock, self.line, self.framed = lines.serial, lines.clock, lines.line, lines.framed


class _Echo(_Only):
    """Lines whose chip answers a command with itself."""

    def __init__(self, lines: Cable) -> None:
        super().__init__(lines, lines.family.functions)
        self.line = lambda make: make(self)

    deadline = None

    def transmit(self, apdu: bytes) -> bytes:
        return apdu

    def reset(self) -> None:
        pass


@pytest.fixture
def host() -> Host:
    return Host()


def descriptor(host: Host, kind: int, index: int = 0, length: int = 255) -> bytes | None:
    language = 0x0409 if kind == usb.DescriptorType.STRING and index else 0
    return host.control(0x80, usb.Request.GET_DESCRIPTOR, kind << 8 | index, language, length)


class TestDescriptors:
    def test_device(self, host: Host) -> None:
        raw = descriptor(host, usb.DescriptorType.DEVICE)
        assert raw is not None
        one = DeviceDescriptor.decode(raw)
        assert (one.idVendor, one.idProduct, one.bcdDevice) == (0x1209, 0x0001, 0x0100)
        assert (one.bDeviceClass, one.bDeviceSubClass, one.bDeviceProtocol) == (0xEF, 2, 1)
        assert (one.bcdUSB, one.bMaxPacketSize0, one.bNumConfigurations) == (0x0200, 64, 1)
        strings = [descriptor(host, usb.DescriptorType.STRING, index) for index in range(4)]
        assert strings[0] == bytes((4, 3, 0x09, 0x04))
        texts = [usb.decode_string(string) for string in strings[1:] if string is not None]
        assert texts == ["hwtoken", "hwtoken reference token", "SIM00000"]

    def test_serial_line_first_and_reader(self, host: Host) -> None:
        raw = descriptor(host, usb.DescriptorType.CONFIGURATION, length=4096)
        assert raw is not None
        configuration = Configuration.decode(raw)
        assert configuration.header.bNumInterfaces == 3
        assert [(one.bInterfaceNumber, one.bInterfaceClass) for one in configuration.interfaces] == [
            (0, 0x02), (1, 0x0A), (2, 0x0B)
        ]  # fmt: skip
        kinds = {type(one): one for one in configuration.descriptors}
        assert kinds[InterfaceAssociation] == InterfaceAssociation(0, 2, 2, 2, 0, 0)
        assert kinds[CdcUnion] == CdcUnion(0, 1)
        assert kinds[CdcCallManagement] == CdcCallManagement(0, 1)
        reader = kinds[CcidDescriptor]
        assert isinstance(reader, CcidDescriptor) and len(reader.encode()) == 54
        assert reader.dwFeatures & 0x70000 == 0x40000  # extended APDU level
        assert reader.dwMaxCCIDMessageLength == 10 + framing.MAX_PAYLOAD
        addresses = [one.bEndpointAddress for i in configuration.interfaces for one in configuration.endpoints(i)]
        assert addresses == [0x81, SERIAL_OUT, SERIAL_IN, READER_IN, READER_OUT, READER_NOTIFY]
        assert all(
            one.wMaxPacketSize == 64
            for interface in configuration.interfaces
            for one in configuration.endpoints(interface)
            if one.transfer_type is usb.TransferType.BULK
        )

    def test_a_family_without_a_serial_line_is_a_reader_and_nothing_else(self) -> None:
        device = Host((CCID,)).device
        one = device.descriptor
        assert (one.bDeviceClass, one.bDeviceSubClass, one.bDeviceProtocol) == (0, 0, 0)
        assert [one.bInterfaceClass for one in device.configuration.interfaces] == [0x0B]
        assert device.exported.interfaces == ((0x0B, 0, 0),)

    @pytest.mark.parametrize("length", [0, 1, 8, 9, 64, 158, 159, 160, 4096])
    def test_cut_to_what_was_asked_for(self, host: Host, length: int) -> None:
        whole = host.device.configuration.encode()
        setup = usb.SetupPacket(0x80, 6, 0x0200, 0, length).encode()
        seqnum = host.submit(usbip.IN if length else usbip.OUT, 0, length, setup)
        assert host.answers[seqnum].data == whole[:length]
        # A transfer may have more room than the request names.
        assert host.answers[host.submit(usbip.IN, 0, 4096, setup)].data == whole[:length]

    @pytest.mark.parametrize("value", [0x0101, 0x0201, 0x0304, 0x0600, 0x0700, 0x0F00, 0x2100, 0x2200])
    def test_descriptors_that_there_are_not(self, host: Host, value: int) -> None:
        assert host.control(0x80, usb.Request.GET_DESCRIPTOR, value, 0x0409, 255) is None

    def test_an_interface_has_nothing_more_to_describe(self, host: Host) -> None:
        for interface in range(3):
            assert host.control(0x81, usb.Request.GET_DESCRIPTOR, 0x2200, interface, 255) is None

    @pytest.mark.parametrize(
        ("firmware", "bcd"), [((5, 7, 4), 0x0574), ((1, 0, 0), 0x0100), ((12, 3, 10), 0x1239), ((3, 14, 0), 0x0390)]
    )
    def test_the_firmware_is_bcddevice(self, host: Host, firmware: tuple[int, int, int], bcd: int) -> None:
        lines = _Only(host.cable, (CCID,))
        lines.family = dataclasses.replace(lines.family, firmware=firmware)
        assert UsbDevice(lines).descriptor.bcdDevice == bcd

    def test_strings_in_another_language(self, host: Host) -> None:
        assert host.control(0x80, usb.Request.GET_DESCRIPTOR, 0x0301, 0x0407, 255) is None


class TestStandardRequests:
    def test_status(self, host: Host) -> None:
        assert host.control(0x80, usb.Request.GET_STATUS, 0, 0, 2) == b"\0\0"
        for interface in range(3):
            assert host.control(0x81, usb.Request.GET_STATUS, 0, interface, 2) == b"\0\0"
        assert host.control(0x81, usb.Request.GET_STATUS, 0, 3, 2) is None
        assert host.control(0x82, usb.Request.GET_STATUS, 0, 0, 2) == b"\0\0"
        assert host.control(0x82, usb.Request.GET_STATUS, 0, 0x80, 2) == b"\0\0"
        assert host.control(0x82, usb.Request.GET_STATUS, 0, 0x8F, 2) is None

    def test_configuration(self, host: Host) -> None:
        assert host.control(0x80, usb.Request.GET_CONFIGURATION, length=1) == b"\x01"
        assert host.control(0x00, usb.Request.SET_CONFIGURATION, 2) is None
        assert host.control(0x00, usb.Request.SET_CONFIGURATION, 0) == b""
        assert host.control(0x80, usb.Request.GET_CONFIGURATION, length=1) == b"\0"
        assert host.control(0x81, usb.Request.GET_INTERFACE, 0, 0, 1) is None
        assert host.control(0x02, usb.Request.SET_FEATURE, 0, READER_IN) is None
        assert host.fetch(READER_NOTIFY) == usbip.SubmitReply(next(host.numbers) - 1, usbip.Status.NO_ENTRY, 0)
        assert host.control(0x00, usb.Request.SET_CONFIGURATION, 1) == b""
        assert host.control(0x81, usb.Request.GET_INTERFACE, 0, 0, 1) == b"\0"

    def test_the_next_host_finds_it_configured(self, host: Host) -> None:
        host.control(0x00, usb.Request.SET_CONFIGURATION, 0)
        assert host.device.exported.device.bConfigurationValue == 0
        host.device.reset()
        assert host.device.exported.device.bConfigurationValue == 1
        assert isinstance(host.reader(ccid.IccPowerOn(0, 1)), ccid.DataBlock)

    def test_alternate_settings(self, host: Host) -> None:
        for interface in range(3):
            assert host.control(0x01, usb.Request.SET_INTERFACE, 0, interface) == b""
            assert host.control(0x01, usb.Request.SET_INTERFACE, 1, interface) is None
        assert host.control(0x01, usb.Request.SET_INTERFACE, 0, 3) is None
        host.control(0x02, usb.Request.SET_FEATURE, usb.Feature.ENDPOINT_HALT, READER_IN)
        host.control(0x01, usb.Request.SET_INTERFACE, 0, 2)
        assert host.control(0x82, usb.Request.GET_STATUS, 0, READER_IN, 2) == b"\0\0"

    def test_a_request_whose_data_are_not_as_long_as_it_says(self, host: Host) -> None:
        coding = bytes(7)
        assert host.control(0x21, 0x20, 0, 0, 8, coding) is None
        assert host.control(0x21, 0x20, 0, 0, 7, coding) == b""

    def test_address(self, host: Host) -> None:
        assert host.control(0x00, usb.Request.SET_ADDRESS, 7) == b""
        assert host.control(0x00, usb.Request.SET_ADDRESS, 200) is None

    def test_no_remote_wakeup_is_promised_and_none_is_taken(self, host: Host) -> None:
        assert not host.device.configuration.header.bmAttributes & 0x20
        assert host.control(0x00, usb.Request.SET_FEATURE, usb.Feature.DEVICE_REMOTE_WAKEUP) is None
        assert host.control(0x00, usb.Request.SET_FEATURE, usb.Feature.TEST_MODE, 0x0400) is None

    def test_halt_and_clear(self, host: Host) -> None:
        assert host.control(0x02, usb.Request.SET_FEATURE, usb.Feature.ENDPOINT_HALT, READER_IN) == b""
        assert host.control(0x82, usb.Request.GET_STATUS, 0, READER_IN, 2) == b"\x01\0"
        stalled = host.fetch(READER_IN)
        assert stalled is not None and stalled.status == usbip.Status.STALL
        assert host.control(0x02, usb.Request.CLEAR_FEATURE, usb.Feature.ENDPOINT_HALT, READER_IN) == b""
        assert host.control(0x82, usb.Request.GET_STATUS, 0, READER_IN, 2) == b"\0\0"
        assert isinstance(host.reader(ccid.IccPowerOn(0, 1)), ccid.DataBlock)

    @given(
        st.binary(min_size=8, max_size=8) | st.tuples(*[st.integers(0, 12)] * 8).map(bytes),
        st.booleans(),
        st.integers(0, 300),
        st.binary(max_size=20),
    )
    def test_any_setup_packet_is_answered_once(self, setup: bytes, is_in: bool, length: int, data: bytes) -> None:
        host = Host()
        answer = host.answers[host.submit(int(is_in), 0, length if is_in else len(data), setup, b"" if is_in else data)]
        assert answer.status in (usbip.Status.OK, usbip.Status.STALL)
        assert len(answer.data) <= min(length, int.from_bytes(setup[6:8], "little"))
        assert descriptor(host, usb.DescriptorType.DEVICE) is not None


class TestSerialLine:
    def test_frames_pass_byte_for_byte(self, host: Host) -> None:
        assert host.frame(framing.Kind.HELLO, 0, 77, b"\x01").kind == framing.Kind.HELLO_REPLY
        reply = host.frame(framing.Kind.APDU, 1, 77, SELECT)
        assert reply.kind == framing.Kind.APDU_REPLY and reply.payload.endswith(b"\x90\x00")

    def test_a_frame_in_single_bytes(self, host: Host) -> None:
        waiting = host.submit(usbip.IN, SERIAL_IN & 0x0F, 128)
        for byte in framing.encode_frame(framing.Kind.HELLO, 0, 77, b"\x01"):
            assert waiting not in host.answers
            host.out(SERIAL_OUT, bytes((byte,)))
        assert framing.decode_frame(host.answers[waiting].data[:-1]).kind == framing.Kind.HELLO_REPLY

    def test_line_coding(self, host: Host) -> None:
        assert host.control(0xA1, 0x21, length=7) == bytes.fromhex("00C20100000008")
        assert host.control(0x21, 0x20, data=bytes.fromhex("80250000000008")) == b""
        assert host.control(0xA1, 0x21, length=7) == bytes.fromhex("80250000000008")
        assert host.control(0x21, 0x20, data=b"short") is None
        assert host.control(0x21, 0x23, 0xFFFF) == b""  # SEND_BREAK
        assert host.control(0x21, 0x22, 3, 1) is None  # the data interface
        assert host.control(0x21, 0x02) is None  # SET_COMM_FEATURE

    def test_when_dtr_drops_the_channel_closes(self, host: Host) -> None:
        host.control(0x21, 0x22, 3)
        host.frame(framing.Kind.HELLO, 0, 77, b"\x01")
        host.control(0x21, 0x22, 1)  # RTS alone
        assert host.frame(framing.Kind.APDU, 1, 77, SELECT).kind == framing.Kind.APDU_REPLY
        host.out(SERIAL_OUT, framing.encode_frame(framing.Kind.APDU, 2, 77, SELECT))
        host.control(0x21, 0x22, 0)
        assert host.device.drained  # nobody is left to read that answer
        host.control(0x21, 0x22, 1)
        assert host.frame(framing.Kind.APDU, 3, 77, SELECT).kind == framing.Kind.ERROR

    def test_clearing_a_halt_leaves_the_session_alone(self, host: Host) -> None:
        host.frame(framing.Kind.HELLO, 0, 77, b"\x01")
        for address in (SERIAL_OUT, SERIAL_IN):
            host.control(0x02, usb.Request.SET_FEATURE, 0, address)
            host.control(0x02, usb.Request.CLEAR_FEATURE, 0, address)
        assert host.frame(framing.Kind.APDU, 1, 77, SELECT).kind == framing.Kind.APDU_REPLY

    def test_a_host_that_does_not_fetch_waits(self, host: Host) -> None:
        host.frame(framing.Kind.HELLO, 0, 77, b"\x01")
        noise = b"\x05\0" * 1000
        while (seqnum := host.submit(usbip.OUT, SERIAL_OUT, len(noise), data=noise)) in host.answers:
            pass
        queued = host.device._functions[0].queued
        assert queued < 1 << 18
        while seqnum not in host.answers:
            assert host.fetch(SERIAL_IN) is not None


class TestReader:
    def test_card_in(self, host: Host) -> None:
        told = host.fetch(READER_NOTIFY, 8)
        assert told is not None and told.data == b"\x50\x03"
        assert host.fetch(READER_NOTIFY, 8) is None  # nothing changes any more

    def test_apdu(self, host: Host) -> None:
        power = host.reader(ccid.IccPowerOn(0, 1))
        assert isinstance(power, ccid.DataBlock) and power.data == host.cable.family.atr
        answer = host.reader(ccid.XfrBlock(0, 2, data=SELECT))
        assert isinstance(answer, ccid.DataBlock) and answer.data.endswith(b"\x90\x00")

    def test_the_longest_command_is_as_long_as_the_descriptor_says(self, host: Host) -> None:
        told = Configuration.decode(descriptor(host, usb.DescriptorType.CONFIGURATION) or b"")
        longest = (
            next(d.dwMaxCCIDMessageLength for d in told.descriptors if isinstance(d, CcidDescriptor)) - ccid.HEADER
        )
        assert longest == host.cable.family.limits.max_apdu
        host.reader(ccid.IccPowerOn(0, 1))
        apdu = encode_command(Command(0, 0xEE, 0, 0, bytes(longest - 7), None, True))
        answer = host.reader(ccid.XfrBlock(0, 2, data=apdu))
        assert isinstance(answer, ccid.DataBlock) and answer.data == Sw.INS_NOT_SUPPORTED.to_bytes(2, "big")
        assert host.reader(ccid.XfrBlock(0, 3, data=apdu + b"\0")).error == ccid.SlotError.BAD_LENGTH

    @pytest.mark.parametrize("size", [0, 53, 54, 55, 118])
    def test_an_answer_of_a_multiple_of_64_ends_with_an_empty_packet(self, host: Host, size: int) -> None:
        host.device = UsbDevice(_Echo(host.cable))
        host.reader(ccid.IccPowerOn(0, 1))
        answer = ccid.DataBlock(0, 2, data=bytes(size)).encode()
        pieces = []
        host.out(READER_OUT, ccid.XfrBlock(0, 2, data=bytes(size)).encode())
        while not pieces or len(pieces[-1]) == 64:
            fetched = host.fetch(READER_IN, 64)
            assert fetched is not None, "the host would wait for the end for ever"
            pieces.append(fetched.data)
        assert b"".join(pieces) == answer
        host.out(READER_OUT, ccid.XfrBlock(0, 2, data=bytes(size)).encode())
        fetched = host.fetch(READER_IN)
        assert fetched is not None and fetched.data == answer
        assert host.fetch(READER_IN) is None

    def test_abort_by_control_request(self, host: Host) -> None:
        host.reader(ccid.IccPowerOn(0, 1))
        assert host.control(0x21, ccid.REQUEST_ABORT, 9 << 8, 2) == b""
        assert host.reader(ccid.GetSlotStatus(0, 8)).error == ccid.SlotError.COMMAND_ABORTED
        assert host.reader(ccid.Abort(0, 9)) == ccid.SlotStatus(0, 9)
        assert host.control(0x21, ccid.REQUEST_ABORT, 9 << 8 | 1, 2) is None
        assert host.control(0xA1, 0x03, 0, 2, 4) is None  # GET_DATA_RATES (5.3.3)

    def test_serial_line_and_reader_are_channels_of_their_own(self, host: Host) -> None:
        host.reader(ccid.IccPowerOn(0, 1))
        host.reader(ccid.XfrBlock(0, 2, data=SELECT))
        host.frame(framing.Kind.HELLO, 0, 77, b"\x01")
        listing = bytes.fromhex("00A1000000")
        assert host.frame(framing.Kind.APDU, 1, 77, listing).payload != b"\x90\x00"  # nothing is selected there
        answer = host.reader(ccid.XfrBlock(0, 3, data=listing))
        assert isinstance(answer, ccid.DataBlock) and answer.data == b"\x90\x00"

    def test_reset_in_the_middle_of_an_apdu(self, host: Host) -> None:
        host.reader(ccid.IccPowerOn(0, 1))
        host.reader(ccid.XfrBlock(0, 2, 0, ccid.Chain.FIRST, SELECT[:5]))
        host.out(READER_OUT, ccid.XfrBlock(0, 3, 0, ccid.Chain.LAST, SELECT * 6).encode()[:64])
        waiting = host.submit(usbip.IN, READER_IN & 0x0F, 64)
        assert host.control(0x23, usb.Request.SET_FEATURE, 4) == b""  # PORT_RESET
        assert host.answers[waiting].status == usbip.Status.SHUTDOWN
        assert host.reader(ccid.GetSlotStatus(0, 4)) == ccid.SlotStatus(0, 4, ccid.IccStatus.INACTIVE, clock=1)
        host.reader(ccid.IccPowerOn(0, 5))
        answer = host.reader(ccid.XfrBlock(0, 6, data=SELECT))
        assert isinstance(answer, ccid.DataBlock) and answer.data.endswith(b"\x90\x00")

    def test_clearing_the_halt_of_the_out_pipe_begins_a_new_message(self, host: Host) -> None:
        host.out(READER_OUT, ccid.XfrBlock(0, 3, data=bytes(200)).encode()[:64])
        host.control(0x02, usb.Request.SET_FEATURE, 0, READER_OUT)
        host.control(0x02, usb.Request.CLEAR_FEATURE, 0, READER_OUT)
        assert host.reader(ccid.IccPowerOn(0, 1)) == ccid.DataBlock(0, 1, data=host.cable.family.atr)

    def test_power_that_fails_on_the_serial_line_takes_the_card_too(self, host: Host) -> None:
        host.reader(ccid.IccPowerOn(0, 1))
        host.frame(framing.Kind.HELLO, 0, 77, b"\x01")
        host.frame(framing.Kind.APDU, 1, 77, SELECT)
        supply = host.bench.supply
        supply.arm(PowerCut(supply.operations, Moment.BEFORE))
        set_pin = framing.encode_frame(framing.Kind.APDU, 2, 77, bytes.fromhex("00B40000088006313233343536"))
        assert host.out(SERIAL_OUT, set_pin).status == 0
        assert host.fetch(SERIAL_IN) is None
        host.bench.token.power_on()
        assert host.reader(ccid.GetSlotStatus(0, 2)) == ccid.SlotStatus(0, 2, ccid.IccStatus.INACTIVE, clock=1)

    def test_without_power_the_card_is_silent(self, host: Host) -> None:
        host.reader(ccid.IccPowerOn(0, 1))
        host.bench.token.power_off()
        host.cable.disconnect()
        assert host.out(READER_OUT, ccid.GetSlotStatus(0, 2).encode()).status == 0
        assert host.fetch(READER_IN) is None


class TestTransfers:
    def test_unlink(self, host: Host) -> None:
        waiting = host.submit(usbip.IN, READER_IN & 0x0F, 64)
        assert host.device.unlink(waiting)
        assert not host.device.unlink(waiting)
        host.reader(ccid.IccPowerOn(0, 1))
        assert waiting not in host.answers

    @pytest.mark.parametrize(("direction", "endpoint"), [(0, 1), (1, 5), (0, 15), (0, 4)])
    def test_endpoints_that_there_are_not(self, host: Host, direction: int, endpoint: int) -> None:
        answer = host.answers[host.submit(direction, endpoint, 0)]
        assert answer.status == usbip.Status.NO_ENTRY

    def test_a_flood_of_transfers_ends_in_refusal(self, host: Host) -> None:
        for _ in range(MAX_WAITING):
            host.submit(usbip.IN, READER_IN & 0x0F, 64)
        with pytest.raises(Overloaded):
            host.submit(usbip.IN, READER_IN & 0x0F, 64)
        host.device.reset()
        host.answers.clear()
        assert isinstance(host.reader(ccid.IccPowerOn(0, 1)), ccid.DataBlock)

    def test_few_transfers_of_many_bytes_are_a_flood_too(self, host: Host) -> None:
        while host.device._functions[0].queued < FULL:
            host.out(SERIAL_OUT, b"\x05\0" * 1000)
        for _ in range(MAX_WAITING_BYTES // usbip.MAX_TRANSFER):
            host.submit(usbip.OUT, SERIAL_OUT, usbip.MAX_TRANSFER, data=bytes(usbip.MAX_TRANSFER))
        with pytest.raises(Overloaded):
            host.submit(usbip.OUT, SERIAL_OUT, 1, data=b"\0")


class Bus(RuleBasedStateMachine):
    """Whatever a host does, in whatever order: each transfer is answered once or taken back, and the token lives on."""

    @initialize()
    def plug(self) -> None:
        self.host = Host()
        self.open: set[int] = set()

    def submitted(self, seqnum: int) -> None:
        self.open.add(seqnum)
        self.open -= self.host.answers.keys()

    @rule(setup=st.binary(min_size=8, max_size=8), is_in=st.booleans(), data=st.binary(max_size=16))
    def any_control(self, setup: bytes, is_in: bool, data: bytes) -> None:
        self.submitted(self.host.submit(int(is_in), 0, 64 if is_in else len(data), setup, b"" if is_in else data))

    @rule(
        request=st.sampled_from(usb.Request),
        kind=st.sampled_from((0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x21, 0xA1, 0x23)),
        value=st.integers(0, 5),
        index=st.integers(0, 4) | st.sampled_from((0x81, 0x82, 0x83, 0x84)),
    )
    def likely_control(self, request: int, kind: int, value: int, index: int) -> None:
        self.host.control(kind, request, value, index, 2 if kind & usb.IN else 0)
        self.open -= self.host.answers.keys()

    @rule(endpoint=st.integers(1, 5), length=st.sampled_from((0, 10, 64, 128, 4160)))
    def fetch(self, endpoint: int, length: int) -> None:
        self.submitted(self.host.submit(usbip.IN, endpoint, length))

    @rule(
        endpoint=st.integers(1, 5),
        data=st.one_of(
            st.binary(max_size=100),
            st.sampled_from(
                [
                    ccid.IccPowerOn(0, 1).encode(),
                    ccid.XfrBlock(0, 2, data=SELECT).encode(),
                    ccid.XfrBlock(0, 3, 0, ccid.Chain.FIRST, SELECT[:6]).encode(),
                    ccid.XfrBlock(0, 4, 0, ccid.Chain.LAST, SELECT[6:]).encode(),
                    ccid.Abort(0, 5).encode(),
                    framing.encode_frame(framing.Kind.HELLO, 0, 77, b"\x01"),
                    framing.encode_frame(framing.Kind.APDU, 1, 77, SELECT),
                ]
            ),
        ),
    )
    def tell(self, endpoint: int, data: bytes) -> None:
        self.submitted(self.host.submit(usbip.OUT, endpoint, len(data), data=data))

    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        if self.open:
            seqnum = data.draw(st.sampled_from(sorted(self.open)))
            assert self.host.device.unlink(seqnum)
            self.open.remove(seqnum)

    @rule()
    def look(self) -> None:
        self.host.poll()
        self.open -= self.host.answers.keys()

    @rule()
    def hang_up(self) -> None:
        self.host.device.reset()
        self.open.clear()

    def teardown(self) -> None:
        if not hasattr(self, "host"):
            return
        self.host.device.reset()
        assert isinstance(self.host.reader(ccid.IccPowerOn(0, 1)), ccid.DataBlock)
        answer = self.host.reader(ccid.XfrBlock(0, 2, data=SELECT))
        assert isinstance(answer, ccid.DataBlock) and answer.data.endswith(b"\x90\x00")


TestBus = Bus.TestCase
TestBus.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
