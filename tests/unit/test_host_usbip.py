"""Stock pyusb on our USB/IP backend, and the usbip: link on top, against a device of a page that is called directly.

No sockets and no threads: the stream's other end runs inside its `write`, and waiting moves a ManualClock.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import random
from collections import deque

import pytest
import usb.core
import usb.util
from hypothesis import given, settings
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import Busy, LinkError, NotFound, OutcomeUnknown, ProvisionError, RemoteProtocolError, UsageError
from provision.links import usbip
from provision.links.link import LinkOptions
from provision.links.usbip_backend import UsbipBackend
from provision.links.usbip_connection import UNLINK_TIMEOUT_S
from provision.wire import ccid
from provision.wire.ccid_transfer import Decoder
from provision.wire.usb import SetupPacket, encode_langids, encode_string
from provision.wire.usb_descriptors import (
    CcidDescriptor,
    Configuration,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
)
from provision.wire.usbip import (
    IN,
    Device,
    DevlistReply,
    DevlistRequest,
    ImportReply,
    ImportRequest,
    ListedDevice,
    Status,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from provision.wire.usbip_stream import DeviceDecoder

ATR = bytes.fromhex("3B800181")
OK = b"\x90\x00"
EXPORTED = Device("/sys/x", "1-1", 1, 2, 2, 0x1209, 0x0001, 0x0100, 0, 0, 0, 1, 1, 1)
DESCRIPTOR = DeviceDescriptor(0x0200, 0, 0, 0, 64, 0x1209, 0x0001, 0x0100, 1, 2, 3, 1)
READER = CcidDescriptor(0x0110, 0, 7, 2, 4000, 4000, 0, 9600, 9600, 0, 254, 0, 0, 0x40008, 271, 0, 0, 0, 0, 1)
CONFIGURATION = Configuration.of(
    (
        InterfaceDescriptor(0, 0, 2, 0x0B, 0, 0, 0),
        READER,
        EndpointDescriptor(0x02, 2, 64, 0),
        EndpointDescriptor(0x82, 2, 64, 0),
    ),
    bmAttributes=0x80,
    bMaxPower=50,
)
STRINGS = [encode_langids(0x0409), *map(encode_string, ("hwtoken", "a token of a page", "HT-0001"))]
DESCRIPTORS = {0x0100: DESCRIPTOR.encode(), 0x0200: CONFIGURATION.encode()}
DESCRIPTORS |= {0x0300 + index: raw for index, raw in enumerate(STRINGS)}


class World:
    """A server with one device, the card in it that echoes, and what a test wants to go wrong.

    `stall`: endpoints that are halted. `mute`: commands are carried out, but never answered. `cut_at`: how many bytes
    the server sends on a connection before it hangs up. `spoil(reply)`: what goes out instead of a reply's bytes.
    """

    def __init__(self):
        self.clock = ManualClock()
        self.busy = self.mute = self.pulled = self.late = False
        self.stall = set()
        self.cut_at = None
        self.spoil = lambda raw: raw
        self.connections = self.writes = 0
        self.unlinked, self.configured, self.done = [], [], []

    def dial(self, where, clock):
        self.connections += 1
        return Stream(self)

    def backend(self, busid=None):
        return UsbipBackend("test", busid, self.clock, self.dial)

    @contextlib.contextmanager
    def interrupted(self):
        """Whoever waits is interrupted."""

        def interrupt(_seconds):
            raise KeyboardInterrupt

        advance, self.clock.advance = self.clock.advance, interrupt
        with pytest.raises(KeyboardInterrupt):
            yield
        self.clock.advance = advance

    def find(self):
        return usb.core.find(idVendor=0x1209, backend=self.backend())

    def link(self):
        options = LinkOptions(self.clock, random.Random(1).randbytes)
        return usbip.open_exported(self.backend("1-1"), "usbip:test/1-1", options)


class Stream:
    """The host's end of a connection (a ByteStream), and the server behind it."""

    def __init__(self, world):
        self.world = world
        self.decoder = DeviceDecoder()
        self.transfers = Decoder(ccid.decode_command)
        self.out = b""
        self.sent = 0
        self.parked = deque()
        self.answers = deque()
        self.configuration = 0
        self.closed = False

    def close(self):
        self.closed = True

    def write(self, data):
        assert not self.closed
        if self.world.pulled:
            raise LinkError("hung up")
        self.world.writes += 1
        for message in self.decoder.feed(data):
            self.receive(message)

    def read(self, deadline):
        limit = 65536 if self.world.cut_at is None else self.world.cut_at - self.sent
        if self.world.pulled or limit <= 0:
            raise LinkError("hung up")
        if not self.out:
            self.world.clock.advance(deadline - self.world.clock.monotonic())
            return b""
        data, self.out = self.out[:limit], self.out[limit:]
        self.sent += len(data)
        return data

    def say(self, message):
        self.out += self.world.spoil(message.encode())

    def receive(self, message):
        match message:
            case DevlistRequest():
                self.say(DevlistReply((ListedDevice(EXPORTED, ((0x0B, 0, 0),)),)))
            case ImportRequest():
                refused = self.world.busy or message.busid != "1-1"
                self.decoder.imported = not refused
                self.say(ImportReply(1, None) if refused else ImportReply(0, EXPORTED))
            case Unlink():
                self.world.unlinked.append(message.target)
                if self.world.late:  # it was answered while the UNLINK was on its way
                    self.answers.append(b"late")
                    self.serve()
                    self.say(UnlinkReply(message.seqnum, Status.OK))
                    return
                self.parked = deque(one for one in self.parked if one.seqnum != message.target)
                self.say(UnlinkReply(message.seqnum, Status.UNLINKED))
            case Submit(endpoint=0):
                self.control(message, SetupPacket.decode(message.setup))
            case Submit(direction=1):
                self.parked.append(message)
                self.serve()
            case Submit():
                self.bulk_out(message)

    def control(self, submit, setup):
        data = b""
        match setup:
            case SetupPacket(0x80, 6, value) if value in DESCRIPTORS:
                data = DESCRIPTORS[value]
            case SetupPacket(0x80, 8):
                data = bytes((self.configuration,))
            case SetupPacket(0x00, 9, value):
                self.configuration = value
                self.world.configured.append(value)
            case SetupPacket(0x02, 1, 0, endpoint):
                self.world.stall.discard(endpoint)
            case _:
                self.say(SubmitReply(submit.seqnum, Status.STALL, 0))
                return
        data = data[: setup.wLength]
        moved = len(data) if submit.direction == IN else submit.length
        self.say(SubmitReply(submit.seqnum, 0, moved, data))

    def bulk_out(self, submit):
        if submit.endpoint in self.world.stall:
            self.say(SubmitReply(submit.seqnum, Status.STALL, 0))
            return
        self.say(SubmitReply(submit.seqnum, 0, submit.length))
        for message in self.transfers.feed(submit.data):
            self.command(message)
        self.serve()

    def command(self, message):
        match message:
            case ccid.IccPowerOn():
                self.answers.append(ccid.DataBlock(0, message.seq, data=ATR).encode())
            case ccid.XfrBlock():
                self.world.done.append(message.data)
                self.world.pulled = self.world.pulled or message.data == b"pull"
                if not self.world.mute:
                    self.answers.append(ccid.DataBlock(0, message.seq, data=message.data + OK).encode())
            case _:
                self.answers.append(ccid.SlotStatus(0, message.seq, 1).encode())

    def serve(self):
        while self.parked and (self.answers or 0x82 in self.world.stall):
            submit = self.parked.popleft()
            if 0x82 in self.world.stall:
                self.say(SubmitReply(submit.seqnum, Status.STALL, 0))
            else:
                data = self.answers.popleft()
                self.say(SubmitReply(submit.seqnum, 0, len(data), data))


