"""Which serial ports there are."""

from __future__ import annotations

import os
from pathlib import Path

UDEV_LINKS = Path("/dev/hwtoken")  # udev/ makes a link here for every token that it knows


def serial_addresses(folder: Path | None = None) -> list[str]:
    """Addresses of the system's serial ports and of those that UDEV_LINKS and `folder` link to, each port once.

    A link's name comes first: it says which token it is and stays when the port's number changes.
    """
    from serial.tools.list_ports import comports

    found: dict[str, str] = {}
    for place in (folder, UDEV_LINKS):
        if place is not None and place.is_dir():
            for entry in sorted(place.iterdir()):
                if entry.is_char_device():
                    found.setdefault(os.path.realpath(entry), str(entry))
    for port in sorted(comports()):
        found.setdefault(os.path.realpath(port.device), port.device)
    return [f"serial:{name}" for name in found.values()]
