"""What lets a program in over HTTP: made and revoked by whoever may open the file, never over HTTP itself.

    hwt_<16 hex: which one>_<64 hex: 32 random bytes>

The file holds only the SHA-256 of the second part. No salt and no slow hash: nobody guesses 256 random bits, and every
request pays for the comparison.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import sqlite3
from dataclasses import dataclass

from provision.errors import InputError, Rejected
from provision.model import Secret
from provision.servers.embedded.keys import Random
from provision.servers.embedded.names import clean
from provision.servers.roles import Role

_ID_BYTES, _SECRET_BYTES = 8, 32
_FORM = re.compile(r"hwt_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """`name`: unique for ever, since the audit log calls its holder so. `user`: whose, for Role.USER only."""

    name: str
    role: Role
    user: str | None
    created_s: float
    revoked_s: float | None


def create(
    db: sqlite3.Connection, random: Random, name: str, role: Role, user: str | None, now_s: float
) -> tuple[ApiToken, Secret]:
    """A new one, and its text, which is nowhere else. Raises InputError."""
    name = clean("name of the API token", name)
    if (role is Role.USER) != (user is not None):
        raise InputError(
            "an API token with the role user belongs to one person, and no other role does",
            hint="name the person by --user" if user is None else "leave --user out",
        )
    user = None if user is None else clean("user", user)
    if db.execute("SELECT 1 FROM api_token WHERE name = ?", (name,)).fetchone() is not None:
        raise InputError(
            f"there is or was an API token {name!r}", hint="choose another name: the audit log tells them apart by it"
        )
    token_id, secret = random(_ID_BYTES).hex(), random(_SECRET_BYTES)
    db.execute(
        "INSERT INTO api_token (token_id, name, role, user, digest, created_s) VALUES (?, ?, ?, ?, ?, ?)",
        (token_id, name, role.value, user, _digest(secret), now_s),
    )
    return ApiToken(name, role, user, now_s, None), Secret(f"hwt_{token_id}_{secret.hex()}".encode("ascii"))


def every(db: sqlite3.Connection) -> list[ApiToken]:
    """All, revoked ones too, oldest first."""
    rows = db.execute("SELECT name, role, user, created_s, revoked_s FROM api_token ORDER BY rowid")
    return [_api_token(*row) for row in rows]


def withdraw(db: sqlite3.Connection, name: str) -> None:
    """One whose text nobody got: as if it had never been made, so that its name is free."""
    db.execute("DELETE FROM api_token WHERE name = ?", (name,))


def revoke(db: sqlite3.Connection, name: str, now_s: float) -> None:
    """From the next request on it lets nobody in. Raises Rejected (unknown-token)."""
    done = db.execute("UPDATE api_token SET revoked_s = ? WHERE name = ? AND revoked_s IS NULL", (now_s, name))
    if done.rowcount != 1:
        raise Rejected(
            f"no API token {name!r} is in use", code="unknown-token", hint="`provision server api-token list` shows all"
        )


def revoke_all_of(db: sqlite3.Connection, user: str, now_s: float) -> None:
    """Those that belong to a person who goes."""
    db.execute("UPDATE api_token SET revoked_s = ? WHERE user = ? AND revoked_s IS NULL", (now_s, user))


def holder(db: sqlite3.Connection, text: str) -> ApiToken:
    """Whose token `text` is. Raises Rejected (unauthenticated), the same for whatever is wrong with it."""
    form = _FORM.fullmatch(text)
    row = (
        form
        and db.execute(
            "SELECT digest, name, role, user, created_s, revoked_s FROM api_token WHERE token_id = ?", (form[1],)
        ).fetchone()
    )
    if form and row and hmac.compare_digest(row[0], _digest(bytes.fromhex(form[2]))):
        found = _api_token(*row[1:])
        if found.revoked_s is None:
            return found
    raise Rejected(
        "the server does not know this API token",
        code="unauthenticated",
        hint="it may be revoked; an administrator makes a new one with `provision server api-token create`",
    )


def _api_token(name: str, role: str, user: str | None, created_s: float, revoked_s: float | None) -> ApiToken:
    return ApiToken(name, Role(role), user, created_s, revoked_s)


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
