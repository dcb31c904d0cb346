"""Every route, and who may take it. The one place where that is said; docs/SERVER.md shows it as a table."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from provision.errors import Rejected
from provision.servers.roles import Role


@enum.unique
class Scope(enum.Enum):
    ALL = "all"
    OWN = "own"  # only the devices of the person to whom the API token belongs; others do not exist for them


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Each exists once. `path`: as OpenAPI has it. `summary`: one line. `scopes`: who may take it, and nobody else."""

    method: str
    path: str
    summary: str
    scopes: Mapping[Role, Scope]

    def scope(self, role: Role) -> Scope:
        """Raises Rejected (forbidden)."""
        if role not in self.scopes:
            able = ", ".join(role.value for role in Role if role in self.scopes)
            raise Rejected(
                f"an API token with the role {role.value} may not do this: {self.summary}",
                code="forbidden",
                hint=f"use the token of another role: {able}",
            )
        return self.scopes[role]


def _everything(*roles: Role) -> dict[Role, Scope]:
    return dict.fromkeys(roles, Scope.ALL)


_OWN = {Role.USER: Scope.OWN}

# An administrator checks codes too: to program a token is to prove it at the server.
CHECK = Route("POST", "/v1/check", "accept a code, once", _everything(Role.RELYING_PARTY, Role.ADMINISTRATOR))
LIST = Route("GET", "/v1/devices", "list devices", _OWN | _everything(Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR))
REGISTER = Route("POST", "/v1/devices", "register a device with its seed", _everything(Role.ADMINISTRATOR))
STATE = Route(
    "GET",
    "/v1/devices/{device_id}",
    "show a device's state",
    _OWN | _everything(Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR),
)
RENAME = Route("PATCH", "/v1/devices/{device_id}", "rename a device", _OWN | _everything(Role.ADMINISTRATOR))
DELETE = Route(
    "DELETE",
    "/v1/devices/{device_id}",
    "delete a device and its seed",
    _OWN | _everything(Role.DESK, Role.ADMINISTRATOR),
)
RESYNC = Route(
    "POST",
    "/v1/devices/{device_id}/resync",
    "learn a device's drift from two consecutive codes",
    _everything(Role.DESK, Role.ADMINISTRATOR),
)
SET_DRIFT = Route("PUT", "/v1/devices/{device_id}/drift", "write the remembered drift", _everything(Role.ADMINISTRATOR))
ASSIGN = Route("PUT", "/v1/devices/{device_id}/user", "give a device to a person", _everything(Role.ADMINISTRATOR))
UNASSIGN = Route("DELETE", "/v1/devices/{device_id}/user", "take a device back", _everything(Role.ADMINISTRATOR))
DISABLE = Route("POST", "/v1/devices/{device_id}/disable", "refuse a device's codes", _everything(Role.ADMINISTRATOR))
ENABLE = Route(
    "POST",
    "/v1/devices/{device_id}/enable",
    "accept them again, and forgive its failures",
    _everything(Role.ADMINISTRATOR),
)
HISTORY = Route(
    "GET",
    "/v1/history",
    "tell of past logins what shows a clock",
    _everything(Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR),
)
AUDIT = Route("GET", "/v1/audit", "read the audit log", _everything(Role.ADMINISTRATOR, Role.AUDITOR))

ROUTES = (
    CHECK,
    LIST,
    REGISTER,
    STATE,
    RENAME,
    DELETE,
    RESYNC,
    SET_DRIFT,
    ASSIGN,
    UNASSIGN,
    DISABLE,
    ENABLE,
    HISTORY,
    AUDIT,
)
