"""Stock pyusb on our USB/IP backend, and the usbip: link on top, against a device that is called directly.

No sockets and no threads: the stream's other end runs inside its `write`, and waiting moves a ManualClock.
"""

from __future__ import annotations

import errno
import random

import pytest
import usb.core
import usb.util

from provision.clock import ManualClock
from provision.errors import Busy, NotFound, OutcomeUnknown, UsageError
from provision.links import usbip
from provision.links.link import LinkOptions
from provision.wire import ccid
from tests.unit.usbip_world import OK, READER, World


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
