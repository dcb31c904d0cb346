"""A simulated YubiKey, as a driver has it and as a reader's only card."""

from __future__ import annotations

import hmac

from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.model import ClockKind, NewCredential, OtpParameters, Secret
from provision.wire import oath, oath_password
from provision.wire.apdu import CLA_PLAIN, Command, Response, Sw, decode_response, encode_command
from provision.wire.oath import HashKind, Ins, OathKind
from tests.families.targets import START, InProcess, Kind

SEED = Secret(bytes(range(1, 21)))
MASTER = Secret(b"m" * 32)
PASSWORD = Secret("Grüße".encode())
ACCESS_KEY = bytes(range(16))
CHALLENGE = b"12345678"


def yubikey_of(firmware: str = "5.7.4") -> InProcess:
    kind = Kind("yubikey", "yubikey", "20260101", frozenset(), ClockKind.NONE, 64, 64, firmware=firmware)
    return InProcess(kind, ManualClock(START))


class Card:
    """The token's only channel, as a reader has it."""

    def __init__(self, firmware: str = "5.7.4") -> None:
        self.target = yubikey_of(firmware)
        self.select()

    def send(self, ins: int, data: bytes = b"", p1: int = 0, p2: int = 0, cla: int = CLA_PLAIN) -> Response:
        raw = self.target.channel.transmit(encode_command(Command(cla, ins, p1, p2, data, 256)))
        if raw is None:  # it waits for a touch that does not come
            self.target.clock.wait_until(self.target.channel.deadline)
            raw = self.target.channel.poll()
        return decode_response(raw)

    def select(self, aid: bytes = oath.OATH_AID) -> Response:
        return self.send(0xA4, aid, p1=4)

    def put(self, name: str = "a", kind: OathKind = OathKind.TOTP, **more) -> Response:
        digest = more.pop("hash", HashKind.SHA1)
        return self.send(Ins.PUT, oath.Put(name, kind, digest, 6, bytes(20), **more).encode())

    def set_code(self, key: bytes | None = ACCESS_KEY, *, wrong: bool = False) -> Response:
        if key is None:
            return self.send(Ins.SET_CODE, oath_password.SetCode(None).encode())
        response = answer(b"another key" if wrong else key, CHALLENGE)
        return self.send(Ins.SET_CODE, oath_password.SetCode(key, CHALLENGE, response).encode())

    def validate(self, key: bytes = ACCESS_KEY, challenge: bytes | None = None) -> Response:
        if challenge is None:
            challenge = oath.SelectReply.decode(self.select().data).challenge or CHALLENGE
        return self.send(Ins.VALIDATE, oath_password.Validate(answer(key, challenge), CHALLENGE).encode())

    def fill(self) -> None:
        for number in range(self.target.kind.simulated.limits.credentials):
            assert self.put(str(number)).sw == Sw.OK

    def locked(self) -> Card:
        assert self.set_code().sw == Sw.OK
        self.select()
        return self


def answer(key: bytes, challenge: bytes) -> bytes:
    return hmac.digest(key, challenge, "sha1")


def credential(name="vpn", *, parameters=None, **flags):
    return NewCredential(name, SEED, parameters or OtpParameters(), **{"own_clock": False, "pin": False, **flags})


kinds = st.sampled_from(OathKind)
