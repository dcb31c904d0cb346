"""GlobalPlatform SCP03 (Card Specification v2.3 Amendment D v1.1.2), its arithmetic only: derivation, MACs, padding.

AES-128, 8-byte challenges, cryptograms and MACs (the S8 mode). Every function is pure; who holds which counter and
which chaining value, and what follows from a wrong MAC, is the business of the two sides.
"""

from __future__ import annotations

import enum
import hmac
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from provision.wire import WireError, tlv
from provision.wire.apdu import Command

KEY_SIZE = 16
MAC_SIZE = 8
INITIAL_CHAIN = bytes(16)
KEY_INFO_SCP = 0x03
# i parameter (Amendment D table 5-1): R-MAC and R-ENC supported, true random challenge, S8.
KEY_INFO_I = 0x60

KEY_TYPE_AES = 0x88
_KCV_INPUT = b"\x01" * 16  # GlobalPlatform B.6: the check value of an AES key encrypts 16 bytes of 01


@enum.unique
class Level(enum.IntEnum):
    """Security levels (Amendment D table 7-5) that the reference token speaks: secrets always go encrypted."""

    C_MAC_C_ENC_R_MAC = 0x13
    C_MAC_C_ENC_R_MAC_R_ENC = 0x33


@enum.unique
class _Derive(enum.IntEnum):
    """Derivation constants (Amendment D table 4-1)."""

    CARD_CRYPTOGRAM = 0x00
    HOST_CRYPTOGRAM = 0x01
    S_ENC = 0x04
    S_MAC = 0x06
    S_RMAC = 0x07


@dataclass(frozen=True, slots=True, repr=False)
class KeySet:
    """Static keys of 16 bytes each: Key-ENC, Key-MAC, Key-DEK."""

    enc: bytes
    mac: bytes
    dek: bytes

    def __post_init__(self) -> None:
        if not len(self.enc) == len(self.mac) == len(self.dek) == KEY_SIZE:
            raise WireError("an SCP03 key has 16 bytes")

    def __repr__(self) -> str:
        return "KeySet(3 keys)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, KeySet):
            return NotImplemented
        return hmac.compare_digest(self.enc + self.mac + self.dek, other.enc + other.mac + other.dek)

    __hash__ = None  # type: ignore[assignment]  # keys belong in no set


FACTORY_KEYS = KeySet(*[bytes.fromhex("404142434445464748494A4B4C4D4E4F")] * 3)
"""The published test keys of GlobalPlatform. Anybody knows them: a token in use must not have them."""


@dataclass(frozen=True, slots=True, repr=False)
class SessionKeys:
    """S-ENC, S-MAC, S-RMAC of one session, 16 bytes each."""

    enc: bytes
    mac: bytes
    rmac: bytes

    def __repr__(self) -> str:
        return "SessionKeys(3 keys)"


@dataclass(frozen=True, slots=True)
class InitializeUpdateReply:
    """diversification data 10 | key version u8 | 03 | i | card challenge 8 | card cryptogram 8."""

    diversification: bytes
    kvn: int
    card_challenge: bytes
    card_cryptogram: bytes

    def encode(self) -> bytes:
        head = bytes((self.kvn, KEY_INFO_SCP, KEY_INFO_I))
        return self.diversification + head + self.card_challenge + self.card_cryptogram

    @classmethod
    def decode(cls, data: bytes) -> InitializeUpdateReply:
        if len(data) != 29:
            raise WireError(f"an INITIALIZE UPDATE reply has 29 bytes, not {len(data)}")
        if data[11] != KEY_INFO_SCP:
            raise WireError(f"secure channel protocol {data[11]:02X}, not 03")
        return cls(data[:10], data[10], data[13:21], data[21:29])


