"""The token's two USB functions, as a host uses them: the serial line and the card reader."""

from __future__ import annotations

import pytest

from firmware_sim.flash import Moment, PowerCut
from firmware_sim.links.usb_device import UsbDevice
from provision.wire import ccid, framing, usb, usbip
from provision.wire.apdu import Command, Sw, encode_command
from provision.wire.usb_descriptors import CcidDescriptor, Configuration
from tests.unit.usb_host import (
    READER_IN,
    READER_NOTIFY,
    READER_OUT,
    SELECT,
    SERIAL_IN,
    SERIAL_OUT,
    Echo,
    Host,
    descriptor,
)


@pytest.fixture
def host() -> Host:
    return Host()


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
        host.device = UsbDevice(Echo(host.cable))
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
