"""Codes of many steps at once, compiled: a `Scanner` for who has the extra `drift-fast`.

`_LANES` steps go through every round together, side by side, so that the compiler puts them into vector registers.
All of it is in one flat array, a row having one word of every lane: the rows of a block's words, then tapes of the
state, on which a round reads the last few rows and writes the next. So every distance is known when this is compiled,
and nothing is ever moved: that is what makes it fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, uint32, uint64

from provision.drift.search import Scan
from provision.drift.search_numpy import key_states
from provision.drift.sha import BLOCK_WORDS, HASHES, Hash
from provision.model import Algorithm, OtpParameters, Secret

_LANES = 64  # enough vectors to overlap, few enough for the processor's first cache
_BATCH = 1 << 16  # steps between two looks at what was found
_TAPE = 4  # rows that SHA-2 needs of either of its tapes; SHA-1 has one tape and needs one more


def scan_with_numba(secret: Secret, parameters: OtpParameters) -> Scan:
    inner, outer = (np.concatenate(state) for state in key_states(secret, parameters.algorithm))
    compute = _compiled(parameters.algorithm)

    def scan(code: str, steps: range) -> list[int]:
        found: list[int] = []
        values = np.empty(min(_BATCH, -(-len(steps) // _LANES) * _LANES), np.uint32)
        for start in range(steps.start, steps.stop, _BATCH):
            compute(inner, outer, start, values)
            hits = start + np.flatnonzero(values % np.uint32(10 ** len(code)) == np.uint32(int(code)))
            found += hits[hits < steps.stop].tolist()
        return found

    return scan


@cache
def _compiled(algorithm: Algorithm) -> Callable[..., None]:
    """The function compute(inner, outer, start, values): into `values` go the 31 bits of RFC 4226 section 5.3 for
    `start` and the steps after it. `inner`, `outer`: the states of HMAC's two hashes after the key."""
    sha = HASHES[algorithm]
    lanes, bits, size, block_words = _LANES, sha.bits, len(sha.initial), BLOCK_WORDS
    dtype = np.uint32 if bits == 32 else np.uint64
    words, step_at = sha.step_block()
    step_block, digest_block = np.array(words, dtype), np.array(sha.digest_block(), dtype)
    rows = sha.rounds + 2 * (_TAPE + sha.rounds) if sha.rotations else sha.rounds + _TAPE + 1 + sha.rounds
    hash_block = _sha2(sha) if sha.rotations else _sha1(sha)

    @njit(nogil=True)
    def compute(inner: Any, outer: Any, start: int, values: Any) -> None:
        w = np.empty(rows * lanes, dtype)
        for first in range(0, len(values), lanes):
            for n in range(block_words):
                w[n * lanes : (n + 1) * lanes] = step_block[n]
            for lane in range(lanes):
                w[step_at * lanes + lane] = start + first + lane
            hash_block(w, inner)
            for n in range(size, block_words):
                w[n * lanes : (n + 1) * lanes] = digest_block[n]
            hash_block(w, outer)
            for lane in range(lanes):
                bit = (w[(size - 1) * lanes + lane] & 15) * 8
                at, skipped = bit // bits * lanes + lane, bit % bits
                value = w[at] << skipped
                if skipped:
                    value |= w[at + lanes] >> (bits - skipped)
                values[first + lane] = (value >> (bits - 32)) & 0x7FFFFFFF

    return compute


def _rotation(bits: int) -> Callable[..., Any]:
    """Right rotation of words of `bits` bits. What Numba widens it has to cut again."""
    word = uint32 if bits == 32 else uint64

    @njit(inline="always")
    def rotated(x: Any, by: int) -> Any:
        return word(word(x >> word(by)) | word(x << word(bits - by)))

    return rotated


