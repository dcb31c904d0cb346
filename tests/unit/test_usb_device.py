"""The token on its bus: enumeration, standard requests, halts, unlinks and resets."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from firmware_sim.core.family import CCID
from firmware_sim.links.usb_device import MAX_WAITING, MAX_WAITING_BYTES, Overloaded, UsbDevice
from firmware_sim.links.usb_pipes import FULL
from provision.wire import ccid, framing, usb, usbip
from provision.wire.usb_descriptors import (
    CcidDescriptor,
    CdcCallManagement,
    CdcUnion,
    Configuration,
    DeviceDescriptor,
    InterfaceAssociation,
)
from tests.unit.usb_host import (
    READER_IN,
    READER_NOTIFY,
    READER_OUT,
    SELECT,
    SERIAL_IN,
    SERIAL_OUT,
    Host,
    OtherFamily,
    descriptor,
)


@pytest.fixture
def host() -> Host:
    return Host()


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
        lines = OtherFamily(host.cable, (CCID,))
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
