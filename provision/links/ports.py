"""What is plugged in, found by looking only: no device is spoken to here, none is claimed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

UDEV_LINKS = Path("/dev/hwtoken")  # udev/ makes a link here for the serial line of every token that it knows


@dataclass(frozen=True, slots=True)
class Place:
    """A place where a token may be: its address, and what the USB device there says of itself.

    The USB fields are those of the device descriptor, `product` and `serial` the strings themselves; None where there
    is no USB device, or it does not tell. `chosen`: a link leads here that udev or a person made for a token.
    `reader`: the name of a PC/SC reader. `openable`: False if it is known that we may not open it.
    """

    address: str
    idVendor: int | None = None
    idProduct: int | None = None
    product: str | None = None
    serial: str | None = None
    chosen: bool = False
    reader: str | None = None
    openable: bool = True


def serial_ports(folder: Path | None = None) -> list[Place]:
    """The system's serial ports and those that UDEV_LINKS and `folder` link to, each port once.

    A link's name goes before the port's: it says which token it is, and stays when the port's number changes.
    """
    from serial.tools.list_ports import comports

    ports = {os.path.realpath(port.device): port for port in sorted(comports())}
    links = _links(folder, UDEV_LINKS)
    places = [
        Place(
            f"serial:{links.get(path, port.device)}",
            port.vid,
            port.pid,
            port.product,
            port.serial_number,
            path in links,
        )
        for path, port in ports.items()
    ]
    places += [Place(f"serial:{link}", chosen=True) for path, link in links.items() if path not in ports]  # ptys
    return sorted(places, key=lambda place: not place.chosen)


def _links(*folders: Path | None) -> dict[str, str]:
    """Character devices that the folders' entries lead to: the device's own path -> the first entry's."""
    found: dict[str, str] = {}
    for folder in folders:
        if folder is not None and folder.is_dir():
            for entry in sorted(folder.iterdir()):
                if entry.is_char_device():
                    found.setdefault(os.path.realpath(entry), str(entry))
    return found


def kernel_line(path: Path) -> str | None:
    """What a file of sysfs or procfs says; None if it is not there, or its device or process has just gone."""
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return None
