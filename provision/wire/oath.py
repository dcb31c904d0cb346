"""YKOATH in bytes: the OATH applet of YubiKeys, and of every token that took it over.

Source: developers.yubico.com/OATH/YKOATH_Protocol.html, and what Yubico's yubikit (oath.py of yubikey-manager 5.9.2)
sends and takes. Each message is a frozen dataclass with `encode` and `decode` beside it, registered in MESSAGES, so
that a test can demand a strategy for every one. Integers are big-endian. The password's messages are in
wire/oath_password.py, what the reference token adds is in wire/reference_oath.py.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Self, TypedDict

from provision.wire import WireError, tlv
from provision.wire.messages import decode_text, encode_text, integer, message

OATH_AID = bytes.fromhex("A0000005272101")  # YKOATH

MAX_NAME = 64  # bytes of UTF-8: the name of a credential
MIN_SECRET, MAX_SECRET = 14, 64  # bytes; YKOATH pads shorter ones with zeros, which HMAC ignores
DEVICE_ID_SIZE = 8
CHALLENGE_SIZE = 8  # of SELECT, SET CODE and VALIDATE
TOUCH_TIMEOUT_S = 15
RESET_P1_P2 = (0xDE, 0xAD)


@enum.unique
class Ins(enum.IntEnum):
    """Of the applet, whoever added them: one byte has one meaning under this AID."""

    PUT = 0x01
    DELETE = 0x02
    SET_CODE = 0x03  # the password, as an access key
    RESET = 0x04
    RENAME = 0x05
    LIST = 0xA1
    CALCULATE = 0xA2
    VALIDATE = 0xA3
    CALCULATE_ALL = 0xA4
    SEND_REMAINING = 0xA5
    # Nitrokey's Secrets App: a PIN where YKOATH has a password.
    VERIFY_PIN = 0xB2
    CHANGE_PIN = 0xB3
    SET_PIN = 0xB4
    GET_CREDENTIAL = 0xB5
    # The reference token's own.
    CHECK_VALUE = 0xD1


@enum.unique
class Tag(enum.IntEnum):
    """As Ins."""

    NAME = 0x71  # in a SELECT reply: the device id, which is a password's salt
    NAME_LIST = 0x72
    KEY = 0x73
    CHALLENGE = 0x74
    FULL_CODE = 0x75  # in SET CODE and VALIDATE: a response to a challenge
    CODE = 0x76
    NO_CODE = 0x77  # HOTP, own clock, or a PIN that was not presented
    PROPERTY = 0x78
    VERSION = 0x79
    COUNTER = 0x7A
    ALGORITHM = 0x7B
    TOUCH_NEEDED = 0x7C
    # Nitrokey's Secrets App.
    PIN = 0x80
    NEW_PIN = 0x81
    ATTEMPTS = 0x82
    # The reference token's own.
    TIMING = 0x8A  # step, t0, flags
    DEVICE_TIME = 0x8B
    CHECK = 0x8C  # nonce in, check value out


@enum.unique
class OathKind(enum.IntEnum):
    """High nibble of YKOATH's type byte."""

    HOTP = 0x10
    TOTP = 0x20


@enum.unique
class HashKind(enum.IntEnum):
    """Low nibble of YKOATH's type byte."""

    SHA1 = 0x01
    SHA256 = 0x02
    SHA512 = 0x03


def encode_name(name: str) -> bytes:
    """A credential's name, 1 to 64 bytes of UTF-8, no control characters. Raises WireError."""
    return encode_text(name, MAX_NAME, "a credential's name", least=1)


def decode_name(raw: bytes) -> str:
    return decode_text(raw, MAX_NAME, "a credential's name", least=1)


@message
@dataclass(frozen=True, slots=True)
class SelectReply:
    """79 version 3 | 71 device id 8 | [74 challenge 8 | 7B hash u8, while an access key is set].

    The challenge is good for one VALIDATE, or until the next SELECT.
    """

    version: tuple[int, int, int]
    device_id: bytes
    challenge: bytes | None = None

    def encode(self) -> bytes:
        out = tlv.encode(Tag.VERSION, bytes(self.version)) + tlv.encode(Tag.NAME, self.device_id)
        if self.challenge is not None:
            out += tlv.encode(Tag.CHALLENGE, self.challenge)
            out += tlv.encode(Tag.ALGORITHM, bytes((HashKind.SHA1,)))
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.VERSION, Tag.NAME))
        version, challenge = found[Tag.VERSION], found.get(Tag.CHALLENGE)
        if len(version) != 3 or len(found[Tag.NAME]) != DEVICE_ID_SIZE:
            raise WireError("a SELECT reply has a version of 3 bytes and a device id of 8")
        if challenge is not None and len(challenge) != CHALLENGE_SIZE:
            raise WireError(f"a challenge has {CHALLENGE_SIZE} bytes")
        return cls((version[0], version[1], version[2]), found[Tag.NAME], challenge)