class TestStockPyusb:
    def test_descriptors_and_strings(self):
        device = World().find()
        assert (device.idVendor, device.idProduct, device.bcdDevice) == (0x1209, 0x0001, 0x0100)
        assert (device.manufacturer, device.product, device.serial_number) == (
            "hwtoken",
            "a token of a page",
            "HT-0001",
        )
        assert (device.bus, device.address, device.speed) == (1, 2, usb.util.SPEED_FULL)
        assert device.parent is None
        (configuration,) = device
        (interface,) = configuration
        assert (interface.bInterfaceClass, interface.bNumEndpoints) == (0x0B, 2)
        assert bytes(interface.extra_descriptors) == READER.encode()
        assert [endpoint.bEndpointAddress for endpoint in interface] == [0x02, 0x82]
        assert "DEVICE ID 1209:0001" in str(device)  # pyusb reads every descriptor and string for it
        usb.util.dispose_resources(device)

    def test_finding_leaves_the_device_free_and_opening_configures_it(self):
        world = World()
        device = world.find()
        assert world.connections == 2  # the list, and the descriptors
        assert device.get_active_configuration().bConfigurationValue == 1
        assert world.configured == [1, 1]
        usb.util.dispose_resources(device)

    def test_a_device_that_somebody_has_is_listed_and_busy(self):
        world = World()
        world.busy = True
        device = world.find()
        assert device.idProduct == 0x0001
        with pytest.raises(usb.core.USBError) as caught:
            device.get_active_configuration()
        assert caught.value.errno == errno.EBUSY

    def test_a_timeout_takes_the_transfer_back_and_the_connection_goes_on(self):
        world = World()
        device = world.find()
        before = world.clock.monotonic()
        with pytest.raises(usb.core.USBTimeoutError) as caught:
            device.read(0x82, 64, 250)
        assert caught.value.errno == errno.ETIMEDOUT
        assert world.clock.monotonic() - before == pytest.approx(0.25)
        assert len(world.unlinked) == 1
        device.write(0x02, ccid.GetSlotStatus(0, 7).encode())
        assert ccid.decode_response(device.read(0x82, 271).tobytes()) == ccid.SlotStatus(0, 7, 1)
        usb.util.dispose_resources(device)

    def test_an_answer_that_overtakes_the_unlink_is_not_lost(self):
        world = World()
        device = world.find()
        world.late = True
        assert device.read(0x82, 64, 250).tobytes() == b"late"
        usb.util.dispose_resources(device)

    def test_a_stall_is_a_pipe_error_until_the_halt_is_cleared(self):
        world = World()
        device = world.find()
        world.stall.add(0x82)
        with pytest.raises(usb.core.USBError) as caught:
            device.read(0x82, 64)
        assert caught.value.errno == errno.EPIPE
        with pytest.raises(usb.core.USBError):
            device.ctrl_transfer(0xC0, 0x77, 0, 0, 8)
        device.clear_halt(0x82)
        assert world.stall == set()
        usb.util.dispose_resources(device)

    def test_a_hang_up_is_no_device_and_stays_so(self):
        world = World()
        device = world.find()
        device.get_active_configuration()
        world.pulled = True
        for _ in range(2):
            with pytest.raises(usb.core.USBError) as caught:
                device.read(0x82, 64)
            assert caught.value.errno == errno.ENODEV
        usb.util.dispose_resources(device)

    def test_a_reset_lets_go_and_imports_again(self):
        world = World()
        device = world.find()
        device.get_active_configuration()
        before = world.connections
        device.reset()
        assert world.connections == before + 1
        assert device.get_active_configuration().bConfigurationValue == 1
        usb.util.dispose_resources(device)

    def test_an_interrupted_transfer_does_not_swallow_the_next_answer(self):
        world = World()
        device = world.find()
        device.get_active_configuration()
        with world.interrupted():
            device.read(0x82, 64)
        device.write(0x02, ccid.GetSlotStatus(0, 9).encode())
        assert device.read(0x82, 64).tobytes() == ccid.SlotStatus(0, 9, 1).encode()
        usb.util.dispose_resources(device)


