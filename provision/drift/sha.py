"""What FIPS 180-4 says of SHA-1, SHA-256 and SHA-512, as numbers: for whoever computes many hashes at once.

A code costs four blocks in all, and two of them are the key's: `key_blocks`, hashed once. The other two hardly vary:
`step_block` holds eight bytes of step, `digest_block` the inner hash; the rest is padding that is known beforehand.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import count, islice
from math import isqrt

from provision.model import Algorithm, Secret

BLOCK_WORDS = 16
_INNER, _OUTER = 0x36, 0x5C  # RFC 2104 section 2


@dataclass(frozen=True, slots=True)
class Hash:
    """A hash function over words of `bits` bits, of which a block has 16.

    initial      the state before the first block
    constants    K, one for each round
    rotations    SHA-2 only: of Sigma0, Sigma1, sigma0, sigma1 (the last number of each sigma is a shift)
    """

    bits: int
    initial: tuple[int, ...]
    constants: tuple[int, ...]
    rotations: tuple[tuple[int, int, int], ...] = ()

    @property
    def rounds(self) -> int:
        return len(self.constants)

    @property
    def block_bytes(self) -> int:
        return BLOCK_WORDS * self.bits // 8

    @property
    def digest_bytes(self) -> int:
        return len(self.initial) * self.bits // 8

    @property
    def _padding(self) -> int:
        return 1 << (self.bits - 1)

    def step_block(self) -> tuple[list[int], int]:
        """The block of HMAC's inner hash after the key's: its words for step 0, and which of them the step is in."""
        words = [0] * BLOCK_WORDS
        at = 64 // self.bits - 1  # eight bytes, big-endian; steps are under 2**32
        words[at + 1] = self._padding
        words[-1] = BLOCK_WORDS * self.bits + 64
        return words, at

    def digest_block(self) -> list[int]:
        """The block of HMAC's outer hash after the key's: its words, of which the first are the digest's."""
        words = [0] * BLOCK_WORDS
        words[len(self.initial)] = self._padding
        words[-1] = (BLOCK_WORDS + len(self.initial)) * self.bits
        return words


def key_blocks(secret: Secret, algorithm: Algorithm) -> tuple[bytes, bytes]:
    """The first blocks of HMAC's inner and outer hash (RFC 2104 section 2)."""
    size = HASHES[algorithm].block_bytes
    key = secret.reveal()
    if len(key) > size:
        key = hashlib.new(algorithm.value.lower(), key).digest()
    padded = key.ljust(size, b"\0")
    return bytes(byte ^ _INNER for byte in padded), bytes(byte ^ _OUTER for byte in padded)


def _root_bits(number: int, root: int, bits: int) -> int:
    """The first `bits` bits after the point of the square or cube root of a number."""
    scaled = number << (root * bits)
    if root == 2:
        return isqrt(scaled) % (1 << bits)
    low, high = 0, 1 << (bits + 10)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= scaled else (low, middle)
    return low % (1 << bits)


def _sha2(bits: int, rounds: int, rotations: tuple[tuple[int, int, int], ...]) -> Hash:
    """FIPS 180-4 sections 4.2.2, 4.2.3, 5.3.3, 5.3.5: bits of the roots of the first primes."""
    primes = list(islice((n for n in count(2) if all(n % d for d in range(2, isqrt(n) + 1))), rounds))
    return Hash(
        bits,
        tuple(_root_bits(prime, 2, bits) for prime in primes[:8]),
        tuple(_root_bits(prime, 3, bits) for prime in primes),
        rotations,
    )


HASHES = {
    Algorithm.SHA1: Hash(
        32,
        (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0),
        (0x5A827999,) * 20 + (0x6ED9EBA1,) * 20 + (0x8F1BBCDC,) * 20 + (0xCA62C1D6,) * 20,
    ),
    Algorithm.SHA256: _sha2(32, 64, ((2, 13, 22), (6, 11, 25), (7, 18, 3), (17, 19, 10))),
    Algorithm.SHA512: _sha2(64, 80, ((28, 34, 39), (14, 18, 41), (1, 8, 7), (19, 61, 6))),
}