def _aes_cmac(key: bytes, *parts: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    for part in parts:
        mac.update(part)
    return mac.finalize()


def _kdf(key: bytes, constant: int, context: bytes, bits: int) -> bytes:
    """NIST SP 800-108 counter mode as Amendment D section 4.1.5 lays it out, for at most one block."""
    return _aes_cmac(key, bytes(11) + struct.pack(">BBHB", constant, 0, bits, 1), context)[: bits // 8]


def session_keys(keys: KeySet, host_challenge: bytes, card_challenge: bytes) -> SessionKeys:
    context = host_challenge + card_challenge
    return SessionKeys(
        _kdf(keys.enc, _Derive.S_ENC, context, 128),
        _kdf(keys.mac, _Derive.S_MAC, context, 128),
        _kdf(keys.mac, _Derive.S_RMAC, context, 128),
    )


def card_cryptogram(session: SessionKeys, host_challenge: bytes, card_challenge: bytes) -> bytes:
    return _kdf(session.mac, _Derive.CARD_CRYPTOGRAM, host_challenge + card_challenge, 64)


def host_cryptogram(session: SessionKeys, host_challenge: bytes, card_challenge: bytes) -> bytes:
    return _kdf(session.mac, _Derive.HOST_CRYPTOGRAM, host_challenge + card_challenge, 64)


def command_mac(session: SessionKeys, chain: bytes, command: Command) -> bytes:
    """The whole 16-byte C-MAC over a command whose data is already encrypted and does not yet carry the MAC.

    The first 8 bytes go on the wire, all 16 are the next chaining value (Amendment D section 6.2.4). The class byte
    carries the secure messaging bit (84); the length field is the one that will be sent, MAC included.
    """
    size = len(command.data) + MAC_SIZE
    lc = b"\0" + size.to_bytes(2, "big") if command.extended or size > 255 else bytes((size,))
    return _aes_cmac(session.mac, chain, bytes(command[:4]), lc, command.data)


def response_mac(session: SessionKeys, chain: bytes, data: bytes, sw: int) -> bytes:
    """The 8-byte R-MAC over a response whose `data` is already encrypted (Amendment D section 6.2.5)."""
    return _aes_cmac(session.rmac, chain, data, sw.to_bytes(2, "big"))[:MAC_SIZE]


def _cbc(session: SessionKeys, counter: int, *, response: bool) -> Cipher[modes.CBC]:
    block = (b"\x80" if response else b"\0") + counter.to_bytes(15, "big")
    ecb = Cipher(algorithms.AES(session.enc), modes.ECB()).encryptor()  # noqa: S305  # one block, as the spec says
    return Cipher(algorithms.AES(session.enc), modes.CBC(ecb.update(block) + ecb.finalize()))


def encrypt(session: SessionKeys, counter: int, plain: bytes, *, response: bool = False) -> bytes:
    """Pad (80 00..) and encrypt data under the IV of `counter` (1 for the first command of a session)."""
    padded = plain + b"\x80" + bytes(15 - len(plain) % 16)
    cipher = _cbc(session, counter, response=response).encryptor()
    return cipher.update(padded) + cipher.finalize()


def decrypt(session: SessionKeys, counter: int, data: bytes, *, response: bool = False) -> bytes:
    """The inverse of encrypt. Raises WireError. Only called after the MAC was found right."""
    if not data or len(data) % 16:
        raise WireError(f"{len(data)} encrypted bytes are not whole AES blocks")
    cipher = _cbc(session, counter, response=response).decryptor()
    plain = (cipher.update(data) + cipher.finalize()).rstrip(b"\0")
    if not plain.endswith(b"\x80"):
        raise WireError("wrong padding under the secure channel")
    return plain[:-1]


def key_check_value(key: bytes) -> bytes:
    """3 bytes (GlobalPlatform B.6)."""
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  # one block, as the spec says
    return (cipher.update(_KCV_INPUT) + cipher.finalize())[:3]


def encode_put_key(new_kvn: int, new: KeySet, current_dek: bytes) -> bytes:
    """The data of PUT KEY (GlobalPlatform 11.8, Amendment D 7.2): kvn, then three of {88 10 key-under-DEK, 03 KCV}."""
    out = bytes((new_kvn,))
    for key in (new.enc, new.mac, new.dek):
        cipher = Cipher(algorithms.AES(current_dek), modes.CBC(bytes(16))).encryptor()
        out += tlv.encode(KEY_TYPE_AES, cipher.update(key) + cipher.finalize()) + b"\x03" + key_check_value(key)
    return out


def decode_put_key(data: bytes, current_dek: bytes) -> tuple[int, KeySet]:
    """(new key version, keys). Raises WireError, also when a check value does not belong to its key."""
    if not data:
        raise WireError("an empty PUT KEY")
    keys, position = [], 1
    for _ in range(3):
        tag, wrapped, position = tlv.decode_one(data, position)
        if tag != KEY_TYPE_AES or len(wrapped) != KEY_SIZE:
            raise WireError("PUT KEY takes three AES-128 keys")
        kcv, position = data[position + 1 : position + 4], position + 4
        cipher = Cipher(algorithms.AES(current_dek), modes.CBC(bytes(16))).decryptor()
        key = cipher.update(wrapped) + cipher.finalize()
        if position > len(data) or data[position - 4] != 3 or not hmac.compare_digest(kcv, key_check_value(key)):
            raise WireError("a key check value in PUT KEY is wrong")
        keys.append(key)
    if position != len(data):
        raise WireError("bytes after the keys of PUT KEY")
    return data[0], KeySet(*keys)


def put_key_receipt(kvn: int, keys: KeySet) -> bytes:
    """What the token answers to PUT KEY: kvn and the three check values."""
    return bytes((kvn,)) + b"".join(key_check_value(key) for key in (keys.enc, keys.mac, keys.dek))
