"""`firmware-sim run --link usbip` and stock pyusb on our backend: two processes, a socket, no kernel in between."""

from __future__ import annotations

import errno
import json
import random
import subprocess
import sys
import threading

import pytest
import usb.core
import usb.util

from firmware_sim.control.address import parse_address
from firmware_sim.control.client import ControlClient
from firmware_sim.families.family import family
from provision.clock import FileClock
from provision.errors import Busy, LinkError, NotFound, OutcomeUnknown
from provision.families.reference import DRIVER
from provision.links.link import LinkOptions, open_link
from provision.links.usbip_backend import get_backend
from provision.model import NewCredential, Secret
from provision.wire import ccid

SERIAL = "HT-0042"
START = 1_767_225_600.25
SELECT = bytes.fromhex("00A4040007A0000005272101")
SECRET = Secret(b"12345678901234567890")


class Simulator:
    """A token in a process of its own, and the way to it. `where`: what it listens on, HOST:PORT or a path."""

    def __init__(self, clock, *options):
        self.clock = FileClock(clock)
        command = [sys.executable, "-m", "firmware_sim", "run", "--link", "usbip", "--serial", SERIAL, "--json"]
        command += ["--clock", f"file:{clock}", *options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        born = json.loads(self._process.stdout.readline())
        self.address = born["address"]
        self.where = self.address.removeprefix("usbip:").rpartition("/")[0]
        self.control = ControlClient(parse_address(born["control"]))

    def close(self):
        self.control.close()
        self._process.terminate()
        assert self._process.wait(10) == 0
        self._process.stdout.close()

    def open(self, on_pending=None):
        return open_link(self.address, LinkOptions(self.clock, random.Random(1).randbytes, on_pending=on_pending))

    def session(self, link):
        return DRIVER.open(link, self.clock, random.Random(1).randbytes)


@pytest.fixture(scope="module", params=["tcp", "unix"])
def simulator(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("usbip")
    (folder / "clock").write_text(f"{START}\n")
    one = Simulator(folder / "clock", *(("--bind", str(folder / "usb.sock")) if request.param == "unix" else ()))
    yield one
    one.close()


@pytest.fixture
def device(simulator):
    found = usb.core.find(idVendor=0x1209, backend=get_backend(simulator.where))
    yield found
    usb.util.dispose_resources(found)


def reader(device):
    """The reader's bulk endpoints: out, in."""
    interface = usb.util.find_descriptor(device.get_active_configuration(), bInterfaceClass=0x0B)
    by_address = {endpoint.bEndpointAddress: endpoint for endpoint in interface}
    out = next(endpoint for address, endpoint in by_address.items() if not address & 0x80)
    return out, by_address[out.bEndpointAddress | 0x80]


def ask(pipes, message):
    out, into = pipes
    out.write(message.encode())
    return ccid.decode_response(into.read(1024).tobytes())


def test_stock_pyusb_reads_what_the_family_says(device):
    kind = family("reference")
    assert (device.idVendor, device.idProduct) == (kind.idVendor, kind.idProduct)
    assert (device.manufacturer, device.product) == (kind.iManufacturer, kind.iProduct)
    assert device.serial_number == SERIAL
    classes = [interface.bInterfaceClass for interface in device.get_active_configuration()]
    assert classes == [0x02, 0x0A, 0x0B]
    assert "Error" not in str(device)


def test_stock_pyusb_powers_the_card_and_selects_an_applet(device):
    pipes = reader(device)
    assert ask(pipes, ccid.IccPowerOn(0, 1)).data == family("reference").atr
    assert ask(pipes, ccid.XfrBlock(0, 2, data=SELECT)).data[-2:] == b"\x90\x00"


def test_a_timeout_and_the_connection_goes_on(device):
    pipes = reader(device)
    for _ in range(3):
        with pytest.raises(usb.core.USBTimeoutError) as caught:
            pipes[1].read(64, 20)
        assert caught.value.errno == errno.ETIMEDOUT
    assert ask(pipes, ccid.GetSlotStatus(0, 9)).seq == 9


def test_a_request_that_nobody_knows_is_a_stall(device):
    with pytest.raises(usb.core.USBError) as caught:
        device.ctrl_transfer(0xC0, 0x77, 0, 0, 64)
    assert caught.value.errno == errno.EPIPE
    assert device.serial_number == SERIAL


def test_a_halt_is_set_and_cleared(device):
    pipes = reader(device)
    device.ctrl_transfer(0x02, 3, 0, pipes[1].bEndpointAddress)  # SET_FEATURE(ENDPOINT_HALT)
    with pytest.raises(usb.core.USBError) as caught:
        pipes[1].read(64, 1000)
    assert caught.value.errno == errno.EPIPE
    pipes[1].clear_halt()
    assert ask(pipes, ccid.GetSlotStatus(0, 3)).seq == 3


def test_a_reset_leaves_nothing_under_way(device):
    pipes = reader(device)
    ask(pipes, ccid.IccPowerOn(0, 1))
    device.reset()
    pipes = reader(device)
    assert ask(pipes, ccid.GetSlotStatus(0, 2)).icc_status == ccid.IccStatus.INACTIVE


def test_one_host_at_a_time(simulator, device):
    device.get_active_configuration()
    with pytest.raises(Busy):
        simulator.open()
    usb.util.dispose_resources(device)
    simulator.open().close()


def test_no_such_device(simulator):
    with pytest.raises(NotFound):
        open_link(f"usbip:{simulator.where}/1-7", LinkOptions(simulator.clock, random.Random(1).randbytes))


def test_a_touch_is_awaited_and_the_seconds_left_are_told(simulator):
    told = []

    def pending(seconds_left):
        told.append(seconds_left)
        if len(told) == 1:
            simulator.control.request("advance", seconds=5)  # the reader asks again
        else:
            simulator.control.request("press")

    with simulator.open(pending) as link:
        session = simulator.session(link)
        session.authenticate(None)
        session.put(NewCredential("touched", SECRET, pin=False, touch=True))
        session.calculate("touched")
        session.delete("touched")
    assert told == [16, 12]  # in whole waiting times of 1.6 s: 15 s, then 10 s


def test_the_cable_is_pulled_in_the_middle_of_a_command(simulator):
    with simulator.open() as link:
        session = simulator.session(link)
        session.authenticate(None)
        simulator.control.request("cable", action="unplug", after="PUT", before_reply=True)
        with pytest.raises(OutcomeUnknown):
            session.put(NewCredential("pulled", SECRET, pin=False))
        with pytest.raises(LinkError):
            link.exchange(SELECT)
    with pytest.raises(NotFound):
        simulator.open()
    assert simulator.control.request("cable", action="plug")["address"] == simulator.address
    with simulator.open() as link:
        session = simulator.session(link)
        session.authenticate(None)
        assert session.check_value("pulled", SECRET) is True
        session.delete("pulled")


def test_the_cable_is_pulled_while_a_read_waits(simulator, device):
    pipes = reader(device)
    pulled = threading.Timer(0.1, simulator.control.request, ("cable",), {"action": "unplug"})
    pulled.start()
    with pytest.raises(usb.core.USBError) as caught:
        pipes[1].read(64, 10_000)
    assert caught.value.errno == errno.ENODEV
    pulled.join()
    simulator.control.request("cable", action="plug")
