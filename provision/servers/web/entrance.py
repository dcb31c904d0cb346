"""Sign in and out. There is no identity here but the API tokens, so one of those is what a person signs in by."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from provision.errors import Rejected
from provision.model import Secret
from provision.servers.roles import Role
from provision.servers.web import pages, render
from provision.servers.web.sessions import Notice
from provision.servers.web.visit import COOKIE, Front, Visit, read_form, redirect

# What the sign-in page may be asked to say; it has no words of its own.
WHY = {
    "unknown": Notice(
        "The server does not know this API token. Copy all of it, from hwt_ to its end. If it may have been revoked, "
        "ask whoever gave it to you for a new one.",
        is_problem=True,
        field="api_token",
    ),
    "role": Notice(
        "This API token is for a program, and opens no pages. Use the one that was given to you as a person.",
        is_problem=True,
        field="api_token",
    ),
    "revoked": Notice(
        "Your API token is not valid any more. Ask whoever gave it to you for a new one.", is_problem=True
    ),
    "over": Notice("You were signed out, because nothing happened here for a while. Sign in again.", is_problem=False),
    "late": Notice(
        "You were signed out, because nothing happened here for a while, so what you just sent was not done. "
        "Sign in again, and send it once more.",
        is_problem=True,
    ),
}


async def home(request: Request, front: Front) -> Response:
    session = front.sessions.find(request.cookies.get(COOKIE, ""))
    return redirect(pages.SIGN_IN.path if session is None else _first_page(session.holder.role))


async def style(_request: Request, _front: Front) -> Response:
    return Response(render.STYLE, media_type="text/css")


async def ask(request: Request, _front: Front) -> HTMLResponse:
    return render.page("sign_in.html", notice=WHY.get(request.query_params.get("why", "")))


async def sign_in(request: Request, front: Front) -> RedirectResponse:
    form = await read_form(request)
    api_token = form.get("api_token", "").strip()
    try:
        holder = front.server.holder(api_token)
    except Rejected:
        return _back("unknown")
    if holder.role not in pages.SIGNED_IN:
        return _back("role")
    front.sessions.end(request.cookies.get(COOKIE, ""))
    answer = redirect(_first_page(holder.role))
    answer.set_cookie(
        COOKIE,
        front.sessions.begin(Secret(api_token.encode("ascii")), holder),
        path=pages.ROOT,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


async def sign_out(visit: Visit) -> RedirectResponse:
    visit.front.sessions.end(visit.request.cookies[COOKIE])
    answer = redirect(pages.SIGN_IN.path)
    answer.delete_cookie(COOKIE, path=pages.ROOT)
    return answer


def _back(why: str) -> RedirectResponse:
    return redirect(f"{pages.SIGN_IN.path}?why={why}")


def _first_page(role: Role) -> str:
    return pages.DEVICES.path if role in pages.PERSON else pages.DESK.path