class TestForetold:
    """Reads that travel with the write before them."""

    MESSAGE = ccid.GetSlotStatus(0, 7).encode()
    ANSWER = ccid.SlotStatus(0, 7, 1).encode()

    @pytest.fixture
    def world(self):
        return World()

    @pytest.fixture
    def device(self, world):
        backend = world.backend()
        backend.foretell(0x02, 0x82, 64)
        found = usb.core.find(backend=backend)
        yield found
        usb.util.dispose_resources(found)

    def test_the_answer_is_there_when_it_is_asked_for(self, world, device):
        device.write(0x02, self.MESSAGE)
        before = world.writes
        assert device.read(0x82, 64).tobytes() == self.ANSWER
        assert world.writes == before

    def test_reads_beyond_the_foretold_one_are_reads_as_ever(self, world, device):
        device.write(0x02, self.MESSAGE)
        device.write(0x02, self.MESSAGE)
        for _ in range(2):
            assert device.read(0x82, 64).tobytes() == self.ANSWER
        with pytest.raises(usb.core.USBTimeoutError):
            device.read(0x82, 64, 100)

    def test_one_that_times_out_is_taken_back(self, world, device):
        device.write(0x02, b"")
        with pytest.raises(usb.core.USBTimeoutError):
            device.read(0x82, 64, 100)
        assert len(world.unlinked) == 1
        device.write(0x02, self.MESSAGE)
        assert device.read(0x82, 64).tobytes() == self.ANSWER

    def test_one_outlives_an_interrupted_transfer(self, world, device):
        device.write(0x02, b"")
        world.spoil = lambda raw: b""
        with world.interrupted():
            device.ctrl_transfer(0x80, 8, 0, 0, 1)
        world.spoil = lambda raw: raw
        device.write(0x02, self.MESSAGE)
        assert len(world.unlinked) == 1
        assert device.read(0x82, 64).tobytes() == self.ANSWER

    def test_one_outlives_what_happens_on_other_endpoints(self, world, device):
        device.write(0x02, self.MESSAGE)
        assert device.ctrl_transfer(0x80, 8, 0, 0, 1).tobytes() == b"\x01"
        world.stall.add(0x02)
        with pytest.raises(usb.core.USBError):
            device.write(0x02, self.MESSAGE)
        device.clear_halt(0x02)
        assert device.read(0x82, 64).tobytes() == self.ANSWER
        assert world.unlinked == []


