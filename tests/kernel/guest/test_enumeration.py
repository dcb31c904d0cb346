"""What the guest's Linux makes of a token that is plugged in, and of one that is not any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import pyudev
import usb.core
import usb.util

from tests.kernel.guest.world import PATIENCE_S, KernelLog, Token, forked, provision, run, running_token

pytestmark = pytest.mark.kernel

VHCI = Path("/sys/devices/platform/vhci_hcd.0")
BY_ID = "/dev/serial/by-id/usb-hwtoken_hwtoken_reference_token"  # udev's own link begins so


def test_the_kernel_enumerates_it(
    token: Token, kernel_log: KernelLog, record_property: Callable[[str, object], None]
) -> None:
    token.replug()
    said = kernel_log.lines()
    node = run("udevadm", "info", str(token.tty))
    record_property("kernel_log", "\n".join(said))
    record_property("udevadm_info", node)
    for words in (
        "new full-speed USB device number",
        "New USB device found, idVendor=1209, idProduct=0001, bcdDevice= 1.00",
        "New USB device strings: Mfr=1, Product=2, SerialNumber=3",
        "Product: hwtoken reference token",
        "Manufacturer: hwtoken",
        f"SerialNumber: {token.serial}",
        f"{token.tty.name}: USB ACM device",
    ):
        assert any(line.endswith(words) or f" {words} " in line for line in said), words
    for line in (f"E: ID_USB_SERIAL_SHORT={token.serial}", "E: ID_USB_INTERFACES=:020200:0a0000:0b0000:"):
        assert line in node.splitlines()


def test_libusb_reads_the_same_strings_and_interfaces(token: Token) -> None:
    def read() -> None:
        device = usb.core.find(idVendor=0x1209, idProduct=0x0001)
        assert (device.manufacturer, device.product) == ("hwtoken", "hwtoken reference token")
        assert device.serial_number == token.serial
        assert [interface.bInterfaceClass for interface in device.get_active_configuration()] == [0x02, 0x0A, 0x0B]
        assert device.is_kernel_driver_active(0)
        assert not device.is_kernel_driver_active(2), "no driver of the kernel wants the reader"
        usb.util.dispose_resources(device)

    ran = forked(read)
    assert ran.exit_code == 0, ran.text


def test_udev_tells_of_coming_and_going(token: Token) -> None:
    monitor = pyudev.Monitor.from_netlink(pyudev.Context())
    monitor.filter_by("tty")
    monitor.start()
    token.hand("cable", action="unplug")
    gone = monitor.poll(PATIENCE_S)
    token.hand("cable", action="plug")
    come = monitor.poll(PATIENCE_S)
    assert gone is not None
    assert come is not None
    assert (gone.action, come.action) == ("remove", "add")
    assert gone.device_node == come.device_node == str(token.tty)
    assert come.properties["ID_USB_SERIAL_SHORT"] == token.serial


def test_two_tokens_at_once_keep_apart(token: Token) -> None:
    with running_token() as other:
        assert token.address != other.address
        for one in (token, other, token):
            assert provision("info", "--token", one.address).last["serial"] == one.serial
        listed = provision("list").last["tokens"]
        assert {one["serial"] for one in listed} == {token.serial, other.serial}
    assert provision("info", "--token", token.address).last["serial"] == token.serial


def test_detached_by_the_host_and_attached_again(token: Token) -> None:
    busid = Path("/sys/class/tty", token.tty.name, "device").resolve().name.partition(":")[0]
    rows = [row.split() for row in VHCI.joinpath("status").read_text().splitlines()]
    (port,) = (row[1] for row in rows if row[-1] == busid)
    VHCI.joinpath("detach").write_text(port)
    run("udevadm", "wait", "--removed", "--timeout=60", str(token.tty))
    assert token.hand("inspect")["cable"]["plugged"] is False
    assert "no port" in provision("info", "--token", token.address).error(3)
    token.hand("cable", action="plug")
    assert provision("info", "--token", token.address).last["serial"] == token.serial


def test_debians_usbip_attaches_it_too() -> None:
    with running_token(link="usbip") as token:
        host, _, rest = token.address.removeprefix("usbip:").rpartition(":")
        port, _, busid = rest.partition("/")
        assert "1209:0001" in run("usbip", "--tcp-port", port, "list", "-r", host)
        run("usbip", "--tcp-port", port, "attach", "-r", host, "-b", busid)
        run("udevadm", "wait", "--settle", "--timeout=60", f"{BY_ID}_{token.serial}-if00")
        assert token.serial in {found["serial"] for found in provision("list").last["tokens"]}
