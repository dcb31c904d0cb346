"""A Molto2 from both sides at once."""

from __future__ import annotations

import dataclasses

from firmware_sim.families.family import family
from provision.families.molto2 import DRIVER
from provision.model import NewCredential, OtpParameters, Secret
from provision.wire import molto2
from tests.families.sm4_bench import ChannelBench

SERIAL = "826658719844499"
SEED = Secret(bytes(range(1, 21)))
MASTER = Secret(b"m" * 32)
KEY = molto2.sm4_key(molto2.DEFAULT_CUSTOMER_KEY)


class Bench(ChannelBench):
    def __init__(
        self, *, quirks: frozenset[str] | None = None, firmware: str | None = None, model: str | None = None
    ) -> None:
        kind = family("molto2", model=model, firmware=firmware)
        if quirks is not None:
            kind = dataclasses.replace(kind, quirks=quirks)
        super().__init__(DRIVER, kind, SERIAL)

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
