"""What Token2's programmable tokens have in common in bytes: SM4, the handshake, secure commands, the information.

Written from Token2's "Molto2v2 Wire Protocol Specification" (docs/MOLTO2-PROTOCOL.md of token2/molto2-tools), here
"Molto2v2 section N", and for the tokens with one profile from the firmware that Token2 published (token2/openT2OTP) and
keyroost's docs/PROTOCOL-token2prog.md. Integers are big-endian. Every function is pure.
"""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from provision.wire import WireError
from provision.wire.apdu import CLA_SECURE, Command
from provision.wire.messages import integer, message

if TYPE_CHECKING:  # `cryptography` is loaded where SM4 is used: to tell a token's family from its answer takes none
    from cryptography.hazmat.primitives.ciphers import Cipher, modes

CLA = 0x80  # of plain commands, and in the input of a MAC also of secure ones
KEY_SIZE = BLOCK_SIZE = 16
CHALLENGE_SIZE = 8
CHALLENGE_P1 = 0x08
MAC_SIZE = 4
MAX_SEED = 63  # bytes
MAX_TIME = 0xFFFF_FFFF  # Unix seconds

_PAD = 0x80
_SEED_P1 = 0x01
_MAX_SERIAL = 255


@enum.unique
class Ins(enum.IntEnum):
    INFO = 0x41
    CHALLENGE = 0x4B
    AUTHENTICATE = 0xCE
    SEED = 0xC5
    CONFIG = 0xD4


@enum.unique
class HashKind(enum.IntEnum):
    SHA1 = 1
    SHA256 = 2


@enum.unique
class DisplayTimeout(enum.IntEnum):
    """How long the screen stays on; the comment is in seconds."""

    SHORT = 0  # 15
    MEDIUM = 1  # 30
    LONG = 2  # 60
    LONGEST = 3  # 120


DISPLAY_SECONDS = {
    DisplayTimeout.SHORT: 15,
    DisplayTimeout.MEDIUM: 30,
    DisplayTimeout.LONG: 60,
    DisplayTimeout.LONGEST: 120,
}
TIME_STEPS = (30, 60)  # seconds


def encrypt(key: bytes, blocks: bytes) -> bytes:
    """SM4-ECB (GB/T 32907-2016) of whole blocks. Raises WireError."""
    encryptor = _cipher(key, None, blocks).encryptor()
    return encryptor.update(blocks) + encryptor.finalize()


def decrypt(key: bytes, blocks: bytes) -> bytes:
    """The inverse. Raises WireError."""
    decryptor = _cipher(key, None, blocks).decryptor()
    return decryptor.update(blocks) + decryptor.finalize()


def response(key: bytes, challenge: bytes) -> bytes:
    """What proves the key in AUTHENTICATE (Molto2v2 section 3): 16 bytes. Raises WireError."""
    if len(challenge) != CHALLENGE_SIZE:
        raise WireError(f"a challenge has {CHALLENGE_SIZE} bytes, not {len(challenge)}")
    return encrypt(key, challenge.ljust(BLOCK_SIZE, b"\0"))


def command_mac(key: bytes, ins: int, p1: int, p2: int, body: bytes) -> bytes:
    """The 4 bytes at the end of a secure command (Molto2v2 section 4): the class in it is the plain one. Raises
    WireError for a body that no short APDU holds."""
    if len(body) + MAC_SIZE > 255:
        raise WireError(f"a secure command of {len(body)} bytes")
    data = bytes((CLA, ins, p1, p2, len(body))) + body
    if len(data) % BLOCK_SIZE:
        data = pad(data)
    encryptor = _cipher(key, bytes(BLOCK_SIZE), data).encryptor()
    return (encryptor.update(data) + encryptor.finalize())[-BLOCK_SIZE:][:MAC_SIZE]


def secured(key: bytes, ins: int, p1: int, p2: int, body: bytes) -> Command:
    """A secure command as it goes out. Raises WireError."""
    return Command(CLA_SECURE, ins, p1, p2, body + command_mac(key, ins, p1, p2, body))


