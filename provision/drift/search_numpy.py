"""Codes of many steps at once, as NumPy arrays: a `Scanner` for who has the extra `drift`.

Every word of a hash is an array with one element a step, or with a single one where all steps have the same word; so
what the steps share is computed once without a line about it. The state is a tape: a round looks at the last few
words that rounds have made and appends one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provision.drift.search import Scan
from provision.drift.sha import BLOCK_WORDS, HASHES, Hash, key_blocks
from provision.model import Algorithm, OtpParameters, Secret

Array = NDArray[Any]  # of uint32 or uint64, whatever the hash is made of
Words = list[Array]

_LANES = 1 << 15  # steps at once: their words stay in the processor's cache


def scan_with_numpy(secret: Secret, parameters: OtpParameters) -> Scan:
    algorithm = parameters.algorithm
    sha = HASHES[algorithm]
    inner, outer = key_states(secret, algorithm)

    def scan(code: str, steps: range) -> list[int]:
        found: list[int] = []
        for start in range(steps.start, steps.stop, _LANES):
            counters = np.arange(start, min(start + _LANES, steps.stop), dtype=_type(sha))
            values = _truncated(sha, _hmac(sha, inner, outer, counters))
            hits = np.flatnonzero(values % np.uint32(10 ** len(code)) == np.uint32(int(code)))
            found += (start + hits).tolist()
        return found

    return scan


def key_states(secret: Secret, algorithm: Algorithm) -> tuple[Words, Words]:
    """The states of HMAC's inner and outer hash after the key's blocks."""
    sha = HASHES[algorithm]
    inner, outer = (
        compress(
            sha,
            _constants(sha, sha.initial),
            list(np.frombuffer(block, f">u{sha.bits // 8}").astype(_type(sha))[:, None]),
        )
        for block in key_blocks(secret, algorithm)
    )
    return inner, outer


def compress(sha: Hash, state: Words, block: Words) -> Words:
    """The state after a block of 16 words."""
    # Unsigned arithmetic of arrays wraps around, which is what the hashes want.
    made = _sha2_rounds(sha, state, block) if sha.rotations else _sha1_rounds(sha, state, block)
    return [before + after for before, after in zip(state, made, strict=True)]


def _hmac(sha: Hash, inner: Words, outer: Words, counters: Array) -> Words:
    words, at = sha.step_block()
    block = _constants(sha, words)
    block[at] = counters
    digest = compress(sha, inner, block)
    return compress(sha, outer, digest + _constants(sha, sha.digest_block()[len(digest) :]))


def _sha1_rounds(sha: Hash, state: Words, block: Words) -> Words:
    """FIPS 180-4 section 6.1.2. Of its a to e only a is new in a round: the others were a before, c to e rotated."""
    words = deque(block, BLOCK_WORDS)
    a, b, c, d, e = state
    for number, constant in enumerate(_constants(sha, sha.constants)):
        if number >= BLOCK_WORDS:
            words.append(_rotated(sha, words[-3] ^ words[-8] ^ words[-14] ^ words[-16], sha.bits - 1))
        word = words[min(number, BLOCK_WORDS - 1)]
        if number < 20:
            mixed = d ^ (b & (c ^ d))
        elif 40 <= number < 60:
            mixed = (b & c) | (d & (b | c))
        else:
            mixed = b ^ c ^ d
        new = mixed + e + _rotated(sha, a, sha.bits - 5) + (constant + word)
        a, b, c, d, e = new, a, _rotated(sha, b, sha.bits - 30), c, d
    return [a, b, c, d, e]


def _sha2_rounds(sha: Hash, state: Words, block: Words) -> Words:
    """FIPS 180-4 sections 6.2.2 and 6.4.2."""
    big0, big1, small0, small1 = sha.rotations
    words = deque(block, BLOCK_WORDS)
    a, b, c, d, e, f, g, h = state
    for number, constant in enumerate(_constants(sha, sha.constants)):
        if number >= BLOCK_WORDS:
            words.append(
                words[-16] + _small_sigma(sha, words[-15], small0) + words[-7] + _small_sigma(sha, words[-2], small1)
            )
        word = words[min(number, BLOCK_WORDS - 1)]
        one = h + _big_sigma(sha, e, big1) + (g ^ (e & (f ^ g))) + (constant + word)
        two = _big_sigma(sha, a, big0) + ((a & b) | (c & (a | b)))
        a, b, c, d, e, f, g, h = one + two, a, b, c, d + one, e, f, g
    return [a, b, c, d, e, f, g, h]


def _big_sigma(sha: Hash, x: Array, by: tuple[int, int, int]) -> Array:
    return _rotated(sha, x, by[0]) ^ _rotated(sha, x, by[1]) ^ _rotated(sha, x, by[2])


def _small_sigma(sha: Hash, x: Array, by: tuple[int, int, int]) -> Array:
    return _rotated(sha, x, by[0]) ^ _rotated(sha, x, by[1]) ^ (x >> _type(sha)(by[2]))


def _rotated(sha: Hash, x: Array, right: int) -> Array:
    word = _type(sha)
    rotated: Array = (x >> word(right)) | (x << word(sha.bits - right))
    return rotated


def _truncated(sha: Hash, digest: Words) -> NDArray[np.uint32]:
    """RFC 4226 section 5.3: 31 bits from the byte on that the last four bits of the hash name, for SHA-1; the longer
    hashes do as RFC 6238 has it, by their own last four bits."""
    big = f">u{sha.bits // 8}"
    head = np.stack(digest[: 160 // sha.bits + 1], axis=1).astype(big).view(np.uint8)  # bytes, one row a step
    at = (digest[-1] & _type(sha)(15)).astype(np.intp)
    rows = np.arange(len(at))
    value = np.zeros(len(at), np.uint32)
    for n in range(4):
        value = (value << np.uint32(8)) | head[rows, at + n]
    return value & np.uint32(0x7FFFFFFF)


def _constants(sha: Hash, words: Sequence[int]) -> Words:
    return [np.array([word], dtype=_type(sha)) for word in words]


def _type(sha: Hash) -> type[np.uint32] | type[np.uint64]:
    return np.uint32 if sha.bits == 32 else np.uint64
