"""A token on a kernel's virtual host controller, with a test at the kernel's end of the socket."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim.clocks import SystemClock, monotonic
from firmware_sim.core.family import CCID
from firmware_sim.core.token import Token
from firmware_sim.links import loop as loop_module
from firmware_sim.links.cable import Cable
from firmware_sim.links.loop import Loop
from firmware_sim.links.port import PortError
from firmware_sim.links.vhci import VhciPort
from firmware_sim.links.vhci_controller import Controller
from firmware_sim.testing.bench import make_bench
from provision.wire.usb import IN, DescriptorType, Request, SetupPacket
from provision.wire.usbip import IN as DIRECTION_IN
from provision.wire.usbip import Speed, Submit

DEVID = 0x00010002
GET_DEVICE_DESCRIPTOR = SetupPacket(IN, Request.GET_DESCRIPTOR, DescriptorType.DEVICE << 8, 0, 18).encode()


class Kernel(Controller):
    """Asks for the device descriptor, and has a node once it got one. `deaf`: asks for nothing."""

    def __init__(self, *, deaf: bool = False) -> None:
        super().__init__(Path("/nowhere"))
        self.ends: list[socket.socket] = []
        self.attached: tuple[int, int] | None = None
        self.answers = b""
        self.deaf = deaf

    @property
    def end(self) -> socket.socket:
        return self.ends[-1]

    def attach(self, fd: int, devid: int, speed: int) -> int:
        # Only a reference of its own keeps the socket open behind the caller's back, as in the kernel.
        self.ends.append(socket.socket(fileno=os.dup(fd)))
        self.end.setblocking(False)
        self.attached = devid, speed
        if not self.deaf:
            self.end.send(Submit(1, devid, DIRECTION_IN, 0, 18, setup=GET_DEVICE_DESCRIPTOR).encode())
        return 3

    def node(self, port: int, *, tty: bool) -> Path | None:
        assert port == 3
        with contextlib.suppress(BlockingIOError):
            self.answers += self.end.recv(4096)
        return Path("/dev/ttyACM7" if tty else "/dev/bus/usb/001/002") if len(self.answers) == 48 + 18 else None

    def close(self) -> None:
        for end in self.ends:
            end.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop(SystemClock(), ticking=True, monotonic=monotonic)
    yield loop
    loop.close()


def make_port(loop: Loop, kernel: Kernel, *functions: str) -> VhciPort:
    bench = make_bench()
    family = dataclasses.replace(bench.token.family, functions=functions) if functions else bench.token.family
    token = Token(
        family=family,
        serial="SIM1",
        flash=bench.flash,
        oscillator=bench.oscillator,
        clock=bench.clock,
        random=random.Random(1),
    )
    token.power_on()
    return VhciPort(loop, Cable(token, bench.clock, bench.supply.restore), kernel)


def test_a_token_with_a_serial_line_is_reached_over_it(loop: Loop, kernel: Kernel) -> None:
    port = make_port(loop, kernel)
    assert not port.plugged
    port.plug()
    assert port.plugged
    assert port.address == "serial:/dev/ttyACM7"
    assert kernel.attached == (DEVID, Speed.FULL)
    assert kernel.answers[48:50] == bytes((18, DescriptorType.DEVICE))
    port.unplug()


def test_one_without_is_reached_as_a_usb_device(loop: Loop, kernel: Kernel) -> None:
    port = make_port(loop, kernel, CCID)
    port.plug()
    assert port.address == "usb:1209:0001/SIM1"
    port.unplug()


def test_unplugged_it_hangs_up_and_may_be_plugged_in_again(loop: Loop, kernel: Kernel) -> None:
    port = make_port(loop, kernel)
    for _ in range(2):
        port.plug()
        port.plug()
        port.unplug()
        assert not port.plugged
        assert kernel.end.recv(1) == b""
        kernel.answers = b""
    assert len(kernel.ends) == 2, "plugged in, it stays where it is"


def test_a_kernel_that_lets_go_has_unplugged_it(loop: Loop, kernel: Kernel) -> None:
    port = make_port(loop, kernel)
    port.plug()
    kernel.end.close()
    loop.when(lambda: not port.plugged, loop.stop)
    loop.run()
    assert not port.plugged


def test_a_kernel_that_makes_nothing_of_it_is_told_of_and_let_go(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_SILENCES", 2)
    kernel = Kernel(deaf=True)
    port = make_port(loop, kernel)
    with pytest.raises(PortError, match="no serial line"):
        port.plug()
    assert not port.plugged
    assert kernel.end.recv(1) == b""
    kernel.close()


def test_a_kernel_that_lets_go_while_it_enumerates_is_told_of(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(deaf=True)
    monkeypatch.setattr(kernel, "node", lambda port, tty: kernel.close())
    port = make_port(loop, kernel)
    with pytest.raises(PortError, match="no serial line"):
        port.plug()
    assert not port.plugged


def test_what_waits_for_the_replies_comes_once_they_have_left(loop: Loop, kernel: Kernel) -> None:
    port = make_port(loop, kernel)
    port.plug()
    port.after_reply(loop.stop)
    loop.run()
    port.unplug()
