"""One request of somebody who is signed in: who it is, what the form said, what may be done in their name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from provision.clock import Clock
from provision.errors import Rejected
from provision.servers.embedded.api_tokens import ApiToken
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.keys import Random
from provision.servers.service.acting import act_as
from provision.servers.web import origin, render
from provision.servers.web.pages import ROOT, SIGN_OUT, Page
from provision.servers.web.sessions import Notice, Session, Sessions

COOKIE = "hwtoken"
_MAX_FIELDS = 10

T = TypeVar("T")


class NotSignedIn(Exception):
    """`why`: a key of entrance.WHY, None if there is nothing to explain."""

    def __init__(self, why: str | None) -> None:
        super().__init__(why)
        self.why = why


class Refused(Exception):
    """A request that no page of ours makes. `status`; `text` for whoever sees it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(frozen=True, slots=True)
class Front:
    """What all requests share."""

    server: EmbeddedServer
    clock: Clock
    sessions: Sessions

    @classmethod
    def of(cls, server: EmbeddedServer, clock: Clock, random: Random) -> Self:
        """Before anybody has signed in."""
        return cls(server, clock, Sessions(clock, random))


@dataclass(frozen=True, slots=True)
class Visit:
    request: Request
    front: Front
    page: Page
    session: Session
    form: Mapping[str, str]

    @property
    def holder(self) -> ApiToken:
        return self.session.holder

    @property
    def user(self) -> str:
        """The person who is signed in, on a page for people."""
        assert self.holder.user is not None
        return self.holder.user

    @property
    def now_s(self) -> float:
        return self.front.clock.now()

    @property
    def device_id(self) -> str:
        found: str = self.request.path_params["device_id"]
        return found

    async def done(self, act: Callable[[EmbeddedServer], T]) -> T:
        """`act`, by the page's route. Raises NotSignedIn if the API token was just revoked, and what `act` raises."""
        assert self.page.takes is not None
        try:
            return await act_as(self.front.server, self._api_token, self.page.takes, act)
        except Rejected as error:
            raise self._told_apart(error) from None

    def look(self) -> None:
        """Whether the API token is still good, which every page asks, also one that asks nothing else."""
        try:
            self.front.server.holder(self._api_token)
        except Rejected as error:
            raise self._told_apart(error) from None

    @property
    def _api_token(self) -> str:
        return self.session.api_token.reveal().decode()

    def _told_apart(self, error: Rejected) -> Rejected | NotSignedIn:
        """A refusal of the API token itself ends the session."""
        if error.code != "unauthenticated":
            return error
        self.front.sessions.end(self.request.cookies[COOKIE])
        return NotSignedIn("revoked")

    def show(self, template: str, **values: Any) -> HTMLResponse:
        """A page, with the notice that waited for it."""
        notice, self.session.notice = self.session.notice, None
        return render.page(
            template,
            holder=self.holder,
            form_token=self.session.form_token,
            notice=notice,
            now_s=self.now_s,
            **values,
        )

    def go(self, path: str, said: str | None = None) -> RedirectResponse:
        """On to a page of ours, which says that something was done."""
        if said is not None:
            self.session.notice = Notice(said, is_problem=False)
        return redirect(path)

    def again(self, path: str, problem: str, field: str | None = None, typed: str = "") -> RedirectResponse:
        """Back to a page of ours, which says what was wrong with `field`."""
        self.session.notice = Notice(problem, is_problem=True, field=field, typed=typed)
        return redirect(path)


def redirect(path: str) -> RedirectResponse:
    """To a page of ours, by its path alone: no header of the request can lead anybody elsewhere."""
    return RedirectResponse(ROOT + path, 303)


async def arrive(request: Request, front: Front, page: Page) -> Visit:
    """Raises NotSignedIn, also for an API token that is revoked by now, and Refused for a page of somebody else, or a
    form that no page of this session sent."""
    session_id = request.cookies.get(COOKIE)
    session = front.sessions.find(session_id) if session_id else None
    if session is None:
        sent = page.method == "POST" and page is not SIGN_OUT
        raise NotSignedIn(("late" if sent else "over") if session_id else None)
    visit = Visit(request, front, page, session, await read_form(request) if page.method == "POST" else {})
    visit.look()
    if page.roles is None or visit.holder.role not in page.roles:
        raise Refused(403, "This page is not for you.")
    if page.method == "POST" and not session.is_own_form(visit.form.get("form_token", "")):
        raise Refused(403, "This form is from an earlier visit. Nothing was changed.")
    return visit


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form that a page of ours sent; of a field that comes twice, the last. Raises Refused."""
    if not origin.is_same(request.headers):
        raise Refused(403, "This form did not come from a page of this server. Nothing was changed.")
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise Refused(415, "This is not a form of this server. Nothing was changed.")
    try:
        return dict(
            parse_qsl((await request.body()).decode("ascii"), True, max_num_fields=_MAX_FIELDS, errors="strict")
        )
    except ValueError:  # too many fields, or bytes that are no text
        raise Refused(400, "This form cannot be read. Nothing was changed.") from None


def digits_of(form: Mapping[str, str], field: str) -> str:
    """A code as it was typed, without the space that apps show in its middle."""
    return "".join(form.get(field, "").split())
