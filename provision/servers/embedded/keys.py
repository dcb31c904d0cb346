"""Seeds at rest: AES-256-GCM under a key in FILE.key, which is never in the database.

From the 32 bytes of the key file three keys are derived (HKDF-Expand, RFC 5869 section 2.3): one seals, one
fingerprints seeds, one proves that key file and database belong together. The associated data of a sealed seed is the
device and its parameters, so a seed moved to another row, or a row given another time step, does not open.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from provision.errors import Unreachable
from provision.model import OtpParameters, Secret
from provision.newfile import write_new

KEY_BYTES = 32
_NONCE_BYTES = 12

Random = Callable[[int], bytes]  # n -> n unpredictable bytes


def key_path(database: Path) -> Path:
    return database.with_name(database.name + ".key")


class SeedKeys:
    """What the server can do with its key. Holds it; never prints it."""

    def __init__(self, master: bytes, random: Random) -> None:
        self._sealing = AESGCM(_derived(master, b"seal"))
        self._fingerprinting = _derived(master, b"fingerprint")
        self.check_value = _derived(master, b"check")
        self._random = random

    def seal(self, secret: Secret, device_id: str, parameters: OtpParameters) -> bytes:
        """nonce (12 bytes) + ciphertext + tag (16 bytes)."""
        nonce = self._random(_NONCE_BYTES)
        return nonce + self._sealing.encrypt(nonce, secret.reveal(), _associated(device_id, parameters))

    def unseal(self, sealed: bytes, device_id: str, parameters: OtpParameters) -> Secret:
        """Raises Unreachable if the row was altered."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return Secret(self._sealing.decrypt(nonce, ciphertext, _associated(device_id, parameters)))
        except (InvalidTag, ValueError):  # ValueError: the nonce or tag was cut short
            raise Unreachable(
                f"the sealed seed of device {device_id} does not open: its row was altered",
                hint="restore the database from a backup, or delete the device and register it again",
            ) from None

    def fingerprint(self, secret: Secret) -> bytes:
        """32 bytes by which the same seed is recognised; useless without the key."""
        return hmac.digest(self._fingerprinting, secret.reveal(), "sha256")

    def require_database(self, check_value: bytes, database: Path) -> None:
        """Raises Unreachable unless `check_value` was written under this key."""
        if not hmac.compare_digest(self.check_value, check_value):
            raise Unreachable(
                f"{key_path(database)} is not the key of {database}", hint="restore the key that `init` created with it"
            )


def create_key(path: Path, random: Random) -> bytes:
    """Write a new key file, mode 0600, durably; returns the key. Raises FileExistsError and other OSError."""
    master = random(KEY_BYTES)
    write_new(path, master)
    return master


def load_key(path: Path) -> bytes:
    """The key in `path`. Raises Unreachable if it is missing, unreadable, open to others, or not a key."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            master = file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        raise Unreachable(
            f"the key file {path} is missing", hint="without it no seed in the database can be read; restore it"
        ) from None
    except OSError as error:
        raise Unreachable(f"the key file {path} cannot be read: {error.strerror}") from None
    if os.name == "posix" and mode & 0o077:  # elsewhere the mode says nothing of who may read it
        raise Unreachable(f"the key file {path} is open to others (mode {mode:04o})", hint=f"chmod 600 {path}")
    if len(master) != KEY_BYTES:
        raise Unreachable(f"{path} is not a key file: a key is {KEY_BYTES} bytes", hint="restore it from a backup")
    return master


def _derived(master: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=b"hwtoken embedded server 1: " + purpose).derive(
        master
    )


def _associated(device_id: str, parameters: OtpParameters) -> bytes:
    """The device and everything that makes a code of its seed, unambiguously: no field can hold a vertical bar."""
    return "|".join(
        (
            device_id,
            parameters.oath_type.value,
            parameters.algorithm.value,
            str(parameters.digits),
            str(parameters.time_step_s),
            str(parameters.t0_s),
            str(parameters.counter),
        )
    ).encode("ascii")
