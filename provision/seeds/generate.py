"""Fresh seeds."""

from __future__ import annotations

from collections.abc import Callable

from provision.model import Algorithm, Secret

# RFC 6238 section 5.1 and appendix B: a key as long as the output of the hash.
_SIZES = {Algorithm.SHA1: 20, Algorithm.SHA256: 32, Algorithm.SHA512: 64}


def generate(algorithm: Algorithm, randbytes: Callable[[int], bytes]) -> Secret:
    """A random seed of the length that RFC 6238 wants for `algorithm`: 20, 32 or 64 bytes."""
    return Secret(randbytes(_SIZES[algorithm]))
