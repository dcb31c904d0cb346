"""What the reference client puts on a token, and how it foretells the answers (section 6 of docs/PROTOCOL.md)."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

from reference_protocol import tlv

HOTP, TOTP = 0x10, 0x20
ALGORITHMS = {1: "sha1", 2: "sha256", 3: "sha512"}
OWN_CLOCK, NEEDS_PIN, NEEDS_TOUCH = 1, 2, 4
US_PER_S = 1_000_000


def hotp_value(secret: bytes, counter: int, algorithm: str) -> int:
    """RFC 4226's Snum, the 31-bit value before the modulo."""
    mac = hmac.digest(secret, struct.pack(">Q", counter), algorithm)
    return int.from_bytes(mac[mac[-1] & 15 :][:4], "big") & 0x7FFFFFFF


def check_value(secret: bytes, nonce: bytes) -> bytes:
    """CHECK VALUE of a secret as the token keeps it: padded with zeros to 14 bytes."""
    return hmac.digest(secret.ljust(14, b"\0"), b"check" + nonce, "sha256")[:8]


@dataclass(frozen=True)
class Credential:
    """What was put on the token, to foretell its answers."""

    name: str
    kind: int
    algorithm: int
    digits: int
    secret: bytes
    step_s: int = 30
    t0_s: int = 0
    flags: int | None = None  # None: no timing, the credential is YKOATH's
    touch: bool = False  # YKOATH's way to demand one

    def __repr__(self) -> str:
        return f"Credential({self.name!r})"

    @property
    def timing(self) -> bytes:
        flags = (self.flags or 0) | (NEEDS_TOUCH if self.touch else 0)
        return struct.pack(">HQB", self.step_s, self.t0_s, flags)

    @property
    def named(self) -> bytes:
        return tlv(0x71, self.name.encode())

    @property
    def put_data(self) -> bytes:
        data = self.named + tlv(0x73, bytes([self.kind | self.algorithm, self.digits]) + self.secret)
        data += b"" if self.flags is None else tlv(0x8A, self.timing)
        return data + b"\x78\x02" if self.touch else data

    @property
    def listed(self) -> bytes:
        return tlv(0x72, bytes([self.kind | self.algorithm]) + self.name.encode())

    def truncated(self, counter: int) -> bytes:
        """What CALCULATE with P2 = 01 answers for this counter or step."""
        value = hotp_value(self.secret, counter, ALGORITHMS[self.algorithm])
        return tlv(0x76, struct.pack(">BI", self.digits, value))

    def whole(self, counter: int) -> bytes:
        """What CALCULATE with P2 = 00 answers."""
        mac = hmac.digest(self.secret, struct.pack(">Q", counter), ALGORITHMS[self.algorithm])
        return tlv(0x75, bytes([self.digits]) + mac)

    def without_code(self, tag: int) -> bytes:
        """What CALCULATE ALL tells of a credential whose code it does not show."""
        return self.named + tlv(tag, bytes([self.digits]))

    def step_at(self, device_us: int) -> int:
        """RFC 6238's T by the token's clock."""
        return (device_us // US_PER_S - self.t0_s) // self.step_s
