"""From the organisation's master key to the keys of one token, so that no two tokens share any."""

from __future__ import annotations

from provision.errors import InputError
from provision.model import Secret

MIN_MASTER = 16  # bytes


def derive(master: Secret, purpose: str, serial: str, size: int) -> bytes:
    """HKDF-SHA-256 (RFC 5869) without salt; info = `purpose` and the serial. Raises InputError for a short master."""
    if len(master) < MIN_MASTER:
        raise InputError(
            f"an administrator key has at least {MIN_MASTER} bytes, not {len(master)}",
            hint="`provision ledger init --new-admin-key-file FILE` makes one",
        )
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), size, None, f"{purpose}{serial}".encode()).derive(master.reveal())
