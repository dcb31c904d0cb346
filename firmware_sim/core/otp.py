"""HOTP (RFC 4226) as the token computes it: its own arithmetic, so that the host's oracle is another one."""

from __future__ import annotations

import hmac


def mac(secret: bytes, moving_factor: int, algorithm: str) -> bytes:
    """RFC 4226 section 5.2's HMAC over the counter, or RFC 6238's over the step T (below 2^64).

    `algorithm`: "sha1", "sha256" or "sha512".
    """
    return hmac.digest(secret, moving_factor.to_bytes(8, "big"), algorithm)


def truncate(digest: bytes) -> int:
    """RFC 4226 section 5.3's dynamic truncation: 31 bits."""
    offset = digest[-1] & 0x0F
    return int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF


def code(secret: bytes, moving_factor: int, algorithm: str, digits: int) -> str:
    """The code as a screen shows it, leading zeros included."""
    return str(truncate(mac(secret, moving_factor, algorithm)) % 10**digits).zfill(digits)
