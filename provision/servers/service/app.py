"""The routes: what comes over HTTP, done by the embedded server in the name of whoever's API token came with it."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import compile_path

from provision.errors import InputError, ProvisionError, Rejected, Unreachable
from provision.model import Secret
from provision.servers.backend import Acceptance, Device, HistoryEntry, Person, Registration, SeedSide
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.questions import require_codes
from provision.servers.plain import plain_fits
from provision.servers.service import permissions, problems
from provision.servers.service.acting import act_as
from provision.servers.service.aside import Aside
from provision.servers.service.limits import Limits
from provision.servers.service.messages import (
    AttemptPage,
    AuditPage,
    CodeGiven,
    CodesGiven,
    Cutover,
    CutoverGiven,
    Devices,
    DriftGiven,
    Enrolled,
    EnrolmentGiven,
    Expected,
    FallbackGiven,
    FirstCodeGiven,
    FitsTold,
    HistoryPage,
    NameGiven,
    NewPeople,
    People,
    PeopleGiven,
    RegistrationGiven,
    SearchGiven,
    Steps,
    StepsGiven,
    UserGiven,
)
from provision.servers.service.permissions import Route, Scope

PAGE = 1000  # entries of a log in one answer
_LAST_ID = 2**63 - 1  # of SQLite
_SCHEME = "API token"  # as OpenAPI calls the way in

T = TypeVar("T")
Handler = TypeVar("Handler", bound=Callable[..., Any])
_log = logging.getLogger("provision.server")

_router = APIRouter()
After = Annotated[int, Query(ge=0, le=_LAST_ID, description="only entries after this one")]
Since = Annotated[float, Query(allow_inf_nan=False, description="only what was done from then on, Unix seconds")]
Limit = Annotated[int, Query(ge=1, le=PAGE, description="how many entries at most")]


class _Service(FastAPI):
    def openapi(self) -> dict[str, Any]:
        """The way in is said rather than done by FastAPI's own: the API token is looked at where the work is done, and
        once is enough."""
        told = super().openapi()
        told["components"]["securitySchemes"] = {_SCHEME: {"type": "http", "scheme": "bearer"}}
        return told


def create_app(server: EmbeddedServer, aside: Aside) -> FastAPI:
    """The ASGI application on a `server`, which stays the caller's to close. `aside`: where it searches."""
    app = _Service(
        title="hwtoken server",
        version="1",
        description="Checks codes of hardware tokens and apps, and keeps who has which. docs/SERVER.md tells more.",
        docs_url=None,  # FastAPI's page runs scripts from another host, where API tokens are typed in
        redoc_url=None,
        redirect_slashes=False,  # it would redirect to where the Host header says
        responses=problems.RESPONSES,
    )
    app.state.server = server
    app.state.aside = aside
    app.include_router(_router)
    app.add_exception_handler(ProvisionError, _refused)
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_middleware(Limits)
    return app


def _serves(route: Route, **more: Any) -> Callable[[Handler], Handler]:
    """The decorator of the function behind a route."""
    able = ", ".join(role.value + (" (own)" if scope is Scope.OWN else "") for role, scope in route.scopes.items())
    return _router.api_route(
        route.path,
        methods=[route.method],
        summary=route.summary,
        description=f"Roles: {able}.",
        openapi_extra={"security": [{_SCHEME: []}]},
        **more,
    )


@_serves(permissions.CHECK)
async def check(request: Request, given: CodeGiven) -> Acceptance:
    return await _done(
        request, permissions.CHECK, lambda server: server.check(given.user, given.code, device_id=given.device_id)
    )


@_serves(permissions.LIST)
async def list_devices(request: Request, user: str | None = None) -> Devices:
    return await _done(request, permissions.LIST, lambda server: Devices(server.list(user)))


@_serves(permissions.REGISTER, status_code=201)
async def register(request: Request, given: RegistrationGiven) -> Device:
    registration = Registration(
        given.uuid,
        given.user,
        given.name,
        given.serial,
        _decoded(given.secret.get_secret_value()),
        given.parameters(),
    )
    return await _done(request, permissions.REGISTER, lambda server: server.register(registration))


