"""The one thread that owns the server's file: what the network asks for at once is done one after the other.

SQLite lets one writer in at a time anyway, so more threads would only wait for each other's locks; and the event loop
goes on serving others while a commit waits for the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.service.permissions import Route, Scope

T = TypeVar("T")


class Worker:
    """Opens the server in its thread; `run` from any event loop, `close` once."""

    def __init__(self, open_server: Callable[[], EmbeddedServer]) -> None:
        """Raises what `open_server` raises."""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="server")
        try:
            self._server = self._thread.submit(open_server).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def run(self, job: Callable[[EmbeddedServer], T]) -> T:
        """What `job` returns or raises. One that has begun is finished, even if nobody waits for it any more."""
        return await asyncio.wrap_future(self._thread.submit(job, self._server))

    async def run_as(self, api_token: str, route: Route, act: Callable[[EmbeddedServer], T]) -> T:
        """`act`, in the name of whoever has `api_token`, as far as `route` lets them.

        Raises Rejected (unauthenticated, forbidden), and what `act` raises.
        """

        def job(server: EmbeddedServer) -> T:
            holder = server.holder(api_token)
            own_only = holder.user if route.scope(holder.role) is Scope.OWN else None
            with server.acting_as(holder.name, own_only=own_only):
                return act(server)

        return await self.run(job)

    def close(self) -> None:
        """After what was asked for is done."""
        self._thread.submit(self._server.close).result()
        self._thread.shutdown()
