"""usb: addresses: which device is meant, what a kernel driver gets back, and libusb's errors in our words."""

from __future__ import annotations

import errno
import os
import random
import sys
from array import array
from types import SimpleNamespace

import pytest
import usb.core
import usb.util

from provision.clock import ManualClock
from provision.errors import Busy, LinkError, NotFound, PermissionDenied, Timeout, UsageError
from provision.links import libusb
from provision.links import usb as usb_links
from provision.links.link import LinkOptions
from provision.links.usb import UsbName, UsbPipe, chosen, link_error, pcscd_runs

NAME = UsbName(0x1209, 0x0001)


def error(number):
    return usb.core.USBError(os.strerror(number), errno=number)


class Device:
    """A pyusb device, as far as its strings go."""

    iSerialNumber = 3

    def __init__(self, serial, failure=None):
        self.serial, self.failure = serial, failure

    def ctrl_transfer(self, *, wValue, **_):
        if self.failure:
            raise self.failure
        text = "\u0409" if wValue & 0xFF == 0 else self.serial
        return array("B", bytes((2 + 2 * len(text), 3)) + text.encode("utf-16-le"))

    @property
    def langids(self):
        return usb.util.get_langids(self)


class TestNames:
    @pytest.mark.parametrize("rest", ["1209:0001", "1209:0001/HT-0001", "abcd:ef01/a/b"])
    def test_there_and_back(self, rest):
        assert str(UsbName.parse(rest)) == f"usb:{rest}"

    @pytest.mark.parametrize("rest", ["1209", "1209:1", "1209:0001/", "x209:0001", "1209:00011", "HT-0001"])
    def test_no_names(self, rest):
        with pytest.raises(UsageError, match="usb:VID:PID/SERIAL"):
            UsbName.parse(rest)

    def test_the_only_one_needs_no_serial_and_is_not_asked_for_it(self):
        only = Device("A", error(errno.EACCES))
        assert chosen([only], NAME) is only

    def test_one_of_several_by_its_serial(self):
        devices = [Device("A"), Device("B")]
        assert chosen(devices, UsbName(0x1209, 1, "B")) is devices[1]

    def test_several_are_named(self):
        with pytest.raises(UsageError, match=r"2 tokens .*usb:1209:0001/A, usb:1209:0001/B"):
            chosen([Device("B"), Device("A")], NAME)

    def test_none_at_all_and_none_of_that_serial(self):
        with pytest.raises(NotFound):
            chosen([], NAME)
        with pytest.raises(NotFound, match="only A"):
            chosen([Device("A")], UsbName(0x1209, 1, "B"))

    def test_one_that_may_not_be_asked_might_be_the_one(self):
        with pytest.raises(PermissionDenied, match="udev install"):
            chosen([Device("A"), Device("B", error(errno.EACCES))], UsbName(0x1209, 1, "B"))


def test_without_libusb_the_way_to_get_it_is_told(monkeypatch):
    def find(**_):
        raise usb.core.NoBackendError("No backend available")

    monkeypatch.setattr(usb.core, "find", find)
    for platform, way in (
        ("linux", "apt-get install"),
        ("darwin", "brew install"),
        ("win32", "pip install libusb-package"),
    ):
        monkeypatch.setattr(usb_links.sys, "platform", platform)
        with pytest.raises(LinkError, match=way):
            usb_links.open_address("1209:0001", LinkOptions(ManualClock(), random.Random(1).randbytes))


def test_libusb_may_come_in_a_package(monkeypatch):
    monkeypatch.setattr("usb.backend.libusb1.get_backend", lambda: None)
    monkeypatch.setitem(sys.modules, "libusb_package", None)
    assert libusb.backend() is None
    monkeypatch.setitem(sys.modules, "libusb_package", SimpleNamespace(get_libusb1_backend=lambda: "the package's"))
    assert libusb.backend() == "the package's"
    monkeypatch.setattr("usb.backend.libusb1.get_backend", lambda: "the system's")
    assert libusb.backend() == "the system's"


def test_a_system_that_lets_nobody_in_leads_to_pcsc(monkeypatch):
    refused = NotImplementedError("Operation not supported or unimplemented on this platform")
    with pytest.raises(PermissionDenied, match="pcsc:"):
        chosen([Device("A"), Device("B", refused)], UsbName(0x1209, 1, "B"))
    monkeypatch.setattr(usb_links.sys, "platform", "darwin")
    assert "pcsc:" in str(link_error(error(errno.EACCES), "usb:1209:0001"))


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EACCES, PermissionDenied, "udev install"),
        (errno.ENODEV, LinkError, "gone"),
        (errno.EIO, LinkError, "gone"),
        (errno.EPIPE, LinkError, "refused"),
        (errno.ETIMEDOUT, Timeout, "does not answer"),
        (errno.ECONNREFUSED, NotFound, "nothing listens"),
        (errno.EOVERFLOW, LinkError, os.strerror(errno.EOVERFLOW)),
    ],
)
def test_errors_in_our_words(number, kind, words):
    mapped = link_error(error(number), "usb:1209:0001")
    assert type(mapped) is kind
    assert words in str(mapped)
    assert "usb:1209:0001" in str(mapped)