@_serves(permissions.STATE)
async def state(request: Request, device_id: str) -> Device:
    return await _done(request, permissions.STATE, lambda server: server.device(device_id))


@_serves(permissions.RENAME, status_code=204)
async def rename(request: Request, device_id: str, given: NameGiven) -> None:
    await _done(request, permissions.RENAME, lambda server: server.rename(device_id, given.name))


@_serves(permissions.DELETE, status_code=204)
async def delete(request: Request, device_id: str, even_if_locked_out: bool = False) -> None:
    await _done(
        request,
        permissions.DELETE,
        lambda server: server.delete(device_id, even_if_locked_out=even_if_locked_out),
    )


@_serves(permissions.RESYNC)
async def resync(request: Request, device_id: str, given: CodesGiven) -> Acceptance:
    return await _done(request, permissions.RESYNC, lambda server: server.resync(device_id, given.first, given.second))


@_serves(permissions.SET_DRIFT, status_code=204)
async def set_drift(request: Request, device_id: str, given: DriftGiven) -> None:
    await _done(request, permissions.SET_DRIFT, lambda server: server.set_drift(device_id, given.drift_steps))


@_serves(permissions.ASSIGN, status_code=204)
async def assign(request: Request, device_id: str, given: UserGiven) -> None:
    await _done(request, permissions.ASSIGN, lambda server: server.assign(device_id, given.user))


@_serves(permissions.UNASSIGN, status_code=204)
async def unassign(request: Request, device_id: str) -> None:
    await _done(request, permissions.UNASSIGN, lambda server: server.unassign(device_id))


@_serves(permissions.DISABLE, status_code=204)
async def disable(request: Request, device_id: str) -> None:
    await _done(request, permissions.DISABLE, lambda server: server.disable(device_id))


@_serves(permissions.ENABLE, status_code=204)
async def enable(request: Request, device_id: str) -> None:
    await _done(request, permissions.ENABLE, lambda server: server.enable(device_id))


@_serves(permissions.ENROL, status_code=201)
async def enrol(request: Request, given: EnrolmentGiven) -> Enrolled:
    made = await _done(
        request, permissions.ENROL, lambda server: server.enrol(given.user, given.name, parameters=given.parameters())
    )
    return Enrolled(made.device, made.otpauth.reveal().decode("ascii"))


@_serves(permissions.PROVE)
async def prove(request: Request, device_id: str, given: FirstCodeGiven) -> Acceptance:
    return await _done(request, permissions.PROVE, lambda server: server.prove(device_id, given.code))


@_serves(permissions.PEOPLE)
async def people(request: Request) -> People:
    return await _done(request, permissions.PEOPLE, lambda server: People(server.people()))


@_serves(permissions.ADD_PEOPLE)
async def add_people(request: Request, given: PeopleGiven) -> NewPeople:
    return await _done(request, permissions.ADD_PEOPLE, lambda server: NewPeople(server.add_people(given.users)))


@_serves(permissions.REMOVE_PERSON, status_code=204)
async def remove_person(request: Request, user: str) -> None:
    await _done(request, permissions.REMOVE_PERSON, lambda server: server.remove_person(user))


@_serves(permissions.SET_FALLBACK)
async def set_fallback(request: Request, given: FallbackGiven) -> Person:
    return await _done(request, permissions.SET_FALLBACK, lambda server: server.set_fallback(given.user, given.until_s))


@_serves(permissions.CUTOVER)
async def cutover(request: Request) -> Cutover:
    return await _done(request, permissions.CUTOVER, lambda server: Cutover(server.cutover_s))


@_serves(permissions.SET_CUTOVER, status_code=204)
async def set_cutover(request: Request, given: CutoverGiven) -> None:
    await _done(request, permissions.SET_CUTOVER, lambda server: server.set_cutover(given.cutover_s))


@_serves(permissions.EXPECTED)
async def expected(request: Request) -> Expected:
    return await _done(request, permissions.EXPECTED, lambda server: Expected(server.now(), *server.window_steps))


