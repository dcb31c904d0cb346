"""A seed sealed to a public key, so that a station can hold it over a crash without being able to read it.

Two formats, both defined here and nowhere else; all integers are single bytes, lengths are in bytes.

    envelope     "HWSE" 4 | version 01 | ephemeral X25519 public key 32 | ciphertext n | tag 16
    wrapped key  "HWPK" 4 | version 01 | log2 N 1 | r 1 | p 1 | salt 16 | nonce 12 | ciphertext 32 | tag 16

Envelope: an ephemeral X25519 exchange (RFC 7748); HKDF-SHA256 (RFC 5869) of the shared secret with
salt = ephemeral public key | recipient's public key and info = "hwtoken seed envelope v1" gives a key (32) and a
nonce (12), used once, for AES-256-GCM. Additional data: everything before the ciphertext, then the caller's context
(for instance the job's UUID and the serial), so an envelope moved to another job does not open.

Wrapped key: the private half (32 bytes) under AES-256-GCM with scrypt (RFC 7914) of the passphrase in UTF-8, NFC.
Additional data: everything before the nonce, then the public key.

A wrong passphrase and an altered byte are told apart by nothing but luck, so both raise SeedAuthentication.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from provision.errors import SeedAuthentication
from provision.model import Secret

_ENVELOPE = b"HWSE\x01"
_WRAPPED = b"HWPK\x01"
_INFO = b"hwtoken seed envelope v1"
_KEY, _NONCE, _SALT, _TAG, _AES = 32, 12, 16, 16, 32
_WRAPPED_SIZE = len(_WRAPPED) + 3 + _SALT + _NONCE + _KEY + _TAG


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """RFC 7914's N = 2 ** `log2_n`, `r` and `p`. The default is one of OWASP's equivalents: 32 MiB, some 0.2 s."""

    log2_n: int = 15
    r: int = 8
    p: int = 3


# A wrapped key that asks for more was not made by us, and would only tie up the machine (N * r * 128 bytes).
_DEAREST = ScryptCost(log2_n=20, r=8, p=16)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Whom seeds are sealed to: `public` in the clear (32 bytes), the private half `wrapped` by a passphrase."""

    public: bytes
    wrapped: bytes = field(repr=False)


def create_key_pair(
    passphrase: Secret, randbytes: Callable[[int], bytes], *, cost: ScryptCost = ScryptCost()
) -> KeyPair:
    """A fresh key pair whose private half opens with `passphrase` (UTF-8 text, not empty)."""
    private = X25519PrivateKey.from_private_bytes(randbytes(_KEY))
    public = private.public_key().public_bytes_raw()
    salt, nonce = randbytes(_SALT), randbytes(_NONCE)
    header = _WRAPPED + bytes((cost.log2_n, cost.r, cost.p)) + salt
    sealed = AESGCM(_stretch(passphrase, salt, cost)).encrypt(nonce, private.private_bytes_raw(), header + public)
    return KeyPair(public, header + nonce + sealed)


def unwrap(pair: KeyPair, passphrase: Secret) -> Secret:
    """The private half of `pair`. Raises SeedAuthentication for a wrong passphrase or altered bytes."""
    wrapped = pair.wrapped
    if len(wrapped) != _WRAPPED_SIZE or not wrapped.startswith(_WRAPPED):
        raise SeedAuthentication("the ledger's private key is not in a format known here")
    at = len(_WRAPPED)
    cost = ScryptCost(*wrapped[at : at + 3])
    if not (0 < cost.log2_n <= _DEAREST.log2_n and 0 < cost.r <= _DEAREST.r and 0 < cost.p <= _DEAREST.p):
        raise SeedAuthentication("the ledger's private key asks for a work factor that was never written here")
    header, nonce = wrapped[: at + 3 + _SALT], wrapped[at + 3 + _SALT : at + 3 + _SALT + _NONCE]
    key = _stretch(passphrase, header[-_SALT:], cost)
    try:
        private = AESGCM(key).decrypt(nonce, wrapped[len(header) + _NONCE :], header + pair.public)
    except InvalidTag:
        raise SeedAuthentication(
            "the passphrase does not open the ledger's key", hint="type the one given to `provision ledger init`"
        ) from None
    return Secret(private)


def seal(secret: Secret, public: bytes, context: bytes, randbytes: Callable[[int], bytes]) -> bytes:
    """An envelope that only the private half of `public` opens, and only with the same `context`."""
    ephemeral = X25519PrivateKey.from_private_bytes(randbytes(_KEY))
    header = _ENVELOPE + ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    key, nonce = _derive(shared, header[len(_ENVELOPE) :], public)
    return header + AESGCM(key).encrypt(nonce, secret.reveal(), header + context)


def unseal(envelope: bytes, private: Secret, context: bytes) -> Secret:
    """The secret inside. Raises SeedAuthentication for another key, another context, or an altered byte."""
    size = len(_ENVELOPE) + _KEY
    if len(envelope) < size + _TAG or not envelope.startswith(_ENVELOPE):
        raise SeedAuthentication("the sealed seed is not in a format known here")
    header = envelope[:size]
    own = X25519PrivateKey.from_private_bytes(private.reveal())
    try:
        shared = own.exchange(X25519PublicKey.from_public_bytes(header[len(_ENVELOPE) :]))
        key, nonce = _derive(shared, header[len(_ENVELOPE) :], own.public_key().public_bytes_raw())
        return Secret(AESGCM(key).decrypt(nonce, envelope[size:], header + context))
    except (InvalidTag, ValueError):  # ValueError: an altered public key of low order (RFC 7748 section 6.1)
        raise SeedAuthentication("the sealed seed was altered, or belongs to another ledger, job or token") from None


def _derive(shared: bytes, ephemeral: bytes, public: bytes) -> tuple[bytes, bytes]:
    out = HKDF(SHA256(), _AES + _NONCE, ephemeral + public, _INFO).derive(shared)
    return out[:_AES], out[_AES:]


def _stretch(passphrase: Secret, salt: bytes, cost: ScryptCost) -> bytes:
    try:
        text = passphrase.reveal().decode("utf-8")
    except UnicodeDecodeError:
        raise SeedAuthentication("the passphrase is not UTF-8 text") from None
    if not text:
        raise SeedAuthentication("the passphrase is empty")
    # NFC: the same passphrase typed on two keyboards is the same bytes.
    typed = unicodedata.normalize("NFC", text).encode("utf-8")
    try:
        return Scrypt(salt, _AES, 1 << cost.log2_n, cost.r, cost.p).derive(typed)
    except (MemoryError, ValueError):  # what OpenSSL makes of too large a cost, and of one that RFC 7914 forbids
        raise SeedAuthentication(
            "the ledger's private key asks for a work factor that was never written here"
        ) from None
