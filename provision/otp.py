"""Windows over pyotp: the host's oracle for codes, independent of the device's own arithmetic.

pyotp's HOTP is asked at a step that we computed, because its TOTP refuses steps over 120 s and, before 2.11, went
wrong in the autumn DST hour. It also refuses seeds under 112 bits; the `allow_short_seed` way computes those with
`cryptography` instead.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

from provision.errors import SeedError
from provision.model import Algorithm, OtpParameters, Secret

MIN_SECRET_BYTES = 14  # 112 bits: RFC 4226 R6 asks for 128, NIST SP 800-63B for 112, pyotp enforces 112

_DIGESTS: dict[Algorithm, Callable[..., Any]] = {
    Algorithm.SHA1: hashlib.sha1,
    Algorithm.SHA256: hashlib.sha256,
    Algorithm.SHA512: hashlib.sha512,
}


def code_at(secret: Secret, parameters: OtpParameters, counter: int, *, allow_short_seed: bool = False) -> str:
    """The code of RFC 4226 section 5.3 for a counter or step (>= 0), as text of `parameters.digits` characters.

    Raises SeedError for a secret under 112 bits unless `allow_short_seed`.
    """
    return code_source(secret, parameters, allow_short_seed=allow_short_seed)(counter)


def code_source(secret: Secret, parameters: OtpParameters, *, allow_short_seed: bool = False) -> Callable[[int], str]:
    """`code_at` for many counters of one secret: what pyotp spends on the secret's base32 is spent once.

    Raises SeedError as `code_at` does.
    """
    if len(secret) < MIN_SECRET_BYTES:
        if not allow_short_seed:
            raise SeedError(
                f"the seed has only {len(secret) * 8} bits, under the 112 that RFC 4226 and NIST demand",
                hint="use a longer seed, or --allow-short-seed for an old token",
            )
        return _short_source(secret, parameters)
    import pyotp

    b32 = base64.b32encode(secret.reveal()).decode("ascii")
    return pyotp.HOTP(b32, digits=parameters.digits, digest=_DIGESTS[parameters.algorithm]).generate_otp


def _short_source(secret: Secret, parameters: OtpParameters) -> Callable[[int], str]:
    from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
    from cryptography.hazmat.primitives.twofactor.hotp import HOTP

    digests: dict[Algorithm, SHA1 | SHA256 | SHA512] = {
        Algorithm.SHA1: SHA1(),  # noqa: S303  # what RFC 4226 is made of
        Algorithm.SHA256: SHA256(),
        Algorithm.SHA512: SHA512(),
    }
    hotp = HOTP(secret.reveal(), parameters.digits, digests[parameters.algorithm], enforce_key_length=False)
    return lambda counter: hotp.generate(counter).decode("ascii")
