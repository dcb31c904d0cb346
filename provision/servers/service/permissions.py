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
ENROL = Route(
    "POST",
    "/v1/enrolments",
    "make a pending device, and give its seed out once",
    _OWN | _everything(Role.ADMINISTRATOR),
)
PROVE = Route(
    "POST",
    "/v1/devices/{device_id}/prove",
    "accept a pending device's first code",
    _OWN | _everything(Role.ADMINISTRATOR),
)
PEOPLE = Route(
    "GET",
    "/v1/people",
    "list people, and who is sent to the old way though they have a device",
    _OWN | _everything(Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR),
)
ADD_PEOPLE = Route("POST", "/v1/people", "make people known", _everything(Role.ADMINISTRATOR))
REMOVE_PERSON = Route(
    "DELETE", "/v1/people", "forget a person, and revoke their API tokens", _everything(Role.ADMINISTRATOR)
)
SET_FALLBACK = Route(
    "PUT", "/v1/fallback", "send a person to the old way for a while", _everything(Role.DESK, Role.ADMINISTRATOR)
)
CUTOVER = Route(
    "GET",
    "/v1/cutover",
    "say when the old way closes",
    _everything(Role.USER, Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR),
)
SET_CUTOVER = Route("PUT", "/v1/cutover", "set when it closes", _everything(Role.ADMINISTRATOR))
EXPECTED = Route(
    "GET",
    "/v1/expected",
    "tell the server's time, and how far from it codes are accepted",
    _everything(Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR),
)
MATCH = Route(
    "POST",
    "/v1/devices/{device_id}/matching-steps",
    "say where consecutive codes fit within a day; 10 questions an hour",
    _everything(Role.DESK, Role.ADMINISTRATOR),
)
SEARCH = Route(
    "POST",
    "/v1/devices/{device_id}/search",
    "say where they fit otherwise: another clock, another seed; likewise",
    _everything(Role.DESK, Role.ADMINISTRATOR),
)
ATTEMPTS = Route(
    "GET",
    "/v1/attempts",
    "tell of logins, refused ones too",
    _everything(Role.DESK, Role.ADMINISTRATOR, Role.AUDITOR),
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
    ENROL,
    PROVE,
    PEOPLE,
    ADD_PEOPLE,
    REMOVE_PERSON,
    SET_FALLBACK,
    CUTOVER,
    SET_CUTOVER,
    EXPECTED,
    MATCH,
    SEARCH,
    ATTEMPTS,
    HISTORY,
    AUDIT,
)
