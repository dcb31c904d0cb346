"""How long 64 bytes take there and back, on every way through the kernel: shown in the lane's log, judged by nobody.

Emulated and on a busy machine the figures mean something beside each other only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from statistics import median

import pytest

from provision.clock import SystemClock
from provision.links.link import LinkOptions, open_link
from provision.wire.apdu import CLA_PLAIN, Command, Sw, encode_command
from tests.kernel.guest.pcscd import mended_table, running_pcscd, wait_for_reader
from tests.kernel.guest.world import Token, forked

pytestmark = pytest.mark.kernel

ROUNDS = 200
COMMAND = encode_command(Command(CLA_PLAIN, 0xFF, 0, 0, bytes(59)))  # 64 bytes; no applet knows the instruction
REFUSED = Sw.INS_NOT_SUPPORTED.to_bytes(2, "big")


def measured(address: str) -> float:
    """The median round trip at that address, milliseconds."""

    def measure() -> None:
        taken = []
        with open_link(address, LinkOptions(SystemClock(), os.urandom)) as link:
            for _ in range(ROUNDS):
                start = time.perf_counter()
                assert link.exchange(COMMAND) == REFUSED
                taken.append(time.perf_counter() - start)
        print(json.dumps({"ms": median(taken) * 1000}))

    ran = forked(measure)
    assert ran.exit_code == 0, ran.text
    milliseconds: float = ran.last["ms"]
    return milliseconds


def test_round_trips(token: Token, record_property: Callable[[str, object], None]) -> None:
    found = {"ttyACM": measured(token.address), "bulk pipes, libusb": measured(token.usb_address)}
    mended_table()
    with running_pcscd():
        found["pcscd, libccid"] = measured(f"pcsc:{wait_for_reader()}")
    record_property("round_trips", "\n".join(f"{way:<20}{taken:6.1f} ms" for way, taken in found.items()))
