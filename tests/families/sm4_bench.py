"""A token of Token2's from both sides at once: the driver, and the device behind an APDU channel, each the other's
oracle. What the Molto2 and the tokens with one profile have in common."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable

from hypothesis import strategies as st

from firmware_sim.core.family import Family
from firmware_sim.core.token import Token
from firmware_sim.flash import MemoryFlash
from firmware_sim.testing.bench import SteadyOscillator
from provision.clock import ManualClock
from provision.errors import ProvisionError
from provision.families.driver import Driver, Session
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.wire.apdu import Command, decode_response, encode_command

START_S = 1_767_225_600.25


class ChannelBench:
    def __init__(self, driver: Driver, kind: Family, serial: str) -> None:
        self.driver = driver
        self.clock = ManualClock(START_S)
        self.flash = MemoryFlash(kind.flash.page_size, kind.flash.page_count, wear_limit=1_000_000)
        self.oscillator = SteadyOscillator()
        self.random = random.Random(20260101)
        self.token = Token(
            family=kind,
            serial=serial,
            flash=self.flash,
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.token.power_on()
        self.channel = self.token.open_channel()

    def link(self):
        return open_channel(self.channel, LinkOptions(self.clock, self.random.randbytes))

    def session(self, link=None):
        return self.driver.open(link or self.link(), self.clock, self.random.randbytes)

    def say(self, command: Command) -> tuple[bytes, int]:
        raw = self.channel.transmit(encode_command(command))
        assert raw is not None
        return decode_response(raw)

    def sw(self, command: Command) -> int:
        return self.say(command)[1]

    def require_sense_of_altered_answers(
        self, draw: Callable[[st.SearchStrategy[int]], int], *acts: Callable[[Session], object]
    ) -> None:
        """One byte of each answer is another, and its end may be missing: an error of ours, or a sound value."""
        link = self.link()
        exchange = link.exchange

        def altered(command):
            raw = bytearray(exchange(command))
            raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
            return bytes(raw[: draw(st.integers(0, len(raw)))])

        link.exchange = altered
        session = self.session(link)
        for act in acts:
            with contextlib.suppress(ProvisionError):
                act(session)

    def require_only_refusals(self, commands: list[bytes]) -> None:
        for command in commands:
            response = self.channel.transmit(command)
            assert response is not None
            assert len(response) >= 2


def require_time_written_at_once(admin, monkeypatch, config: int) -> None:
    """Between the edge of the second and the command that sets the clock there is nothing else to do."""
    admin.read_clock()
    sent = []
    exchange = admin._link.exchange
    monkeypatch.setattr(admin._link, "exchange", lambda command: sent.append(command[1]) or exchange(command))
    admin.write_clock(1_800_000_000)
    assert sent == [config]


def failed(ended, exit_code, kind):
    """The error that a command ended with."""
    assert ended.exit_code == exit_code, ended
    error = json.loads(ended.out.splitlines()[-1])["error"]
    assert error["type"] == kind
    return error