class TestLink:
    def test_commands_pass(self):
        world = World()
        with world.link() as link:
            for command in (b"1234", bytes(55), bytes(54), bytes(53)):  # 54: the message is as long as a packet
                assert link.exchange(command) == command + OK

    def test_a_command_and_the_read_of_its_answer_are_one_trip(self):
        world = World()
        with world.link() as link:
            for command in (b"1234", bytes(54), b"1234"):
                before = world.writes
                assert link.exchange(command) == command + OK
                # One more for the empty packet behind a message of 64 bytes, which finds a read under way.
                assert world.writes - before == (2 if len(command) == 54 else 1)

    def test_silence_is_unknown_and_the_next_exchange_begins_anew(self):
        world = World()
        with world.link() as link:
            world.mute = True
            with pytest.raises(OutcomeUnknown):
                link.exchange(b"lost")
            world.mute = False
            assert link.exchange(b"next") == b"next" + OK
        assert world.done == [b"lost", b"next"]

    def test_unplugged_in_the_middle_of_a_command(self):
        world = World()
        with world.link() as link, pytest.raises(OutcomeUnknown):
            link.exchange(b"pull")

    def test_a_stalled_answer_is_read_behind_the_stall(self):
        world = World()
        with world.link() as link:
            world.stall.add(0x82)
            assert link.exchange(b"1234") == b"1234" + OK
        assert world.done == [b"1234"]

    def test_a_stalled_command_is_not_sent_again(self):
        world = World()
        with world.link() as link:
            world.stall.add(0x02)
            with pytest.raises(OutcomeUnknown, match="refused"):
                link.exchange(b"1234")
            assert world.done == []
            assert link.exchange(b"next") == b"next" + OK

    def test_a_device_that_is_not_there(self):
        world = World()
        with pytest.raises(NotFound, match="test/7-7"):
            usbip.open_exported(world.backend("7-7"), "usbip:test/7-7", LinkOptions(world.clock, bytes))

    def test_a_device_that_somebody_has(self):
        world = World()
        world.busy = True
        with pytest.raises(Busy):
            world.link()

    @pytest.mark.parametrize(
        "rest", ["", "127.0.0.1:4000", "1-1", "/1-1", "host:0/1-1", "host:70000/1-1", "host:x/1-1"]
    )
    def test_addresses_that_are_none(self, rest):
        with pytest.raises(UsageError):
            usbip.open_address(rest, LinkOptions(ManualClock(), random.Random(1).randbytes))

    @pytest.mark.parametrize("where", ["127.0.0.1:1", ":1", "1", "/no/such/socket"])
    def test_nobody_listens(self, where):
        with pytest.raises(NotFound):
            usbip.open_address(f"{where}/1-1", LinkOptions(ManualClock(), random.Random(1).randbytes))


