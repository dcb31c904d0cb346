"""Between the model's words and an OATH applet's messages (wire/oath.py)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable

from provision.errors import InputError, NotSupported
from provision.model import Algorithm, CredentialInfo, NewCredential, OathType, OtpParameters
from provision.wire import WireError, oath, reference_oath

_KIND = {OathType.HOTP: oath.OathKind.HOTP, OathType.TOTP: oath.OathKind.TOTP}
TYPES = {kind: oath_type for oath_type, kind in _KIND.items()}
_HASH = {
    Algorithm.SHA1: oath.HashKind.SHA1,
    Algorithm.SHA256: oath.HashKind.SHA256,
    Algorithm.SHA512: oath.HashKind.SHA512,
}
ALGORITHMS = {kind: algorithm for algorithm, kind in _HASH.items()}


def encoded(encode: Callable[[], bytes]) -> bytes:
    """The bytes of a message made from what a user gave. Raises InputError."""
    try:
        return encode()
    except WireError as error:
        raise InputError(str(error)) from None


def fitted(secret: bytes, algorithm: Algorithm) -> bytes:
    """The secret as the token stores it: one longer than the hash's block is hashed, as HMAC would (RFC 2104)."""
    if not secret:
        raise InputError("a seed has at least one byte")
    digest = hashlib.new(algorithm.value.lower())
    if len(secret) > digest.block_size:
        digest.update(secret)
        return digest.digest()
    if len(secret) > oath.MAX_SECRET:
        raise NotSupported(
            f"this token holds {algorithm.value} seeds of up to {oath.MAX_SECRET} bytes, not {len(secret)}",
            capability="long-seed",
            hint=f"use a seed of {oath.MAX_SECRET} bytes",
        )
    return secret


def stored_forms(secret: bytes) -> set[bytes]:
    """What a token may have stored of a secret, whatever the credential's hash."""
    forms = set()
    for algorithm in Algorithm:
        with contextlib.suppress(NotSupported):
            forms.add(fitted(secret, algorithm))
    return forms


def ykoath_put(credential: NewCredential, name: str) -> oath.Put:
    """YKOATH's own PUT for a credential to be written under `name`. Raises InputError, NotSupported."""
    parameters = credential.parameters
    secret = fitted(credential.secret.reveal(), parameters.algorithm)
    if not 6 <= parameters.digits <= 8:
        raise InputError(f"a code of {parameters.digits} digits: this token gives 6 to 8")
    kind, digest, counter = _KIND[parameters.oath_type], _HASH[parameters.algorithm], None
    if parameters.oath_type is OathType.HOTP:
        counter = parameters.counter
        if not 0 <= counter < 1 << 32:
            raise InputError(f"a counter of {counter} does not fit 32 bits")
    return oath.Put(name, kind, digest, parameters.digits, secret, credential.touch, counter)


def put_message(credential: NewCredential) -> reference_oath.Put:
    """The reference token's PUT for a credential to be written. Raises InputError, NotSupported."""
    parameters = credential.parameters
    plain = ykoath_put(credential, credential.name)
    head = (plain.name, plain.kind, plain.hash, plain.digits, plain.secret)
    if parameters.oath_type is OathType.HOTP:
        if credential.pin:
            raise NotSupported(
                "the reference token asks no PIN for HOTP credentials",
                capability="hotp-pin",
                hint="use TOTP, or say that the credential needs no PIN",
            )
        return reference_oath.Put(*head, plain.touch, plain.counter)
    flags = (
        (reference_oath.Flag.OWN_CLOCK if credential.own_clock else reference_oath.Flag(0))
        | (reference_oath.Flag.PIN if credential.pin else reference_oath.Flag(0))
        | (reference_oath.Flag.TOUCH if credential.touch else reference_oath.Flag(0))
    )
    timing = reference_oath.Timing(parameters.time_step_s, parameters.t0_s, flags)
    return reference_oath.Put(*head, timing=timing)


def credential_info(record: reference_oath.CredentialRecord) -> CredentialInfo:
    """What GET CREDENTIAL says, in the model's words."""
    timing = record.timing
    parameters = OtpParameters(
        TYPES[record.kind], ALGORITHMS[record.hash], record.digits, timing.time_step_s, timing.t0_s, record.counter or 0
    )
    return CredentialInfo(
        record.name,
        parameters,
        own_clock=reference_oath.Flag.OWN_CLOCK in timing.flags,
        pin=reference_oath.Flag.PIN in timing.flags,
        touch=reference_oath.Flag.TOUCH in timing.flags,
    )