@_serves(permissions.MATCH)
async def matching_steps(request: Request, device_id: str, given: StepsGiven) -> Steps:
    steps = range(given.start, given.stop)
    return await _done(
        request, permissions.MATCH, lambda server: Steps(server.matching_steps(device_id, given.codes, steps))
    )


@_serves(permissions.SEARCH, response_model=FitsTold)
async def search(request: Request, device_id: str, given: SearchGiven) -> dict[str, Any]:
    def seed_side(server: EmbeddedServer) -> SeedSide:
        require_codes(given.codes)
        return server.seed_side(device_id)

    side = await _done(request, permissions.SEARCH, seed_side)
    aside: Aside = request.app.state.aside
    return plain_fits(await aside.search(side, given.codes, given.first_s))


@_serves(permissions.ATTEMPTS)
async def attempts(request: Request, since_s: Since = 0, after: After = 0, limit: Limit = PAGE) -> AttemptPage:
    def read(server: EmbeddedServer) -> AttemptPage:
        found = server.numbered_attempts(since_s, after=after, limit=limit)
        return AttemptPage([attempt for _, attempt in found], found[-1][0] if len(found) == limit else None)

    return await _done(request, permissions.ATTEMPTS, read)


@_serves(permissions.HISTORY)
async def history(request: Request, device_id: str | None = None, after: After = 0, limit: Limit = PAGE) -> HistoryPage:
    def read(server: EmbeddedServer) -> HistoryPage:
        found = server.audit(device_id, after=after, limit=limit, of_clocks=True)
        entries = [HistoryEntry(one.device_id, one.at_s, one.step) for one in found if one.device_id is not None]
        return HistoryPage(entries, found[-1].audit_id if len(found) == limit else None)

    return await _done(request, permissions.HISTORY, read)


@_serves(permissions.AUDIT)
async def audit(request: Request, device_id: str | None = None, after: After = 0, limit: Limit = PAGE) -> AuditPage:
    def read(server: EmbeddedServer) -> AuditPage:
        found = server.audit(device_id, after=after, limit=limit)
        return AuditPage(found, found[-1].audit_id if len(found) == limit else None)

    return await _done(request, permissions.AUDIT, read)


async def _done(request: Request, route: Route, act: Callable[[EmbeddedServer], T]) -> T:
    """`act`, in the name of who asks. Raises Rejected (unauthenticated, forbidden), and what `act` raises."""
    scheme, _, api_token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise Rejected(
            "this needs an API token", code="unauthenticated", hint="send it as `Authorization: Bearer hwt_...`"
        )

    server: EmbeddedServer = request.app.state.server
    return await act_as(server, api_token.strip(), route, act)


def _decoded(base32: str) -> Secret:
    try:
        return Secret(base64.b32decode(base32 + "=" * (-len(base32) % 8)))
    except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
        raise InputError("the secret is not Base32", hint="A-Z and 2-7, without padding") from None


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProvisionError)
    if isinstance(error, Unreachable):
        _log.error("%s", error)
    return problems.answer(error)


async def _misshapen(_request: Request, error: Exception) -> JSONResponse:
    """What does not fit the schema: told where and why, without what was sent, which may be a seed or a code."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][:2]) if first["type"] != "extra_forbidden" else "a field"
    return problems.answer(InputError(f"{where}: {first['msg']}", hint="see /openapi.json"))


async def _unrouted(request: Request, error: Exception) -> JSONResponse:
    """What the framework itself refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        refusal: ProvisionError = Rejected("there is no such route", code="no-such-route", hint="see /openapi.json")
    elif error.status_code == 405:
        refusal = Rejected("not by this method", code="no-such-method", hint="see /openapi.json")
    else:
        refusal = InputError("the body is not JSON")
    told = problems.answer(refusal)
    if error.status_code == 405:
        told.headers["Allow"] = ", ".join(_methods(request.url.path))
    return told


def _methods(path: str) -> list[str]:
    """All that it is served by (RFC 9110 section 15.5.6): the framework tells those of one route of it."""
    return sorted(route.method for route in permissions.ROUTES if compile_path(route.path)[0].match(path)) or ["GET"]
