"""Every page, and whose it is. The one place where that is said; docs/WEB.md shows it as a table.

A page does nothing of its own: it takes routes of the API (service/permissions.py), in the name of whoever's API token
signed in, and the server asks there whether it may.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from provision.servers.roles import Role
from provision.servers.service import permissions
from provision.servers.service.permissions import Route

ROOT = "/web"

PERSON = frozenset({Role.USER})
HELPERS = frozenset({Role.DESK, Role.ADMINISTRATOR})
LEADERS = frozenset({Role.ADMINISTRATOR})
SIGNED_IN = PERSON | HELPERS


@dataclass(frozen=True, slots=True, eq=False)
class Page:
    """Each exists once. `path`: below ROOT. `roles`: for whom; None: anybody, signed in or not. `takes`: the route by
    which it reads or acts, None if it touches nothing of the server."""

    method: str
    path: str
    summary: str
    roles: frozenset[Role] | None
    takes: Route | None = None


HOME = Page("GET", "/", "to one's own first page", None)
STYLE = Page("GET", "/style.css", "how it looks", None)
SIGN_IN = Page("GET", "/sign-in", "ask who is there", None)
SIGNED = Page("POST", "/sign-in", "sign in by an API token", None)
SIGN_OUT = Page("POST", "/sign-out", "sign out", SIGNED_IN)

DEVICES = Page("GET", "/devices", "one's own devices", PERSON, permissions.LIST)
NEW = Page("GET", "/devices/new", "ask what a new device is called", PERSON)
ADD = Page("POST", "/devices/new", "make a seed, to be shown once", PERSON, permissions.ENROL)
PROVING = Page(
    "GET", "/devices/{device_id}/prove", "show the seed, once, and ask for a code", PERSON, permissions.STATE
)
PROVE = Page("POST", "/devices/{device_id}/prove", "prove a new device by a code", PERSON, permissions.PROVE)
RENAMING = Page("GET", "/devices/{device_id}/rename", "ask for another name", PERSON, permissions.STATE)
RENAME = Page("POST", "/devices/{device_id}/rename", "rename a device", PERSON, permissions.RENAME)
DELETING = Page("GET", "/devices/{device_id}/delete", "say what a deletion would mean", PERSON, permissions.LIST)
DELETE = Page("POST", "/devices/{device_id}/delete", "delete a device", PERSON, permissions.DELETE)

DESK = Page("GET", "/desk", "search for a person", HELPERS, permissions.LIST)
HELPED = Page("GET", "/desk/person", "a person's state and devices", HELPERS, permissions.LIST)
FALLBACK = Page("POST", "/desk/person/fallback", "open the old way for a time", HELPERS, permissions.SET_FALLBACK)
RESYNCING = Page("GET", "/desk/devices/{device_id}/resync", "ask for two codes", HELPERS, permissions.STATE)
RESYNC = Page("POST", "/desk/devices/{device_id}/resync", "learn a device's clock", HELPERS, permissions.RESYNC)
UNLOCK = Page(
    "POST", "/desk/devices/{device_id}/enable", "switch a device on, and unlock its person", LEADERS, permissions.ENABLE
)
DESK_DELETING = Page(
    "GET", "/desk/devices/{device_id}/delete", "say what a deletion would mean", HELPERS, permissions.STATE
)
DESK_DELETE = Page("POST", "/desk/devices/{device_id}/delete", "delete a wrong device", HELPERS, permissions.DELETE)


def at(page: Page, device_id: str) -> str:
    """The path of a device's page."""
    return page.path.format(device_id=quote(device_id, safe=""))