def _sha1(sha: Hash) -> Callable[..., None]:
    """The function (w, state): hash the block in the first rows; the digest takes its place.

    FIPS 180-4 section 6.1.2. Of its a to e only a is new in a round: the others are earlier a, c to e rotated. So one
    tape of a will do, and what of the first state was never an a is rotated back.
    """
    lanes, rounds, block_words, tape = _LANES, sha.rounds, BLOCK_WORDS, _LANES * sha.rounds
    constants = np.array(sha.constants, np.uint32)
    rotated = _rotation(32)

    @njit(inline="always")
    def common(w: Any, i: int, constant: Any) -> Any:
        return rotated(w[tape + i + 4 * lanes], 27) + rotated(w[tape + i], 2) + constant + w[i]

    @njit(inline="always")
    def bcd(w: Any, i: int) -> Any:
        return w[tape + i + 3 * lanes], rotated(w[tape + i + 2 * lanes], 2), rotated(w[tape + i + lanes], 2)

    @njit(nogil=True)
    def hash_block(w: Any, state: Any) -> None:
        for n in range(5):
            word = state[4 - n] if n >= 3 else rotated(state[4 - n], 30)
            w[tape + n * lanes : tape + (n + 1) * lanes] = word
        for t in range(block_words, rounds):
            for i in range(t * lanes, (t + 1) * lanes):
                w[i] = rotated(w[i - 3 * lanes] ^ w[i - 8 * lanes] ^ w[i - 14 * lanes] ^ w[i - 16 * lanes], 31)
        for t in range(rounds):
            constant = constants[t]
            if t < 20:
                for i in range(t * lanes, (t + 1) * lanes):
                    b, c, d = bcd(w, i)
                    w[tape + i + 5 * lanes] = common(w, i, constant) + (d ^ (b & (c ^ d)))
            elif 40 <= t < 60:
                for i in range(t * lanes, (t + 1) * lanes):
                    b, c, d = bcd(w, i)
                    w[tape + i + 5 * lanes] = common(w, i, constant) + ((b & c) | (d & (b | c)))
            else:
                for i in range(t * lanes, (t + 1) * lanes):
                    b, c, d = bcd(w, i)
                    w[tape + i + 5 * lanes] = common(w, i, constant) + (b ^ c ^ d)
        for n in range(5):
            for lane in range(lanes):
                made = w[tape + (rounds + 4 - n) * lanes + lane]
                w[n * lanes + lane] = state[n] + (made if n < 2 else rotated(made, 2))

    return hash_block


def _sha2(sha: Hash) -> Callable[..., None]:
    """The function (w, state): hash the block in the first rows; the digest takes its place.

    FIPS 180-4 sections 6.2.2 and 6.4.2. Of its a to h only a and e are new in a round: b to d and f to h are earlier
    ones of these. So two tapes will do.
    """
    lanes, rounds, block_words = _LANES, sha.rounds, BLOCK_WORDS
    tape_a = lanes * rounds
    tape_e = tape_a + lanes * (_TAPE + rounds)
    (a0, a1, a2), (e0, e1, e2), (s0, s1, s2), (u0, u1, u2) = sha.rotations
    constants = np.array(sha.constants, np.uint32 if sha.bits == 32 else np.uint64)
    rotated = _rotation(sha.bits)

    @njit(nogil=True)
    def hash_block(w: Any, state: Any) -> None:
        for n in range(4):
            w[tape_a + n * lanes : tape_a + (n + 1) * lanes] = state[3 - n]
            w[tape_e + n * lanes : tape_e + (n + 1) * lanes] = state[7 - n]
        for t in range(block_words, rounds):
            for i in range(t * lanes, (t + 1) * lanes):
                x, y = w[i - 15 * lanes], w[i - 2 * lanes]
                sigma0 = rotated(x, s0) ^ rotated(x, s1) ^ (x >> s2)
                sigma1 = rotated(y, u0) ^ rotated(y, u1) ^ (y >> u2)
                w[i] = w[i - 16 * lanes] + sigma0 + w[i - 7 * lanes] + sigma1
        for t in range(rounds):
            constant = constants[t]
            for i in range(t * lanes, (t + 1) * lanes):
                d, c, b = w[tape_a + i], w[tape_a + i + lanes], w[tape_a + i + 2 * lanes]
                h, g, f = w[tape_e + i], w[tape_e + i + lanes], w[tape_e + i + 2 * lanes]
                a, e = w[tape_a + i + 3 * lanes], w[tape_e + i + 3 * lanes]
                sigma0 = rotated(a, a0) ^ rotated(a, a1) ^ rotated(a, a2)
                sigma1 = rotated(e, e0) ^ rotated(e, e1) ^ rotated(e, e2)
                one = h + sigma1 + (g ^ (e & (f ^ g))) + constant + w[i]
                w[tape_a + i + 4 * lanes] = one + sigma0 + ((a & b) | (c & (a | b)))
                w[tape_e + i + 4 * lanes] = d + one
        for n in range(4):
            for lane in range(lanes):
                last = (rounds + 3 - n) * lanes + lane
                w[n * lanes + lane] = state[n] + w[tape_a + last]
                w[(n + 4) * lanes + lane] = state[n + 4] + w[tape_e + last]

    return hash_block
