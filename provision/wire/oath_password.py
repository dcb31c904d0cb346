"""YKOATH's password in bytes: an access key that both sides prove to each other. Source: as in wire/oath.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, tlv
from provision.wire.messages import message
from provision.wire.oath import CHALLENGE_SIZE, HashKind, Tag

ACCESS_KEY_SIZE = 16  # what a password becomes
RESPONSE_SIZE = 20  # HMAC-SHA-1

_ACCESS_KIND = 0x21  # the byte of TOTP and SHA-1, as Yubico's yubikit sends it; only the hash means something


@message
@dataclass(frozen=True, slots=True, repr=False)
class SetCode:
    """73 {kind and hash u8, access key 16} | 74 challenge 8 | 75 its response 20; without a key: 73 and nothing in it.

    The response proves that both sides compute the same: HMAC-SHA-1(access key, challenge).
    """

    access_key: bytes | None
    challenge: bytes = b""
    response: bytes = b""

    def __repr__(self) -> str:
        return "SetCode(hidden)"

    def encode(self) -> bytes:
        if self.access_key is None:
            return tlv.encode(Tag.KEY, b"")
        return (
            tlv.encode(Tag.KEY, bytes((_ACCESS_KIND,)) + self.access_key)
            + tlv.encode(Tag.CHALLENGE, self.challenge)
            + tlv.encode(Tag.FULL_CODE, self.response)
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.KEY,))
        key = found[Tag.KEY]
        if not key:
            return cls(None)
        challenge, response = found.get(Tag.CHALLENGE, b""), found.get(Tag.FULL_CODE, b"")
        if key[0] & 0x0F != HashKind.SHA1 or len(key) != 1 + ACCESS_KEY_SIZE:
            raise WireError(f"an access key has {ACCESS_KEY_SIZE} bytes, for HMAC-SHA-1")
        if len(challenge) < CHALLENGE_SIZE or len(response) != RESPONSE_SIZE:
            raise WireError("SET CODE takes a challenge and its response")
        return cls(key[1:], challenge, response)


@message
@dataclass(frozen=True, slots=True, repr=False)
class Validate:
    """75 response to SELECT's challenge 20 | 74 challenge of the host's 8. The reply is 75 {response to that}."""

    response: bytes
    challenge: bytes

    def __repr__(self) -> str:
        return "Validate(hidden)"

    def encode(self) -> bytes:
        return tlv.encode(Tag.FULL_CODE, self.response) + tlv.encode(Tag.CHALLENGE, self.challenge)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.FULL_CODE, Tag.CHALLENGE))
        if len(found[Tag.FULL_CODE]) != RESPONSE_SIZE or len(found[Tag.CHALLENGE]) < CHALLENGE_SIZE:
            raise WireError("VALIDATE takes a response and a challenge")
        return cls(found[Tag.FULL_CODE], found[Tag.CHALLENGE])