def is_genuine(key: bytes, command: Command) -> bool:
    """Whether a secure command ends with its right MAC. Raises WireError if it is too short to have one."""
    if len(command.data) < MAC_SIZE:
        raise WireError("a secure command without a MAC")
    body, mac = command.data[:-MAC_SIZE], command.data[-MAC_SIZE:]
    return hmac.compare_digest(mac, command_mac(key, command.ins, command.p1, command.p2, body))


def pad(data: bytes) -> bytes:
    """80, then zeros to the next block's end (ISO/IEC 9797-1 padding method 2): at least one byte more."""
    return data + bytes((_PAD,)) + bytes(-(len(data) + 1) % BLOCK_SIZE)


def unpad(data: bytes) -> bytes:
    """Raises WireError."""
    bare = data.rstrip(b"\0")
    if not data or len(data) % BLOCK_SIZE or len(data) - len(bare) >= BLOCK_SIZE or bare[-1:] != bytes((_PAD,)):
        raise WireError("a value that is not padded with 80 00 ...")
    return bare[:-1]


def seed_command(key: bytes, profile: int, seed: bytes) -> Command:
    """Write a seed of 1 to 63 bytes. Raises WireError; an all-zero one is a Molto2's word for "clear"."""
    if not 1 <= len(seed) <= MAX_SEED:
        raise WireError(f"a seed has 1 to {MAX_SEED} bytes, not {len(seed)}")
    if not any(seed):
        raise WireError("a seed of zeros only, which would clear the profile")
    return secured(key, Ins.SEED, _SEED_P1, profile, encrypt(key, pad(seed)))


def seed_in(key: bytes, body: bytes) -> bytes:
    """The seed that the body of a seed command holds, b"" for the one that clears. Raises WireError."""
    padded = decrypt(key, body)
    if padded and not any(padded):
        return b""
    seed = unpad(padded)
    if not 1 <= len(seed) <= MAX_SEED:
        raise WireError(f"a seed has 1 to {MAX_SEED} bytes, not {len(seed)}")
    return seed


@message
@dataclass(frozen=True, slots=True)
class Info:
    """INFO's reply (Molto2v2 section 5.1): header 3 | size u8 | serial | separator 2 | Unix time u32.

    Nobody documents what `header` and `separator` mean. `seconds`: by the token's clock.
    """

    serial: str
    seconds: int
    header: bytes = bytes(3)
    separator: bytes = bytes(2)

    def encode(self) -> bytes:
        serial = self.serial.encode("ascii", "strict") if self.serial.isascii() else b""
        if not 1 <= len(serial) <= _MAX_SERIAL or len(self.header) != 3 or len(self.separator) != 2:
            raise WireError("a token's information that has no such form")
        return self.header + bytes((len(serial),)) + serial + self.separator + encode_time(self.seconds)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if len(data) < 4 or len(data) != 4 + data[3] + 2 + 4:
            raise WireError(f"a token's information of {len(data)} bytes")
        raw = data[4 : 4 + data[3]]
        if not raw or any(not 0x20 < byte < 0x7F for byte in raw):
            raise WireError("a serial that is not printable ASCII")
        return cls(raw.decode("ascii"), integer(data[-4:], 4, "the time"), data[:3], data[-6:-4])


def encode_time(seconds: int) -> bytes:
    """Unix seconds as u32. Raises WireError."""
    if not 0 <= seconds <= MAX_TIME:
        raise WireError(f"{seconds} is not a Unix time of 32 bits")
    return seconds.to_bytes(4, "big")


def _cipher(key: bytes, iv: bytes | None, data: bytes) -> Cipher[modes.ECB | modes.CBC]:
    """SM4 for whole blocks: CBC from `iv`, ECB without one. Raises WireError."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    if len(key) != KEY_SIZE:
        raise WireError(f"an SM4 key has {KEY_SIZE} bytes, not {len(key)}")
    if len(data) % BLOCK_SIZE:
        raise WireError(f"{len(data)} bytes are not whole blocks of {BLOCK_SIZE}")
    mode = modes.ECB() if iv is None else modes.CBC(iv)  # noqa: S305  # the tokens know no other
    return Cipher(algorithms.SM4(key), mode)
