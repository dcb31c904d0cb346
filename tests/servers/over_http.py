"""The service in this process, without a socket: an Exchange (provision/servers/remote.py) that calls the app."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.applications import Starlette

from provision.cli.seed_search import COMMAND
from provision.clock import Clock, ManualClock
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.service.app import create_app
from provision.servers.service.aside import Aside
from provision.servers.web.app import create_site, mount
from provision.servers.web.visit import Front

T = TypeVar("T")


class Service:
    """An app with its pages, on a server of its own, and an event loop that runs while somebody asks. FastAPI takes a
    while to compile its routes, so all share one app. `clock`: the pages'."""

    _compiled: tuple[FastAPI, Starlette] | None = None

    def __init__(self, open_server: Callable[[], EmbeddedServer], clock: Clock | None = None) -> None:
        self.server = open_server()
        self._front = Front.of(self.server, clock or ManualClock(), random.Random(3).randbytes)
        if Service._compiled is None:
            app, site = create_app(self.server, Aside(COMMAND)), create_site(self._front)
            mount(app, site)
            Service._compiled = app, site
        self._app, self._site = Service._compiled
        self.scheme = "http"
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()
        self.server.close()

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exchange(self, api_token: str | None) -> Callable[[str, str, bytes | None], tuple[int, bytes]]:
        """As whoever has `api_token`."""

        def ask(method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
            status, _, answer = self.ask(method, target, body, api_token=api_token)
            return status, answer

        return ask

    def ask(
        self, method: str, target: str, body: bytes | None = None, *, api_token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body."""
        return self.run(self.asked(method, target, body, api_token=api_token, **headers))

    def run(self, asked: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(asked)

    async def asked(
        self, method: str, target: str, body: bytes | None = None, *, api_token: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """As `ask`, for those who ask several things at once."""
        sent = {"content-type": "application/json"} if body is not None else {}
        if api_token is not None:
            sent["authorization"] = f"Bearer {api_token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": self.scheme,
            "path": unquote(path),
            "raw_path": path.encode("ascii"),
            "query_string": query.encode("ascii"),
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
        }
        waiting = [{"type": "http.request", "body": body or b"", "more_body": False}]
        said: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            said.append(dict(message))

        self._app.state.server, self._site.state.front = self.server, self._front
        await self._app(scope, receive, send)
        answer = b"".join(message.get("body", b"") for message in said[1:])
        return said[0]["status"], {k.decode(): v.decode() for k, v in said[0]["headers"]}, answer
