"""A Molto2 from both sides at once: the driver, and the device behind an APDU channel, each the other's oracle."""

from __future__ import annotations

import dataclasses
import random

from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.testing.bench import SteadyOscillator
from provision.clock import ManualClock
from provision.families.molto2 import DRIVER
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.model import NewCredential, OtpParameters, Secret
from provision.wire import molto2
from provision.wire.apdu import Command, decode_response, encode_command

START_S = 1_767_225_600.25
SERIAL = "826658719844499"
SEED = Secret(bytes(range(1, 21)))
MASTER = Secret(b"m" * 32)
KEY = molto2.sm4_key(molto2.DEFAULT_CUSTOMER_KEY)


class Bench:
    def __init__(
        self, *, quirks: frozenset[str] | None = None, firmware: str | None = None, model: str | None = None
    ) -> None:
        kind = family("molto2", model=model, firmware=firmware)
        if quirks is not None:
            kind = dataclasses.replace(kind, quirks=quirks)
        self.clock = ManualClock(START_S)
        self.flash = MemoryFlash(kind.flash.page_size, kind.flash.page_count, wear_limit=1_000_000)
        self.oscillator = SteadyOscillator()
        self.random = random.Random(20260101)
        self.token = Token(
            family=kind,
            serial=SERIAL,
            flash=self.flash,
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.token.power_on()
        self.channel = self.token.open_channel()

    def link(self):
        return open_channel(self.channel, LinkOptions(self.clock, self.random.randbytes))

    def session(self):
        return DRIVER.open(self.link(), self.clock, self.random.randbytes)

    def say(self, command: Command) -> tuple[bytes, int]:
        raw = self.channel.transmit(encode_command(command))
        assert raw is not None
        return decode_response(raw)

    def sw(self, command: Command) -> int:
        return self.say(command)[1]

    def prove(self, customer_key: bytes = molto2.DEFAULT_CUSTOMER_KEY) -> int:
        challenge, _ = self.say(molto2.challenge_command())
        return self.sw(molto2.authenticate_command(molto2.sm4_key(customer_key), challenge))

    @property
    def tries(self) -> int:
        left = self.token.inspect()["attempts_remaining"]
        assert left is not None
        return left

    def code_of(self, title: str) -> str:
        """As its owner gets it: pressing until the screen says so."""
        for _ in range(molto2.PROFILES):
            self.token.press_button()
            shown, _, code = self.token.screen().rpartition(" ")
            if shown.partition(".")[2] == title:
                return code
        raise AssertionError(f"no code of {title}")


def credential(name="VPN", secret=SEED, parameters=None, **flags):
    return NewCredential(name, secret, parameters or OtpParameters(), **{"pin": False, **flags})
