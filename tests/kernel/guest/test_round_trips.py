"""How long 64 bytes take there and back, on every way through the kernel: shown in the lane's log, judged by nobody.

Emulated and on a busy machine the figures mean something beside each other only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from statistics import median

import pytest

from provision.clock import SystemClock
from provision.links.link import Link, LinkOptions, open_link
from provision.wire.apdu import CLA_PLAIN, Command, Sw, encode_command
from tests.kernel.guest.pcscd import mended_table, running_pcscd, wait_for_reader
from tests.kernel.guest.world import Token

pytestmark = pytest.mark.kernel

ROUNDS = 200
COMMAND = encode_command(Command(CLA_PLAIN, 0xFF, 0, 0, bytes(59)))  # 64 bytes; no applet knows the instruction
REFUSED = Sw.INS_NOT_SUPPORTED.to_bytes(2, "big")


def milliseconds(link: Link) -> float:
    """The median round trip."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        assert link.exchange(COMMAND) == REFUSED
        taken.append(time.perf_counter() - start)
    return median(taken) * 1000


def test_round_trips(token: Token, record_property: Callable[[str, object], None]) -> None:
    options = LinkOptions(SystemClock(), os.urandom)
    found = {}
    for way, address in (("ttyACM", token.address), ("bulk pipes, libusb", token.usb_address)):
        with open_link(address, options) as link:
            found[way] = milliseconds(link)
    mended_table()
    with running_pcscd(), open_link(f"pcsc:{wait_for_reader()}", options) as link:
        found["pcscd, libccid"] = milliseconds(link)
    record_property("round_trips", "\n".join(f"{way:<20}{taken:6.1f} ms" for way, taken in found.items()))
