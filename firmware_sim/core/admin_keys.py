"""The administrator's SCP03 keys in flash, and the lifecycle that follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_sim.core.layout import Key
from firmware_sim.core.machine import Event, Lifecycle, check
from firmware_sim.core.refusal import Refused
from firmware_sim.journal import Store
from provision.wire.apdu import Sw
from provision.wire.globalplatform import FACTORY_KVN

if TYPE_CHECKING:
    from provision.wire.scp03 import KeySet

_VERSIONS = range(0x01, 0x80)  # GlobalPlatform 11.8: what PUT KEY may write


class AdminKeys:
    """One key set with one version number."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def lifecycle(self) -> Lifecycle:
        return Lifecycle.FACTORY if self._store.get(Key.ADMIN_KEYS) is None else Lifecycle.OWNED

    @property
    def version(self) -> int:
        record = self._store.get(Key.ADMIN_KEYS)
        return FACTORY_KVN if record is None else record[0]

    @property
    def keys(self) -> KeySet:
        from provision.wire.scp03 import FACTORY_KEYS, KeySet

        record = self._store.get(Key.ADMIN_KEYS)
        return FACTORY_KEYS if record is None else KeySet(record[1:17], record[17:33], record[33:49])

    def require_version(self, version: int) -> None:
        """0 stands for whatever there is. Raises Refused (6A88)."""
        if version not in (0, self.version):
            raise Refused(Sw.REFERENCE_NOT_FOUND)

    def replace(self, version: int, keys: KeySet) -> None:
        """Physically, too. Raises Refused (6A80) for a version that is not 01..7F, FlashError, PowerLost."""
        if version not in _VERSIONS:
            raise Refused(Sw.WRONG_DATA)
        check(self.lifecycle, Event.PUT_KEY)
        self._store.commit({Key.ADMIN_KEYS: bytes((version,)) + keys.enc + keys.mac + keys.dek}, scrub=True)
