"""Another key for the seeds, while servers run on the file. Killed at any instant, one key opens all seeds."""

from __future__ import annotations

from provision.errors import Unreachable
from provision.newfile import write_new
from provision.servers.embedded import audit, devices, keys
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.core import ServerFile


class Rotating(ServerFile):
    """The part of EmbeddedServer (backend.py) that changes its key."""

    def rotate_key(self) -> int:
        """Seal every seed anew under a fresh key; how many. The old key opens nothing in the file any more, but what
        was copied before. Other processes on the file find the new one by themselves.

        Raises Unreachable; if a reader keeps the log from being emptied, only after the rotation.
        """
        path = self._storage.path
        with self._storage.transaction() as db:
            self._renewed_keys()
            for stale in keys.waiting(path):  # a rotation was killed: nothing is sealed so
                stale.unlink()
            content = self._keys.successor()
            new = keys.SeedKeys(content, self._random)
            try:
                write_new(keys.waiting_path(path, new.check_value), content)
            except OSError as error:
                raise Unreachable(f"the new key cannot be written beside {path}: {error.strerror}") from error
            stored = devices.every(db)
            for device in stored:
                secret = self._secret(device)
                devices.set_sealed(db, device, new.seal(secret, device.device_id, device.parameters))
            db.execute("UPDATE server SET key_check = ?", (new.check_value,))
            audit.append(db, AuditEntry(self._clock.now(), Action.ROTATE_KEY, None, None, Outcome.DONE, None))
        self._keys = keys.SeedKeys(keys.key_of(path, new.check_value), self._random)
        self._storage.forget_erased()
        return len(stored)
