"""What the two Token2 families have in common on the device: a clock of 32 bits, a challenge, a session, commands that
end in a MAC."""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod

from firmware_sim.core.chip import Chip
from firmware_sim.core.refusal import Refused
from firmware_sim.journal import StoreFull
from firmware_sim.seams import FlashError, Random
from provision.wire import WireError, sm4_secure
from provision.wire.apdu import CLA_SECURE, Command, Sw, decode_command
from provision.wire.sm4_secure import CHALLENGE_SIZE, CLA, MAX_TIME, HashKind

OK = int(Sw.OK).to_bytes(2, "big")
ALGORITHMS = {HashKind.SHA1: "sha1", HashKind.SHA256: "sha256"}  # as hmac.digest names them


class Sm4Chip(Chip):
    """Its clock counts seconds, in as many bits as its messages have for them."""

    def seconds(self) -> int:
        """Unix time by the clock, modulo 2^32. Raises Refused (6985) if it has lost the time."""
        return self.device_time_us() // 1_000_000 & MAX_TIME

    def told_seconds(self) -> int:
        """What it tells a host: 0 when it has lost the time (INFERRED)."""
        try:
            return self.seconds()
        except Refused:
            return 0


class Sm4Dialogue(ABC):
    """Implements chip.Dialogue. A challenge is good for one response; a session ends with the next challenge."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._challenge: bytes | None = None
        self.authenticated = False

    def answer(self, apdu: bytes) -> bytes:
        command = decode_command(apdu)
        try:
            if command.cla == CLA:
                return self._plain(command)
            if command.cla == CLA_SECURE:
                return self._secure(command)
        except WireError:
            raise Refused(Sw.WRONG_DATA) from None
        except StoreFull:
            raise Refused(Sw.NO_SPACE) from None
        except FlashError:
            raise Refused(Sw.MEMORY_FAILURE) from None
        raise Refused(Sw.CLA_NOT_SUPPORTED)

    @abstractmethod
    def _plain(self, command: Command) -> bytes:
        """The response APDU. Raises Refused, WireError, FlashError, PowerLost."""

    @abstractmethod
    def _secure(self, command: Command) -> bytes:
        """The same, for a command that should end in a MAC."""

    def _new_challenge(self) -> bytes:
        self._challenge = self._random.randbytes(CHALLENGE_SIZE)
        self.authenticated = False
        return self._challenge

    def _take_challenge(self) -> bytes:
        """Raises Refused (6985) without one."""
        challenge, self._challenge = self._challenge, None
        if challenge is None:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        return challenge


def proves(key: bytes, challenge: bytes, response: bytes) -> bool:
    return hmac.compare_digest(sm4_secure.response(key, challenge), response)
