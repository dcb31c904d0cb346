"""What the network asks for, in the name of whoever's API token came with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.service.permissions import Route, Scope

T = TypeVar("T")


def act_as(server: EmbeddedServer, api_token: str, route: Route, act: Callable[[EmbeddedServer], T]) -> T:
    """`act`, in the name of whoever has `api_token`, as far as `route` lets them.

    Done where it is called, on the event loop: SQLite lets one writer in at a time, and to hand a check to a thread
    takes longer than its commit. So one thing is done after the other, each to its end.

    Raises Rejected (unauthenticated, forbidden), and what `act` raises.
    """
    holder = server.holder(api_token)
    own_only = holder.user if route.scope(holder.role) is Scope.OWN else None
    with server.acting_as(holder.name, own_only=own_only):
        return act(server)
