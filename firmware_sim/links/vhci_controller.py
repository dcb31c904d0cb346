"""Linux' virtual USB host controller through sysfs: take a free port, hand it a socket, see what came of it.

vhci_hcd speaks USB/IP over the socket from the first URB on: there is no import, because `attach` says which device it
is. The files are those of drivers/usb/usbip/vhci_sysfs.c in the kernel.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from firmware_sim.links.port import PortError

_CONTROLLERS = "devices/platform/vhci_hcd.0"
_FREE = 4  # VDEV_ST_NULL
_NO_DEVICE = "0-0"
_HIGH_SPEED_HUB = "hs"  # serves low and full speed too; "ss" serves nothing else


class _Row(NamedTuple):
    """A port, as a line of a status file tells it. `busid`: the device's name below bus/usb/devices, _NO_DEVICE until
    the kernel has given it one."""

    hub: str
    port: int
    status: int
    busid: str

    @classmethod
    def parse(cls, line: str) -> _Row:
        """`hub port sta spd dev sockfd local_busid`, all numbers in decimal but `dev`. Raises ValueError."""
        hub, port, status, _speed, _devid, _fd, busid = line.split()
        return cls(hub, int(port), int(status), busid)


class Controller:
    """`root`: where sys, dev and run are. Raises PortError that says what to do."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._sysfs, self._dev, self._run = root / "sys", root / "dev", root / "run"
        self._home = self._sysfs / _CONTROLLERS

    def attach(self, fd: int, devid: int, speed: int) -> int:
        """Give the device at the other end of the stream socket `fd` to the kernel: the port that it is on now.

        `devid`: bus and device number, as its URBs will name it. `speed`: of enum usb_device_speed, 1 low to 3 high.
        The kernel keeps a reference of its own to the socket, and unplugs the device when the other end is closed.
        """
        taken = 0
        for row in self._rows():
            if row.hub != _HIGH_SPEED_HUB:
                continue
            if row.status == _FREE and self._takes(f"{row.port} {fd} {devid} {speed}"):
                return row.port
            taken += 1
        raise PortError(
            f"all {taken} ports of this kernel's virtual USB host controller are taken; stop another simulator first"
        )

    def node(self, port: int, *, tty: bool) -> Path | None:
        """The node of the device on that port, or of the serial line that it has, once it may be opened: where udev
        runs, its rules have been applied by then.

        For whoever serves the device himself: reads only what the kernel tells without the device's lock, which it
        holds while it waits for the device's answers. (Not `uevent`, not `bConfigurationValue`.)
        """
        busid = next((row.busid for row in self._rows() if row.port == port), _NO_DEVICE)
        device = self._sysfs / "bus" / "usb" / "devices" / busid
        interfaces = f"{busid}:*"  # there once the kernel has chosen a configuration
        if tty:
            lines = device.glob(f"{interfaces}/tty/*")
            return next((node for line in lines if (node := self._openable(line, line.name))), None)
        if not any(device.glob(interfaces)):
            return None
        return self._openable(device, f"bus/usb/{_read(device / 'busnum'):0>3}/{_read(device / 'devnum'):0>3}")

    def _openable(self, place: Path, name: str) -> Path | None:
        node, udev = self._dev / name, self._run / "udev"
        applied = not (udev / "control").exists() or (udev / "data" / f"c{_read(place / 'dev')}").exists()
        return node if applied and node.exists() else None

    def _takes(self, request: str) -> bool:
        """Whether the port was still free."""
        try:
            # The whole request in one write, which is how sysfs wants it.
            (self._home / "attach").write_text(request)
        except PermissionError:
            raise PortError(
                "only root may attach to this kernel: run `sudo firmware-sim run --link vhci ...`, or use --link usbip"
            ) from None
        except OSError as error:
            if error.errno == errno.EBUSY:
                return False
            raise PortError(f"the kernel does not take the token: {error.strerror}; use --link usbip") from None
        return True

    def _rows(self) -> Iterator[_Row]:
        """Every port of every controller, in the kernel's order."""
        files = sorted(self._home.glob("status*"), key=lambda path: int(path.suffix[1:] or 0))
        if not files:
            raise PortError(
                "this kernel has no virtual USB host controller: run `sudo modprobe vhci-hcd` (on Linux; kernels made "
                "for clouds and containers may lack it), or use --link usbip, which needs none"
            )
        for path in files:
            for line in _lines(path)[1:]:
                try:
                    yield _Row.parse(line)
                except ValueError:
                    raise PortError(f"{path} holds a line that is not of a port: {line!r}") from None


def _lines(status: Path) -> list[str]:
    """Raises PortError: the module may be unloaded at any time, and takes its files along."""
    try:
        return status.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise PortError(
            f"the kernel's virtual USB host controller does not tell its ports any more: {status}: {error.strerror}; "
            "run `sudo modprobe vhci-hcd` and start again, or use --link usbip"
        ) from None


def _read(path: Path) -> str:
    """What an attribute says, "" if it says nothing or the device has just gone."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
