"""The pages as one ASGI application, to be mounted at pages.ROOT of the service."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from provision.errors import ProvisionError, Rejected, Unreachable
from provision.servers.web import desk, entrance, pages, people, render
from provision.servers.web.pages import Page
from provision.servers.web.visit import Front, NotSignedIn, Refused, Visit, arrive, redirect

_OPEN: Mapping[Page, Callable[[Request, Front], Awaitable[Response]]] = {
    pages.HOME: entrance.home,
    pages.STYLE: entrance.style,
    pages.SIGN_IN: entrance.ask,
    pages.SIGNED: entrance.sign_in,
}
_SIGNED_IN: Mapping[Page, Callable[[Visit], Awaitable[Response]]] = {
    pages.SIGN_OUT: entrance.sign_out,
    **people.HANDLERS,
    **desk.HANDLERS,
}
PAGES = (*_OPEN, *_SIGNED_IN)

# Referrer-Policy: with no-referrer, browsers would send `Origin: null` with our own forms too.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}

_log = logging.getLogger("provision.server")


def create_site(front: Front) -> Starlette:
    """All pages."""
    routes = [_route(page, _to_anybody(handler)) for page, handler in _OPEN.items()]
    routes += [_route(page, _to_the_signed_in(page, handler)) for page, handler in _SIGNED_IN.items()]
    site = Starlette(
        routes=routes,
        middleware=[Middleware(_Headers)],
        exception_handlers={
            NotSignedIn: _not_signed_in,
            Refused: _refused,
            ProvisionError: _rejected,
            Unreachable: _unreachable,
            HTTPException: _unrouted,
            Exception: _defect,
        },
    )
    site.router.redirect_slashes = False  # as in the service
    site.state.front = front
    return site


def mount(app: FastAPI, site: Starlette) -> None:
    """Add the pages to the service `app`, and a way to them from its root."""
    app.mount(pages.ROOT + "/", site)
    for path in ("/", pages.ROOT):
        app.add_route(path, lambda _request: redirect(pages.HOME.path), include_in_schema=False)


def _route(page: Page, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
    return Route(page.path, endpoint, methods=[page.method])


def _to_anybody(handler: Callable[[Request, Front], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(request, request.app.state.front)

    return endpoint


def _to_the_signed_in(
    page: Page, handler: Callable[[Visit], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await handler(await arrive(request, request.app.state.front, page))

    return endpoint


class _Headers:
    """ASGI middleware: what every answer says to the browser."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_marked)


def _not_signed_in(_request: Request, error: Exception) -> RedirectResponse:
    assert isinstance(error, NotSignedIn)
    return redirect(pages.SIGN_IN.path + (f"?why={error.why}" if error.why else ""))


def _refused(_request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, Refused)
    return render.page("refused.html", error.status, text=error.text)


def _rejected(_request: Request, error: Exception) -> HTMLResponse:
    """By the server itself, where no page of ours would have led."""
    if isinstance(error, Rejected) and error.code == "unknown-device":
        return render.page("refused.html", 404, text="This device is not there any more.")
    return render.page("refused.html", 403, text="This cannot be done. Nothing was changed.")


def _unreachable(_request: Request, error: Exception) -> HTMLResponse:
    _log.error("%s", error)
    return render.page(
        "refused.html", 503, text="The server cannot use its database now. Nothing was changed. Try again in a minute."
    )


def _unrouted(_request: Request, error: Exception) -> HTMLResponse:
    assert isinstance(error, HTTPException)
    return render.page("refused.html", error.status_code, text="There is no such page.")


def _defect(_request: Request, _error: Exception) -> HTMLResponse:
    """Told by the service's outermost layer to its log."""
    return render.page(
        "refused.html", 500, text="The server has a defect, and could not finish this. Tell your support desk."
    )
