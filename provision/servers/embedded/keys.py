"""Seeds at rest: AES-256-GCM under a key in FILE.key, which is never in the database.

From the 32 bytes of the key file three keys are derived (HKDF-Expand, RFC 5869 section 2.3): one seals, one
fingerprints seeds, one proves that key file and database belong together. The associated data of a sealed seed is the
device and its parameters, so a seed moved to another row, or a row given another time step, does not open.

When the key is rotated (rotation.py), seeds are fingerprinted as before: the spent steps of deleted devices are known
by the fingerprints of seeds that nobody has any more. A key file then has 32 bytes more, which are that key itself.
The new file waits beside the old one, under a name that the database alone can tell, until the database says that it
is the one; whoever opens the database next puts it in place, should the rotation have been killed before.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from provision.errors import Unreachable
from provision.model import OtpParameters, Secret
from provision.newfile import sync_directory, write_new

KEY_BYTES = 32
_NONCE_BYTES = 12

Random = Callable[[int], bytes]  # n -> n unpredictable bytes


def key_path(database: Path) -> Path:
    return database.with_name(database.name + ".key")


class SeedKeys:
    """What the server can do with its key. Holds it; never prints it."""

    def __init__(self, content: bytes, random: Random) -> None:
        """`content`: of the key file."""
        master, kept = content[:KEY_BYTES], content[KEY_BYTES:]
        self._sealing = AESGCM(_derived(master, b"seal"))
        self._fingerprinting = kept or _derived(master, b"fingerprint")
        self.check_value = _derived(content, b"check")
        self._random = random

    def successor(self) -> bytes:
        """A new key file's content, by which seeds are fingerprinted as by this one."""
        return self._random(KEY_BYTES) + self._fingerprinting

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


def waiting_path(database: Path, check_value: bytes) -> Path:
    """Where the key that writes this check value waits for its database."""
    return database.with_name(f"{key_path(database).name}.{check_value.hex()[:16]}")


def waiting(database: Path) -> list[Path]:
    """Keys that wait beside this database, for it or in vain."""
    form = re.compile(re.escape(key_path(database).name) + r"\.[0-9a-f]{16}")
    return [path for path in database.absolute().parent.iterdir() if form.fullmatch(path.name)]


def key_of(database: Path, check_value: bytes) -> bytes:
    """The content of the key file that wrote this check value, which is now in its place. Raises Unreachable."""
    # Looked for first: a read-only file system refuses to move even what is not there.
    if waiting_path(database, check_value).exists():
        with contextlib.suppress(FileNotFoundError):  # another process has just done it
            put_in_place(database, check_value)
    content = load_key(key_path(database))
    SeedKeys(content, os.urandom).require_database(check_value, database)
    return content


def put_in_place(database: Path, check_value: bytes) -> None:
    """Let the key that waits become the database's, durably. Raises FileNotFoundError, Unreachable."""
    try:
        os.replace(waiting_path(database, check_value), key_path(database))
        sync_directory(database.parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unreachable(f"{key_path(database)} cannot be replaced: {error.strerror}") from error


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
            master = file.read(2 * KEY_BYTES + 1)
    except FileNotFoundError:
        raise Unreachable(
            f"the key file {path} is missing", hint="without it no seed in the database can be read; restore it"
        ) from None
    except OSError as error:
        raise Unreachable(f"the key file {path} cannot be read: {error.strerror}") from None
    if os.name == "posix" and mode & 0o077:  # elsewhere the mode says nothing of who may read it
        raise Unreachable(f"the key file {path} is open to others (mode {mode:04o})", hint=f"chmod 600 {path}")
    if len(master) not in (KEY_BYTES, 2 * KEY_BYTES):
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
