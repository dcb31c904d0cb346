"""Rows <-> people, and the date of the cut-over. Every function is part of the caller's transaction."""

from __future__ import annotations

import sqlite3

from provision.servers.embedded import devices
from provision.servers.embedded.devices import Account, StoredDevice
from provision.servers.ways import old_way_until_s


def every(db: sqlite3.Connection) -> list[tuple[str, float | None]]:
    """Everybody who is known, by user, and until when they were sent to the old way, which may be over."""
    return db.execute("SELECT user, fallback_until_s FROM account WHERE user IS NOT NULL ORDER BY user").fetchall()


def add(db: sqlite3.Connection, user: str) -> bool:
    """Whether the person was new."""
    if devices.person(db, user) is not None:
        return False
    devices.account_of(db, user)
    return True


def remove(db: sqlite3.Connection, account: Account) -> None:
    """Forget a person without devices, and wrong codes with them."""
    db.execute("DELETE FROM account WHERE account_id = ?", (account.account_id,))


def set_fallback(db: sqlite3.Connection, account: Account, until_s: float | None) -> None:
    db.execute("UPDATE account SET fallback_until_s = ? WHERE account_id = ?", (until_s, account.account_id))


def cutover_s(db: sqlite3.Connection) -> float | None:
    (at_s,) = db.execute("SELECT cutover_s FROM server").fetchone()
    return None if at_s is None else float(at_s)


def set_cutover(db: sqlite3.Connection, at_s: float | None) -> None:
    db.execute("UPDATE server SET cutover_s = ?", (at_s,))


def sent_until_s(db: sqlite3.Connection, account: Account, owned: list[StoredDevice], now_s: float) -> float | None:
    """Until when the person is sent to the old way, None if they are not. `owned`: their devices."""
    has_device = any(not device.pending for device in owned)
    if has_device and account.fallback_until_s is None:
        return None  # nearly every login: the cut-over need not be read
    return old_way_until_s(
        has_device=has_device, fallback_until_s=account.fallback_until_s, cutover_s=cutover_s(db), now_s=now_s
    )
