"""A token in this process, APDU by APDU: the reference token serves, since any family's channel has that shape."""

from __future__ import annotations

import random

import pytest

from firmware_sim.testing.bench import START_S, Bench, make_bench
from provision.clock import ManualClock
from provision.errors import Timeout, TokenRefused
from provision.families.reference import DRIVER
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import NewCredential, OtpParameters, Secret
from provision.otp import code_at

SEED = Secret(bytes(range(20)))
TOUCHED = NewCredential("vpn", SEED, OtpParameters(), own_clock=False, pin=False, touch=True)


class World:
    """`asked`: the seconds that each wait for a person announced; `finger`: whether there is one to press."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.finger = False
        self.asked: list[int] = []
        self.clock = ManualClock(START_S)
        options = LinkOptions(self.clock, random.Random(1).randbytes, on_pending=self._pending)
        self.channel = bench.token.open_channel()
        self.link = open_channel(self.channel, options)
        self.session = DRIVER.open(self.link, self.clock, random.Random(2).randbytes)

    def _pending(self, seconds_left: int) -> None:
        self.asked.append(seconds_left)
        if self.finger:
            self.bench.token.press_button()
        else:
            self.bench.clock.advance(seconds_left)


@pytest.fixture
def world() -> World:
    bench = make_bench()
    bench.token.power_on()
    world = World(bench)
    world.session.authenticate(None)
    world.session.put(TOUCHED)
    return world


def test_a_touch_is_asked_for_and_awaited(world: World) -> None:
    world.finger = True
    assert world.session.calculate("vpn", step=5).value == code_at(SEED, OtpParameters(), 5)
    assert world.asked == [15]


def test_nobody_touches_and_the_token_gives_up(world: World) -> None:
    with pytest.raises(TokenRefused, match="nobody touched it"):
        world.session.calculate("vpn", step=5)
    assert world.asked == [15]


def test_the_clock_goes_on_to_the_end_of_the_tokens_patience() -> None:
    clock = ManualClock(START_S)

    class Slow:
        deadline = START_S + 3

        def transmit(self, apdu: bytes) -> bytes | None:
            return None

        def poll(self) -> bytes | None:
            return b"\x69\x85" if clock.now() >= self.deadline else None

        def reset(self) -> None:
            pass

    link = open_channel(Slow(), LinkOptions(clock, random.Random(1).randbytes))
    assert link.exchange(b"\0\0\0\0") == b"\x69\x85"
    assert clock.now() == START_S + 3


def test_closing_it_forgets_the_channel(world: World) -> None:
    with world.link:
        pass
    assert world.channel.transmit(bytes.fromhex("00A1000000")) == b"\x6d\x00", "no applet is selected"


def test_a_channel_that_never_answers_is_a_timeout() -> None:
    class Deaf:
        deadline = None

        def transmit(self, apdu: bytes) -> bytes | None:
            return None

        def poll(self) -> bytes | None:
            return None

        def reset(self) -> None:
            pass

    link = open_channel(Deaf(), LinkOptions(ManualClock(START_S), random.Random(1).randbytes))
    with pytest.raises(Timeout):
        link.exchange(b"\0\0\0\0")
