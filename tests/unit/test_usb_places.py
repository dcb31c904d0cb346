"""Tokens on USB found without opening them, and with what can be had where they must be opened."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest
import usb.core
import usb.util

from provision.links.ports import Place
from provision.links.usb_places import usb_readers
from provision.wire.usb import DeviceClass


class Device:
    """A pyusb device, as far as looking goes. `strings`: product and serial, or what asking for them raises."""

    idVendor, idProduct, bus, address, port_numbers = 0x1209, 0x0001, 1, 7, (2, 4)

    def __init__(self, strings=None, classes=(DeviceClass.CDC, DeviceClass.CCID)):
        self._strings = strings
        self._classes = classes
        self.opened = 0

    def __iter__(self):
        if isinstance(self._classes, Exception):
            raise self._classes
        return iter([[SimpleNamespace(bInterfaceClass=number) for number in self._classes]])

    def _string(self, index):
        self.opened += 1
        if isinstance(self._strings, Exception):
            raise self._strings
        return self._strings[index]

    product = property(lambda self: self._string(0))
    serial_number = property(lambda self: self._string(1))


@pytest.fixture
def bus(monkeypatch):
    """The devices that libusb finds."""
    devices: list[Device] = []

    def find(*, find_all, backend, custom_match):
        assert find_all
        return filter(custom_match, devices)

    monkeypatch.setattr(usb.core, "find", find)
    monkeypatch.setattr(usb.util, "dispose_resources", lambda device: None)
    return devices


def test_only_readers(bus, tmp_path: Path) -> None:
    bus += [Device(classes=(DeviceClass.CDC,)), Device(classes=usb.core.USBError("gone", errno=errno.ENODEV))]
    assert usb_readers(tmp_path, tmp_path) == []


def test_the_kernel_knows_the_strings(bus, tmp_path: Path) -> None:
    bus.append(device := Device(PermissionError()))
    folder = tmp_path / "1-2.4"
    folder.mkdir()
    (folder / "product").write_text("hwtoken reference token\n")
    (folder / "serial").write_text("SN-1\n")
    place = Place("usb:1209:0001/SN-1", 0x1209, 0x0001, "hwtoken reference token", "SN-1")
    assert usb_readers(tmp_path, tmp_path / "dev") == [place]
    assert not device.opened
    (folder / "serial").unlink()
    assert usb_readers(tmp_path, tmp_path / "dev")[0].address == "usb:1209:0001"


def test_elsewhere_the_device_is_asked(bus, tmp_path: Path) -> None:
    bus.append(Device(("a token", "SN-1")))
    assert usb_readers(tmp_path, tmp_path) == [Place("usb:1209:0001/SN-1", 0x1209, 0x0001, "a token", "SN-1")]


@pytest.mark.parametrize(
    "failure",
    [ValueError("The device has no langid"), usb.core.USBError("no", errno=errno.EACCES), NotImplementedError()],
)
def test_a_shut_device_has_no_strings(bus, tmp_path: Path, failure: Exception) -> None:
    bus.append(Device(failure))
    assert usb_readers(tmp_path, tmp_path) == [Place("usb:1209:0001", 0x1209, 0x0001)]


def test_a_node_that_is_not_ours(bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus.append(Device(("a token", "SN-1")))
    node = tmp_path / "001/007"
    node.parent.mkdir()
    node.touch()
    assert usb_readers(tmp_path / "sys", tmp_path)[0].openable
    monkeypatch.setattr("os.access", lambda path, mode: path != node)
    assert not usb_readers(tmp_path / "sys", tmp_path)[0].openable


def test_no_libusb(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(**_):
        raise usb.core.NoBackendError("No backend available")

    monkeypatch.setattr(usb.core, "find", find)
    assert usb_readers() == []