@message
@dataclass(frozen=True, slots=True, repr=False)
class Put:
    """71 name | 73 {kind and hash u8, digits u8, secret} | [78 property, no length] | [7A counter u32].

    `touch`: YKOATH's property 02. `counter`: HOTP's first moving factor.
    """

    name: str
    kind: OathKind
    hash: HashKind
    digits: int
    secret: bytes
    touch: bool = False
    counter: int | None = None

    def __repr__(self) -> str:
        return f"Put({self.name!r}, {self.kind.name}, {self.hash.name}, {self.digits} digits, secret hidden)"

    def encode(self) -> bytes:
        secret = self.secret.ljust(MIN_SECRET, b"\0")
        out = tlv.encode(Tag.NAME, encode_name(self.name))
        out += tlv.encode(Tag.KEY, bytes((self.kind | self.hash, self.digits)) + secret)
        if self.touch:
            out += bytes((Tag.PROPERTY, 0x02))
        if self.counter is not None:
            out += tlv.encode(Tag.COUNTER, self.counter.to_bytes(4, "big"))
        Put.decode(out)
        return out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        return cls(**put_fields(*split_put(data)))


class PutFields(TypedDict):
    """The fields of Put, checked."""

    name: str
    kind: OathKind
    hash: HashKind
    digits: int
    secret: bytes
    touch: bool
    counter: int | None


def split_put(data: bytes, more_tags: Container[int] = ()) -> tuple[dict[int, bytes], bool]:
    """The values of PUT's tags, and whether a touch is demanded. `more_tags`: others that may be there."""
    found: dict[int, bytes] = {}
    touch = False
    position = 0
    while position < len(data):
        if data[position] == Tag.PROPERTY:
            # YKOATH gives this one tag no length.
            if position + 2 > len(data) or data[position + 1] & ~0x02:
                raise WireError("an unknown credential property")
            touch = bool(data[position + 1] & 0x02)
            position += 2
            continue
        tag, value, position = tlv.decode_one(data, position)
        if tag in found or not (tag in (Tag.NAME, Tag.KEY, Tag.COUNTER) or tag in more_tags):
            raise WireError(f"tag {tag:02X} twice or out of place in PUT")
        found[tag] = value
    return found, touch


def put_fields(found: Mapping[int, bytes], touch: bool) -> PutFields:
    """What `split_put` found, checked. Raises WireError."""
    if Tag.NAME not in found or Tag.KEY not in found:
        raise WireError("PUT needs a name and a key")
    key = found[Tag.KEY]
    if not MIN_SECRET + 2 <= len(key) <= MAX_SECRET + 2:
        raise WireError(f"a secret has {MIN_SECRET} to {MAX_SECRET} bytes")
    kind, digest = kind_and_hash(key[0])
    if not 6 <= key[1] <= 8:
        raise WireError(f"{key[1]} digits, not 6 to 8")
    counter = integer(found[Tag.COUNTER], 4, "the counter") if Tag.COUNTER in found else None
    if kind is OathKind.TOTP and counter is not None:
        raise WireError("a TOTP credential has no counter")
    return PutFields(
        name=decode_name(found[Tag.NAME]),
        kind=kind,
        hash=digest,
        digits=key[1],
        secret=key[2:],
        touch=touch,
        counter=counter,
    )


def kind_and_hash(octet: int) -> tuple[OathKind, HashKind]:
    """Of YKOATH's type byte. Raises WireError."""
    try:
        return OathKind(octet & 0xF0), HashKind(octet & 0x0F)
    except ValueError:
        raise WireError(f"unknown OATH type or hash {octet:02X}") from None


@message
@dataclass(frozen=True, slots=True)
class Name:
    """71 name: the data of DELETE."""

    name: str

    def encode(self) -> bytes:
        return tlv.encode(Tag.NAME, encode_name(self.name))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.NAME,))
        if len(found) != 1:
            raise WireError("only a name belongs here")
        return cls(decode_name(found[Tag.NAME]))


@message
@dataclass(frozen=True, slots=True)
class Rename:
    """71 old name | 71 new name."""

    old: str
    new: str

    def encode(self) -> bytes:
        return tlv.encode(Tag.NAME, encode_name(self.old)) + tlv.encode(Tag.NAME, encode_name(self.new))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        pairs = list(tlv.decode(data))
        if [tag for tag, _ in pairs] != [Tag.NAME, Tag.NAME]:
            raise WireError("RENAME takes two names")
        return cls(decode_name(pairs[0][1]), decode_name(pairs[1][1]))


