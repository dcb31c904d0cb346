"""What the guest's Linux makes of a token that is plugged in."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel

VHCI = Path("/sys/devices/platform/vhci_hcd.0")


def test_the_guest_has_a_virtual_host_controller() -> None:
    header, *ports = VHCI.joinpath("status").read_text().splitlines()
    assert header.split() == ["hub", "port", "sta", "spd", "dev", "sockfd", "local_busid"]
    assert ports
