"""1,000 random credentials: the codes that leave the token over its wire are those of Debian's oathtool.

The host's side is the reference client's protocol, so neither the codes nor the bytes that carry them are judged by
our own code.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from dataclasses import dataclass

import pytest

from tests.foreign.reference_protocol import MANAGEMENT, OATH, Card, Keys, Line, Session, parse_tlvs, tlv

pytestmark = pytest.mark.foreign

COUNT = 1000
BATCH = 60  # below the token's room of 64
LEVEL = 0x33
HOTP, TOTP = 0x10, 0x20
ALGORITHMS = ["SHA1", "SHA256", "SHA512"]
END_OF_2106_S = 1 << 32
US_PER_S = 1_000_000


@dataclass(frozen=True)
class Case:
    """A credential, and the moment (counter or Unix time) whose code is wanted."""

    kind: int
    algorithm: str
    digits: int
    secret: bytes
    moment: int
    step_s: int
    t0_s: int
    own_clock: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Case:
        kind = rng.choice([HOTP, TOTP, TOTP])
        moment = rng.randrange(END_OF_2106_S)
        return cls(
            kind,
            rng.choice(ALGORITHMS),
            rng.randint(6, 8),
            rng.randbytes(rng.randint(14, 64)),
            moment,
            rng.randint(1, 3600),
            rng.choice([0, rng.randint(0, moment)]),
            kind == TOTP and rng.random() < 0.5,
        )

    def put_data(self, name: bytes) -> bytes:
        kind = self.kind | ALGORITHMS.index(self.algorithm) + 1
        data = tlv(0x71, name) + tlv(0x73, bytes([kind, self.digits]) + self.secret)
        if self.kind == HOTP:
            return data + tlv(0x7A, struct.pack(">I", self.moment))
        return data + tlv(0x8A, struct.pack(">HQB", self.step_s, self.t0_s, self.own_clock))

    def by_oathtool(self) -> str:
        if self.kind == TOTP:
            when = [f"--totp={self.algorithm}", "-s", f"{self.step_s}s", "-S", f"@{self.t0_s}", "-N", f"@{self.moment}"]
        elif self.algorithm == "SHA1":
            when = ["--hotp", "-c", str(self.moment)]
        else:
            # oathtool's HOTP knows only SHA-1; TOTP of one-second steps is HOTP of the time.
            when = [f"--totp={self.algorithm}", "-s", "1s", "-N", f"@{self.moment}"]
        command = ["oathtool", *when, "-d", str(self.digits), "-"]
        run = subprocess.run(command, input=self.secret.hex(), check=True, capture_output=True, text=True)
        return run.stdout.strip()


class Token:
    """The token under test, reached through the reference client's layers."""

    def __init__(self, port: str) -> None:
        session = Session(Line(port))
        session.hello()
        self.card = Card(session)

    def put(self, batch: list[tuple[bytes, Case]]) -> None:
        self.card.select(OATH)
        self.card.open_channel(Keys.factory(), LEVEL)
        self.card.expect(0x9000, self.card.secured("8404DEAD"))
        for name, case in batch:
            self.card.expect(0x9000, self.card.secured("84010000", case.put_data(name)))

    def set_time(self, unix_s: int) -> None:
        self.card.select(MANAGEMENT)
        self.card.open_channel(Keys.factory(), LEVEL)
        self.card.expect(0x9000, self.card.secured("84550000", struct.pack(">Q", unix_s)))
        self.card.select(OATH)

    def code(self, name: bytes, case: Case) -> str:
        data = tlv(0x71, name)
        if case.own_clock:
            self.set_time(case.moment)
        elif case.kind == TOTP:
            data += tlv(0x74, struct.pack(">Q", (case.moment - case.t0_s) // case.step_s))
        reply = dict(parse_tlvs(self.card.expect(0x9000, self.card.transmit("00A20001", data))))
        if case.own_clock:
            assert int.from_bytes(reply[0x8B], "big") // US_PER_S == case.moment
        digits, value = struct.unpack(">BI", reply[0x76])
        return f"{value % 10**digits:0{digits}}"


def test_a_thousand_random_credentials(token_port: str) -> None:
    if shutil.which("oathtool") is None:
        pytest.fail("oathtool is missing. Install it as root: apt-get install oathtool")
    seed = int(os.environ.get("OATHTOOL_SEED", random.SystemRandom().getrandbits(32)))
    print(f"OATHTOOL_SEED={seed}")
    rng = random.Random(seed)
    cases = [(f"credential {number}".encode(), Case.draw(rng)) for number in range(COUNT)]
    token = Token(token_port)
    wrong = []
    for start in range(0, COUNT, BATCH):
        batch = cases[start : start + BATCH]
        token.put(batch)
        # Those that need SET TIME leave the secure channel, so all are written first.
        wrong += [name.decode() for name, case in batch if token.code(name, case) != case.by_oathtool()]
    assert not wrong