@message
@dataclass(frozen=True, slots=True)
class Listing:
    """LIST's reply: 72 {kind and hash u8, name} for each credential."""

    entries: tuple[tuple[OathKind, HashKind, str], ...]

    def encode(self) -> bytes:
        return b"".join(
            tlv.encode(Tag.NAME_LIST, bytes((kind | digest,)) + encode_name(name))
            for kind, digest, name in self.entries
        )

    @classmethod
    def decode(cls, data: bytes) -> Self:
        entries = []
        for tag, value in tlv.decode(data):
            if tag != Tag.NAME_LIST or not value:
                raise WireError(f"tag {tag:02X} in a list of credentials")
            entries.append((*kind_and_hash(value[0]), decode_name(value[1:])))
        return cls(tuple(entries))


@message
@dataclass(frozen=True, slots=True)
class Calculate:
    """71 name | [74 challenge u64: the step, from a host that gives the time; empty or absent otherwise]."""

    name: str
    step: int | None = None

    def encode(self) -> bytes:
        challenge = b"" if self.step is None else self.step.to_bytes(8, "big")
        return tlv.encode(Tag.NAME, encode_name(self.name)) + tlv.encode(Tag.CHALLENGE, challenge)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.NAME,))
        if len(found) > 2 or (len(found) == 2 and Tag.CHALLENGE not in found):
            raise WireError("CALCULATE takes a name and a challenge")
        challenge = found.get(Tag.CHALLENGE, b"")
        step = integer(challenge, 8, "the challenge") if challenge else None
        return cls(decode_name(found[Tag.NAME]), step)


@message
@dataclass(frozen=True, slots=True, repr=False)
class CalculateReply:
    """76 {digits u8, truncated value u32}: RFC 4226's Snum (31 bits), the code is its remainder modulo 10^digits."""

    digits: int
    value: int

    def __repr__(self) -> str:
        return f"CalculateReply({self.digits} digits, code hidden)"

    def encode(self) -> bytes:
        return tlv.encode(Tag.CODE, struct.pack(">BI", self.digits, self.value))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.CODE,))
        if len(found) != 1:
            raise WireError("only a code belongs here")
        return cls(*code_fields(found[Tag.CODE]))

    @property
    def code(self) -> str:
        return f"{self.value % 10**self.digits:0{self.digits}d}"


def code_fields(raw: bytes) -> tuple[int, int]:
    """(digits, value) of a code. Raises WireError."""
    if len(raw) != 5:
        raise WireError("a code has 5 bytes")
    digits, value = struct.unpack(">BI", raw)
    if value > 0x7FFFFFFF or not 6 <= digits <= 8:
        raise WireError("a code of 6 to 8 digits has 31 bits")
    return digits, value


@message
@dataclass(frozen=True, slots=True)
class AllChallenge:
    """74 challenge u64: the step that CALCULATE ALL brings, one for all."""

    step: int

    def encode(self) -> bytes:
        return tlv.encode(Tag.CHALLENGE, self.step.to_bytes(8, "big"))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = tlv.decode_map(data, required=(Tag.CHALLENGE,))
        if len(found) != 1:
            raise WireError("CALCULATE ALL takes only a challenge")
        return cls(integer(found[Tag.CHALLENGE], 8, "the challenge"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What CALCULATE ALL says of one credential.

    `tag`: CODE or FULL_CODE, with the value in `code`; NO_CODE (HOTP) or TOUCH_NEEDED, without.
    """

    name: str
    tag: Tag
    digits: int
    code: bytes = field(default=b"", repr=False)

    def encode_code(self) -> bytes:
        """The part of it that CALCULATE answers with, too."""
        return tlv.encode(self.tag, bytes((self.digits,)) + self.code)


_CODE_SIZES = {Tag.CODE: (4,), Tag.FULL_CODE: (20, 32, 64), Tag.NO_CODE: (0,), Tag.TOUCH_NEEDED: (0,)}


@message
@dataclass(frozen=True, slots=True)
class AllAnswers:
    """CALCULATE ALL's reply: 71 name | 76, 75, 77 or 7C {digits u8, [the code]} for each credential."""

    answers: tuple[Answer, ...]

    def encode(self) -> bytes:
        return b"".join(tlv.encode(Tag.NAME, encode_name(a.name)) + a.encode_code() for a in self.answers)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        answers = []
        pairs = tlv.decode(data)
        for tag, name in pairs:
            answer, value = next(pairs, (0, b""))
            if tag != Tag.NAME or answer not in _CODE_SIZES or len(value) - 1 not in _CODE_SIZES[Tag(answer)]:
                raise WireError("CALCULATE ALL answers with a name and a code for each credential")
            answers.append(Answer(decode_name(name), Tag(answer), value[0], value[1:]))
        return cls(tuple(answers))
