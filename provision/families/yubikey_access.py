"""A YubiKey's access key: where it comes from, how it is proved. developers.yubico.com/OATH/YKOATH_Protocol.html."""

from __future__ import annotations

import hashlib
import hmac

from provision.families.derivation import derive
from provision.model import Secret
from provision.wire.oath_password import ACCESS_KEY_SIZE

_ITERATIONS = 1000


def access_key_of(master: Secret, serial: str) -> bytes:
    """The access key of one YubiKey, from the organisation's master. Raises InputError."""
    return derive(master, "hwtoken yubikey oath v1", serial, ACCESS_KEY_SIZE)


def access_key_of_password(password: Secret, device_id: bytes) -> bytes:
    """As Yubico's tools make it: PBKDF2-HMAC-SHA-1 of the password's UTF-8, the device id as salt."""
    return hashlib.pbkdf2_hmac("sha1", password.reveal(), device_id, _ITERATIONS, ACCESS_KEY_SIZE)


def response_to(access_key: bytes, challenge: bytes) -> bytes:
    """Whoever gives it knows the key: HMAC-SHA-1, 20 bytes."""
    return hmac.digest(access_key, challenge, "sha1")