def test_busy_names_pcscd_where_it_runs(monkeypatch):
    monkeypatch.setattr(usb_links, "pcscd_runs", lambda: True)
    assert "pcscd holds" in str(link_error(error(errno.EBUSY), "usb:1209:0001"))
    assert "pcscd" not in str(link_error(error(errno.EBUSY), "usbip:127.0.0.1:4000/1-1"))
    monkeypatch.setattr(usb_links, "pcscd_runs", lambda: False)
    mapped = link_error(error(errno.EBUSY), "usb:1209:0001")
    assert type(mapped) is Busy
    assert "pcscd" not in str(mapped)


def test_pcscd_is_seen_by_its_socket_or_its_process(tmp_path):
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "comm").write_text("bash\n")
    absent = tmp_path / "absent"
    assert not pcscd_runs(absent, tmp_path)
    (tmp_path / "77" / "comm").write_text("pcscd\n")
    assert pcscd_runs(absent, tmp_path)
    assert pcscd_runs(tmp_path, absent)


class Interface:
    """A claimed interface with its two endpoints; `log` has what happened to it."""

    def __init__(self, *, kernel_driver=True, claim_fails=None):
        self.bInterfaceNumber = 2
        self.log = []
        self.claim_fails = claim_fails
        self.endpoints = [self.endpoint(0x03, 3), self.endpoint(0x02, 2), self.endpoint(0x82, 2)]
        self.device = SimpleNamespace(
            is_kernel_driver_active=lambda number: kernel_driver,
            detach_kernel_driver=lambda number: self.log.append(f"detach {number}"),
            attach_kernel_driver=lambda number: self.log.append(f"attach {number}"),
        )

    def endpoint(self, address, kind):
        return SimpleNamespace(
            bEndpointAddress=address,
            bmAttributes=kind,
            wMaxPacketSize=64,
            write=lambda data, limit_ms: self.log.append((address, len(data), limit_ms)),
        )

    def __iter__(self):
        return iter(self.endpoints)

    def open(self, monkeypatch):
        def claim(device, number):
            if self.claim_fails:
                raise self.claim_fails
            self.log.append(f"claim {number}")

        monkeypatch.setattr(usb.util, "claim_interface", claim)
        monkeypatch.setattr(usb.util, "release_interface", lambda device, number: self.log.append(f"release {number}"))
        monkeypatch.setattr(usb.util, "dispose_resources", lambda device: self.log.append("dispose"))
        return UsbPipe(self.device, self, "usb:test")


def test_a_kernel_driver_gets_the_interface_back(monkeypatch):
    interface = Interface()
    interface.open(monkeypatch).close()
    assert interface.log == ["detach 2", "claim 2", "release 2", "attach 2", "dispose"]


def test_a_kernel_driver_gets_it_back_also_when_it_cannot_be_claimed(monkeypatch):
    interface = Interface(claim_fails=error(errno.EBUSY))
    with pytest.raises(usb.core.USBError):
        interface.open(monkeypatch)
    assert interface.log == ["detach 2", "attach 2"]


def test_systems_without_kernel_drivers_to_detach(monkeypatch):
    interface = Interface()

    def unknown(number):
        raise NotImplementedError

    interface.device.is_kernel_driver_active = unknown
    interface.open(monkeypatch).close()
    assert interface.log == ["claim 2", "release 2", "dispose"]


def test_a_transfer_of_whole_packets_is_ended_by_an_empty_one(monkeypatch):
    interface = Interface(kernel_driver=False)
    pipe = interface.open(monkeypatch)
    interface.log.clear()
    pipe.write(bytes(63), 2.5)
    pipe.write(bytes(128), 2.5)
    assert interface.log == [(0x02, 63, 2500), (0x02, 128, 2500), (0x02, 0, 2500)]


@pytest.mark.parametrize(("timeout_s", "limit_ms"), [(0.0, 1), (0.0001, 1), (0.0011, 2), (1.0, 1000)])
def test_no_time_left_is_not_for_ever(monkeypatch, timeout_s, limit_ms):
    interface = Interface(kernel_driver=False)
    pipe = interface.open(monkeypatch)
    interface.log.clear()
    pipe.write(b"x", timeout_s)
    assert interface.log == [(0x02, 1, limit_ms)]