class TestLyingServers:
    """Whatever comes, it ends in an answer or in one of our errors, in bounded time."""

    def life(self, world):
        with contextlib.suppress(ProvisionError), world.link() as link:
            link.exchange(b"1234")
            link.exchange(bytes(100))
        assert world.clock.monotonic() < 60

    def test_a_hang_up_at_every_byte(self):
        whole = World()
        self.life(whole)
        for cut_at in range(700):
            world = World()
            world.cut_at = cut_at
            self.life(world)

    @settings(max_examples=400)
    @given(st.integers(0, 2**32), st.integers(1, 12))
    def test_replies_with_spoiled_bytes(self, seed, rate):
        dice = random.Random(seed)

        def spoil(raw):
            if dice.randrange(rate):
                return raw
            mutant = bytearray(raw)
            for _ in range(dice.randrange(1, 4)):
                mutant[dice.randrange(len(mutant))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
            return bytes(mutant[: dice.choice((len(mutant), dice.randrange(len(mutant) + 1)))])

        world = World()
        world.spoil = spoil
        self.life(world)

    @given(st.binary(max_size=400))
    def test_noise(self, noise):
        world = World()
        world.spoil = lambda raw: noise
        self.life(world)

    def test_an_answer_to_what_nobody_asked(self):
        world = World()
        with world.link() as link:
            world.spoil = lambda raw: SubmitReply(0xDEAD, 0, 0).encode()
            with pytest.raises(LinkError, match="breaks the protocol"):
                link.exchange(b"1234")

    def test_more_than_was_asked_for(self):
        world = World()
        with world.link() as link:
            world.spoil = lambda raw: raw[:24] + b"\x00\x10\x00\x00" + raw[28:]
            with pytest.raises(LinkError):
                link.exchange(b"1234")

    def test_one_that_never_confirms_an_unlink_is_given_up(self):
        world = World()
        with world.link() as link:
            world.spoil = lambda raw: b""
            before = world.clock.monotonic()
            with pytest.raises(LinkError):
                link.exchange(b"1234")
            assert world.clock.monotonic() - before == pytest.approx(2.0 + UNLINK_TIMEOUT_S)

    def test_a_number_that_no_command_can_name(self, monkeypatch):
        monkeypatch.setitem(globals(), "EXPORTED", dataclasses.replace(EXPORTED, busnum=0x10000))
        with pytest.raises(LinkError):
            World().link()

    def test_an_interface_that_miscounts_its_endpoints(self, monkeypatch):
        interface, *rest = CONFIGURATION.descriptors
        wrong = (dataclasses.replace(interface, bNumEndpoints=3), *rest)
        plain = Configuration.of(wrong, bmAttributes=0x80, bMaxPower=50)
        monkeypatch.setitem(DESCRIPTORS, 0x0200, plain.encode())
        with pytest.raises(LinkError, match="describes itself wrongly"):
            World().link()

    def test_a_list_that_knows_more_configurations_than_the_device(self, monkeypatch):
        monkeypatch.setitem(globals(), "EXPORTED", dataclasses.replace(EXPORTED, bNumConfigurations=2))
        world = World()
        world.busy = True
        device = world.find()  # as far as the list tells
        world.busy = False
        with pytest.raises(usb.core.USBError) as caught:
            list(device)
        assert caught.value.errno == errno.EPROTO

    def test_a_device_that_describes_itself_wrongly(self, monkeypatch):
        plain = Configuration.of(
            tuple(d for d in CONFIGURATION.descriptors if not isinstance(d, CcidDescriptor)),
            bmAttributes=0x80,
            bMaxPower=50,
        )
        monkeypatch.setitem(DESCRIPTORS, 0x0200, plain.encode())
        with pytest.raises(RemoteProtocolError, match="no CCID descriptor"):
            World().link()
