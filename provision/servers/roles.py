"""Who may come to a server over HTTP. What each may do there is servers/service/permissions.py."""

from __future__ import annotations

import enum


@enum.unique
class Role(enum.Enum):
    USER = "user"  # one person, with their own devices and nobody else's
    DESK = "desk"  # helps people: sees every device, mends and deletes, registers none
    ADMINISTRATOR = "administrator"
    RELYING_PARTY = "relying-party"  # a login page: asks whether a code is right, and nothing else
    AUDITOR = "auditor"  # reads all, changes nothing
