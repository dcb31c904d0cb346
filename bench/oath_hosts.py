"""Program and verify a credential: our drivers and Yubico's yubikit, in turn, on one simulated token in one process.

Both sessions are opened anew each time, write the same secret, ask for a code at the host's time and compare it; the
wire between them is a function call. Run by the lane's own Python (.lanes/foreign), which has yubikit: prints one JSON
object, {family: [our seconds, theirs]}, medians.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from yubikit.core import TRANSPORT
from yubikit.core.smartcard import SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, ScpKid, StaticKeys
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, CredentialData, OathSession

from firmware_sim.clocks import ManualClock
from firmware_sim.core import otp
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import ApduChannel
from provision.clock import ManualClock as HostClock
from provision.closing import Closing
from provision.families.driver import load
from provision.model import NewCredential, Secret

START_S = 1_767_225_600
SECRET = b"12345678901234567890"
ROUNDS = 60
FACTORY_KEYS = Scp03KeyParams(KeyRef(ScpKid.SCP03, 0xFF), StaticKeys.default())


class Manner(NamedTuple):
    """How a family is written. `secured`: only inside a secure channel. `listed`: our driver first asks what is there,
    so that nothing is overwritten; then yubikit does too, as `ykman oath accounts add` does."""

    secured: bool
    listed: bool


FAMILIES = {"reference": Manner(secured=True, listed=False), "yubikey": Manner(secured=False, listed=True)}


class DirectLink(Closing):
    """A Link of ours that is a function call."""

    address = "bench:"

    def __init__(self, channel: ApduChannel) -> None:
        self._channel = channel

    def exchange(self, command: bytes) -> bytes:
        response = self._channel.transmit(command)
        assert response is not None, "nobody is there to touch it"
        return response

    def close(self) -> None:
        self._channel.reset()


class DirectConnection(SmartCardConnection):
    """yubikit's card connection, which is a function call too."""

    def __init__(self, channel: ApduChannel) -> None:
        self._channel = channel

    @property
    def transport(self) -> TRANSPORT:
        return TRANSPORT.USB

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        response = self._channel.transmit(apdu)
        assert response is not None
        return response[:-2], int.from_bytes(response[-2:], "big")


def ours(name: str, channel: ApduChannel, number: int) -> str:
    session = load(name).open(DirectLink(channel), HostClock(START_S), os.urandom)
    session.authenticate(None)  # the factory keys, or no password
    session.put(NewCredential(f"ours {number}", Secret(SECRET), own_clock=False, pin=False))
    return session.calculate(f"ours {number}", step=START_S // 30).value


def theirs(name: str, channel: ApduChannel, number: int) -> str:
    manner = FAMILIES[name]
    session = OathSession(DirectConnection(channel), FACTORY_KEYS if manner.secured else None)
    if manner.listed:
        assert all(found.name != f"theirs {number}" for found in session.list_credentials())
    credential = session.put_credential(
        CredentialData(f"theirs {number}", OATH_TYPE.TOTP, HASH_ALGORITHM.SHA1, SECRET, 6, 30, counter=0, issuer=None)
    )
    return session.calculate_code(credential, START_S).value


def new_token(name: str) -> Token:
    kind = family(name)
    token = Token(
        family=kind,
        serial="20260101",
        flash=MemoryFlash(kind.flash.page_size, kind.flash.page_count),
        oscillator=QuartzOscillator(OscillatorState.start(START_S)),
        clock=ManualClock(START_S),
        random=random.SystemRandom(),
    )
    token.power_on()
    return token


def measure(name: str) -> list[float]:
    """Median seconds of `ours` and of `theirs`, on a new token for each pair, in turn."""
    expected = otp.code(SECRET, START_S // 30, "sha1", 6)
    times: dict[Callable[[str, ApduChannel, int], str], list[float]] = {ours: [], theirs: []}
    for number in range(ROUNDS):
        channel = new_token(name).open_channel()
        # Whoever comes first has a token with nothing on it yet: each of them every other time.
        for host in (ours, theirs) if number % 2 else (theirs, ours):
            channel.reset()
            start = time.perf_counter()
            code = host(name, channel, number)
            times[host].append(time.perf_counter() - start)
            assert code == expected, f"{host.__name__}: {code}, not {expected}"
    return [median(times[ours]), median(times[theirs])]


if __name__ == "__main__":
    print(json.dumps({name: measure(name) for name in FAMILIES}))
