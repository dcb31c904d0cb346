"""What the network asks for, in the name of whoever's API token came with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from provision.errors import Unreachable
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.storage import BUSY_TIMEOUT_S, is_held
from provision.servers.service.permissions import Route, Scope

PATIENCE_S = BUSY_TIMEOUT_S  # seconds for which an act waits for another process that holds the file
RETRY_S = 0.02  # seconds

T = TypeVar("T")


async def act_as(server: EmbeddedServer, api_token: str, route: Route, act: Callable[[EmbeddedServer], T]) -> T:
    """`act`, in the name of whoever has `api_token`, as far as `route` lets them.

    Done on the event loop itself, one after the other: SQLite lets one writer in at a time, and to hand a check to a
    thread takes longer than its commit. Only who has to wait for another process waits beside it, and tries anew; an
    act writes in one transaction, so that nothing is done twice.

    Raises Rejected (unauthenticated, forbidden), and what `act` raises.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + PATIENCE_S
    while True:
        try:
            return _act_as(server, api_token, route, act)
        except Unreachable as error:
            if not is_held(error) or loop.time() >= until:
                raise
        await asyncio.sleep(RETRY_S)


def _act_as(server: EmbeddedServer, api_token: str, route: Route, act: Callable[[EmbeddedServer], T]) -> T:
    holder = server.holder(api_token)
    own_only = holder.user if route.scope(holder.role) is Scope.OWN else None
    with server.acting_as(holder.name, own_only=own_only):
        return act(server)
