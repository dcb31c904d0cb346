"""Outermost: nobody sends more, or slower, than a request of ours can need; and no defect tells what it knows.

A body is read whole, before anything else sees it, up to MAX_BODY bytes and within BODY_S seconds.
"""

from __future__ import annotations

import asyncio
import logging
import traceback

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provision.errors import Rejected
from provision.servers.service import problems

MAX_BODY = 16_384  # bytes; a registration with the longest names and seed has under 2,000
BODY_S = 10.0  # seconds

_log = logging.getLogger("provision.server")


class Limits:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_marked(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers["Cache-Control"] = "no-store"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        try:
            body = await _body(receive)
        except Rejected as refusal:
            await problems.answer(refusal)(scope, receive, send_marked)
            return
        if body is None:
            return
        unread = [body]

        async def receive_again() -> Message:
            return {"type": "http.request", "body": unread.pop(), "more_body": False} if unread else await receive()

        try:
            await self._app(scope, receive_again, send_marked)
        except Exception as error:  # noqa: BLE001  # the last line of defence: a defect of ours, logged without values
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("internal error: %s in %s, line %s", type(error).__name__, where.name, where.lineno)
            if not begun:
                await problems.defect()(scope, receive, send_marked)


async def _body(receive: Receive) -> bytes | None:
    """All of it, or None if the client went away. Raises Rejected (too-large, too-slow)."""
    body = b""
    try:
        async with asyncio.timeout(BODY_S):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part: bytes = message.get("body", b"")
                body += part
                if len(body) > MAX_BODY:
                    raise Rejected(f"the body has more than {MAX_BODY} bytes", code="too-large")
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise Rejected(f"the body took more than {BODY_S:.0f} s", code="too-slow") from None
