"""The virtual host controller's files, as a kernel shows them and as they may be broken."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_sim.links.port import PortError
from firmware_sim.links.vhci_controller import Controller

FULL_SPEED, DEVID = 2, 0x00010002
HEADER = "hub port sta spd dev      sockfd local_busid\n"
# As Linux 6.1 writes it: two high-speed ports, the first of them in use, and one for USB 3.
STATUS = HEADER + "hs  0000 006 002 00010002 000009 1-1\nhs  0001 004 000 00000000 000000 0-0\n"
STATUS += "ss  0002 004 000 00000000 000000 0-0\n"


class Kernel:
    """A tree that looks like the kernel's; `attach` is a file, which keeps the last request."""

    def __init__(self, root: Path) -> None:
        self.sysfs, self.dev, self.run = root / "sys", root / "dev", root / "run"
        self.home = self.sysfs / "devices" / "platform" / "vhci_hcd.0"
        self.home.mkdir(parents=True)
        self.dev.mkdir()
        self.home.joinpath("status").write_text(STATUS)
        self.home.joinpath("attach").touch()
        self.controller = Controller(root)

    def requested(self) -> str:
        return self.home.joinpath("attach").read_text()

    def enumerate(self) -> Path:
        """Show the device on the first port: it is 1-1, and not configured yet."""
        device = self.sysfs / "bus" / "usb" / "devices" / "1-1"
        device.mkdir(parents=True)
        for name, text in {"busnum": "1\n", "devnum": "2\n", "dev": "189:1\n"}.items():
            device.joinpath(name).write_text(text)
        return device

    def configure(self, device: Path) -> None:
        """Give it the interfaces of a serial line."""
        tty = device / "1-1:1.0" / "tty" / "ttyACM3"
        tty.mkdir(parents=True)
        tty.joinpath("dev").write_text("166:3\n")

    def make_node(self, name: str) -> Path:
        node = self.dev / name
        node.parent.mkdir(parents=True, exist_ok=True)
        node.touch()
        return node


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_the_first_free_port_is_taken(kernel: Kernel) -> None:
    assert kernel.controller.attach(7, DEVID, FULL_SPEED) == 1
    assert kernel.requested() == "1 7 65538 2"


def test_ports_of_further_controllers_come_after_those_of_the_first(kernel: Kernel) -> None:
    kernel.home.joinpath("status").write_text(STATUS.replace("0001 004", "0001 005"))
    for number in (10, 2, 1):
        state = "004" if number != 1 else "006"
        kernel.home.joinpath(f"status.{number}").write_text(
            f"{HEADER}hs  {number:04} {state} 000 00000000 000000 0-0\n"
        )
    assert kernel.controller.attach(7, DEVID, FULL_SPEED) == 2


def test_a_full_controller_says_so(kernel: Kernel) -> None:
    kernel.home.joinpath("status").write_text(STATUS.replace("0001 004", "0001 006"))
    with pytest.raises(PortError, match="all 2 ports"):
        kernel.controller.attach(7, DEVID, FULL_SPEED)


def test_a_kernel_without_the_module_says_how_to_load_it(tmp_path: Path) -> None:
    with pytest.raises(PortError, match="sudo modprobe vhci-hcd") as caught:
        Controller(tmp_path).attach(7, DEVID, FULL_SPEED)
    assert "--link usbip" in str(caught.value)


def test_a_port_that_was_lost_to_another_is_passed_over(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel.home.joinpath("status").write_text(STATUS.replace("0000 006", "0000 004"))
    write, requests = Path.write_text, []

    def busy_once(path: Path, request: str) -> int:
        requests.append(request)
        if len(requests) == 1:
            raise OSError(16, os.strerror(16))
        return write(path, request)

    monkeypatch.setattr(Path, "write_text", busy_once)
    assert kernel.controller.attach(7, DEVID, FULL_SPEED) == 1
    assert requests == ["0 7 65538 2", "1 7 65538 2"]


@pytest.mark.parametrize(
    ("number", "words"), [(13, "sudo firmware-sim"), (1, "sudo firmware-sim"), (22, "Invalid argument")]
)
def test_what_the_kernel_refuses_is_told(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(path: Path, request: str) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PortError, match=words):
        kernel.controller.attach(7, DEVID, FULL_SPEED)


@pytest.mark.parametrize(
    "line", ["", "hs 0001", "hs 0001 free 0 0 0 0-0", "no such thing as a line of eight words here"]
)
def test_a_status_file_that_is_none_is_told(kernel: Kernel, line: str) -> None:
    kernel.home.joinpath("status").write_text(f"{HEADER}{line}\n")
    with pytest.raises(PortError, match="not of a port"):
        kernel.controller.attach(7, DEVID, FULL_SPEED)


def vanish(status: Path) -> None:
    status.symlink_to("nowhere")  # found when the directory was listed, and gone when it is opened


def be_unreadable(status: Path) -> None:
    status.mkdir()


@pytest.mark.parametrize("fate", [vanish, be_unreadable])
@pytest.mark.parametrize("look", [lambda c: c.attach(7, DEVID, FULL_SPEED), lambda c: c.node(0, tty=False)])
def test_a_module_that_is_unloaded_at_work_is_told(
    kernel: Kernel, fate: Callable[[Path], None], look: Callable[[Controller], object]
) -> None:
    status = kernel.home / "status"
    status.unlink()
    fate(status)
    with pytest.raises(PortError, match="sudo modprobe vhci-hcd") as caught:
        look(kernel.controller)
    assert str(status) in str(caught.value)
    assert "--link usbip" in str(caught.value)


def test_a_device_is_there_once_it_is_configured_and_has_a_node(kernel: Kernel) -> None:
    assert kernel.controller.node(0, tty=False) is None
    device = kernel.enumerate()
    node = kernel.make_node("bus/usb/001/002")
    assert kernel.controller.node(0, tty=False) is None
    kernel.configure(device)
    assert kernel.controller.node(0, tty=False) == node
    assert kernel.controller.node(1, tty=False) is None, "the other port is free"
    node.unlink()
    assert kernel.controller.node(0, tty=False) is None


def test_its_serial_line_has_another_node(kernel: Kernel) -> None:
    device = kernel.enumerate()
    kernel.make_node("bus/usb/001/002")
    assert kernel.controller.node(0, tty=True) is None
    kernel.configure(device)
    assert kernel.controller.node(0, tty=True) is None
    node = kernel.make_node("ttyACM3")
    assert kernel.controller.node(0, tty=True) == node


@pytest.mark.parametrize(("tty", "name", "number"), [(False, "bus/usb/001/002", "c189:1"), (True, "ttyACM3", "c166:3")])
def test_where_udev_runs_a_node_is_there_once_udev_has_done_with_it(
    kernel: Kernel, tty: bool, name: str, number: str
) -> None:
    kernel.configure(kernel.enumerate())
    node = kernel.make_node(name)
    data = kernel.run / "udev" / "data"
    data.mkdir(parents=True)
    data.with_name("control").touch()
    assert kernel.controller.node(0, tty=tty) is None
    data.joinpath(number).touch()
    assert kernel.controller.node(0, tty=tty) == node


def test_a_device_that_goes_while_it_is_looked_at_is_not_there(kernel: Kernel) -> None:
    device = kernel.enumerate()
    kernel.configure(device)
    device.joinpath("busnum").unlink()
    assert kernel.controller.node(0, tty=False) is None
