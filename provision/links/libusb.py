"""Where pyusb finds libusb: in the system, or in the package libusb-package, which brings one (for Windows, mostly)."""

from __future__ import annotations

import contextlib
from typing import Any

import usb.backend.libusb1


def backend() -> Any:
    """pyusb's backend on libusb 1. None where there is none: pyusb then looks for older libraries by itself."""
    found = usb.backend.libusb1.get_backend()
    if found is None:
        with contextlib.suppress(ImportError):
            import libusb_package

            found = libusb_package.get_libusb1_backend()
    return found
