"""The server over HTTP, promise by promise: who may do what, what is refused and how, and what no answer tells."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import socket
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import AlreadyRegistered, CodeMismatch, CodeReplayed, InputError, Rejected, Throttled, Unreachable
from provision.model import Algorithm, OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.seeds.otpauth import parse_otpauth
from provision.servers.backend import Enrolment, Registration, ServerCapability
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.remote import RemoteServer
from provision.servers.roles import Role
from provision.servers.service import acting, limits, permissions, problems, run
from provision.servers.service.permissions import ROUTES, Route, Scope
from tests.servers.over_http import Service

START_S = 1_767_225_600.0
TOTP = OtpParameters()
NOW = TOTP.step_at(START_S)
SEED = Secret(b"planted secret: 20 b")
ALICES, BOBS, SPARE = (str(UUID(int=number)) for number in (1, 2, 3))


def code(step: int) -> str:
    return code_at(SEED, TOTP, step)


def first_code(made: Enrolment) -> str:
    uri = parse_otpauth(made.otpauth.reveal().decode())
    return code_at(uri.secret, uri.parameters, NOW)


class World:
    """A service on a copy of what `populate` made."""

    def __init__(self, folder: Path, made: tuple[Path, dict[Role, str]]) -> None:
        original, self.tokens = made
        shutil.copytree(original, folder, dirs_exist_ok=True)
        self.path, self.clock = folder / "server.db", ManualClock(START_S)
        self.service = Service(self.open)

    def open(self) -> EmbeddedServer:
        return EmbeddedServer(self.path, self.clock, random.Random(2).randbytes)

    def server(self, role: Role = Role.ADMINISTRATOR) -> RemoteServer:
        return RemoteServer(self.service.exchange(self.tokens[role]))

    def ask(self, method: str, target: str, given: Any = None, *, role: Role | None = Role.ADMINISTRATOR) -> Any:
        """Status and, of an error, its type and code; else the answer."""
        body = None if given is None else json.dumps(given).encode()
        status, _, answer = self.service.ask(method, target, body, api_token=role and self.tokens[role])
        told = json.loads(answer) if answer else None
        return (status, told["error"]) if status >= 400 else (status, told)


def populate(path: Path) -> dict[Role, str]:
    """A server with two people's devices and one that nobody has; an API token of each role."""
    tokens = {}
    with EmbeddedServer.init(path, ManualClock(START_S), random.Random(1).randbytes) as server:
        for role in Role:
            user = "alice" if role is Role.USER else None
            tokens[role] = server.create_api_token(f"token of {role.value}", role, user)[1].reveal().decode()
        for number, user in ((1, "alice"), (2, "bob"), (3, "carol")):
            secret = SEED if number == 1 else Secret(SEED.reveal()[:-1] + bytes([number]))
            server.register(Registration(UUID(int=number), user, f"desk {number}", f"SN{number}", secret, TOTP))
        server.set_cutover(START_S + 3600)
        server.add_people(["dora"])
        server.unassign(SPARE)
    return tokens


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Role, str]]:
    folder = tmp_path_factory.mktemp("made")
    return folder, populate(folder / "server.db")


@pytest.fixture
def world(tmp_path: Path, made: tuple[Path, dict[Role, str]]) -> Iterator[World]:
    world = World(tmp_path, made)
    with world.service:
        yield world


# who may do what

BODIES: dict[Route, dict[str, Any]] = {
    permissions.CHECK: {"user": "alice", "code": code(NOW)},
    permissions.REGISTER: {"uuid": str(UUID(int=9)), "user": "dan", "name": "new", "secret": "GEZDGNBVGY3TQOJQ"},
    permissions.RENAME: {"name": "drawer"},
    permissions.RESYNC: {"first": code(NOW), "second": code(NOW + 1)},
    permissions.SET_DRIFT: {"drift_steps": 2},
    permissions.MATCH: {"codes": [code(NOW), code(NOW + 1)], "start": NOW, "stop": NOW + 9},
    permissions.SEARCH: {"codes": [code(NOW), code(NOW + 1)], "first_s": int(START_S)},
    permissions.ASSIGN: {"user": "dan"},
    permissions.ENROL: {"user": "alice", "name": "phone"},
    permissions.PROVE: {"code": "000000"},
    permissions.ADD_PEOPLE: {"users": ["dan", "eve"]},
    permissions.SET_FALLBACK: {"user": "alice", "until_s": START_S + 3600},
    permissions.SET_CUTOVER: {"cutover_s": START_S + 86_400},
}
QUERIES = {permissions.DELETE: "even_if_locked_out=true", permissions.REMOVE_PERSON: "user=dora"}


def target_of(route: Route, device: str) -> str:
    query = f"?{QUERIES[route]}" if route in QUERIES else ""
    return route.path.format(device_id=device) + query


@pytest.mark.parametrize("role", [*Role, None], ids=lambda role: "nobody" if role is None else role.value)
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_by_every_role(world: World, route: Route, role: Role | None) -> None:
    device = SPARE if route is permissions.ASSIGN else ALICES
    body = BODIES.get(route)
    if route is permissions.PROVE:
        made = world.server().enrol("alice", "phone")
        device, body = made.device.device_id, {"code": first_code(made)}
    before = list(world.server().list())
    answer = world.ask(route.method, target_of(route, device), body, role=role)
    if role is None:
        assert (answer[0], answer[1]["code"]) == (401, "unauthenticated")
    elif role not in route.scopes:
        assert (answer[0], answer[1]["code"]) == (403, "forbidden")
    else:
        assert answer[0] in (200, 201, 204)
    if role is None or role not in route.scopes:
        assert world.server().list() == before


OF_A_DEVICE = [route for route in ROUTES if Role.USER in route.scopes and "{device_id}" in route.path]


@pytest.mark.parametrize("route", OF_A_DEVICE, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize("device", [BOBS, SPARE, "nobody"])
def test_other_peoples_devices_do_not_exist_for_a_person(world: World, route: Route, device: str) -> None:
    before = world.server().list()
    answer = world.ask(route.method, route.path.format(device_id=device), BODIES.get(route), role=Role.USER)
    assert (answer[0], answer[1]["code"]) == (404, "unknown-device")
    assert world.server().list() == before


def test_a_person_sees_their_own_devices_only(world: World) -> None:
    assert [device.device_id for device in world.server(Role.USER).list()] == [ALICES]
    assert not world.server(Role.USER).list("bob")


def test_own_is_promised_only_where_the_server_keeps_it() -> None:
    """EmbeddedServer.acting_as limits what lists and what names a device; a login or a log it does not."""
    kept = {permissions.LIST, permissions.STATE, permissions.RENAME, permissions.DELETE}
    kept |= {permissions.ENROL, permissions.PROVE, permissions.PEOPLE}
    assert {route for route in ROUTES if Scope.OWN in route.scopes.values()} == kept


def test_openapi_has_the_table_and_nothing_else(world: World) -> None:
    status, _, answer = world.service.ask("GET", "/openapi.json")
    told = json.loads(answer)
    assert status == 200
    assert {(method.upper(), path) for path, methods in told["paths"].items() for method in methods} == {
        (route.method, route.path) for route in ROUTES
    }
    for route in ROUTES:
        shown = told["paths"][route.path][route.method.lower()]
        assert shown["summary"] == route.summary
        assert [*shown["security"][0]] == [*told["components"]["securitySchemes"]]
        assert {"401", "403", "422", "503"} < shown["responses"].keys()
        for role in Role:
            assert (role.value in shown["description"]) == (role in route.scopes)


def test_a_revoked_token_lets_nobody_in_from_the_next_request_on(world: World) -> None:
    assert world.ask("GET", "/v1/devices", role=Role.DESK)[0] == 200
    with world.open() as file:
        file.revoke_api_token("token of desk")
    assert world.ask("GET", "/v1/devices", role=Role.DESK)[0] == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "bearer hwt_0_0", "Bearer \xff"])
def test_what_is_no_token(world: World, authorization: str) -> None:
    status, headers, answer = world.service.ask("GET", "/v1/devices", authorization=authorization)
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(answer)["error"]["code"] == "unauthenticated"


def test_the_log_says_who_did_it(world: World) -> None:
    world.server(Role.USER).rename(ALICES, "drawer")
    world.server(Role.DESK).delete(BOBS)
    world.server(Role.RELYING_PARTY).check("alice", code(NOW))
    with pytest.raises(Rejected):
        world.server(Role.AUDITOR).delete(ALICES)
    entries = world.ask("GET", "/v1/audit", role=Role.AUDITOR)[1]["entries"]
    assert [(entry["action"], entry["actor"], entry["user"]) for entry in entries[-3:]] == [
        ("rename", "token of user", "alice"),
        ("delete", "token of desk", "bob"),
        ("check", "token of relying-party", "alice"),
    ]
    assert {entry["actor"] for entry in entries[:-3]} == {None}


def test_what_is_registered_is_what_was_given(world: World) -> None:
    parameters = OtpParameters(OathType.HOTP, Algorithm.SHA256, digits=8, counter=7)
    given_ = Registration(UUID(int=9), "dan", "new", "SN9", Secret(b"not registered before"), parameters)
    made = world.server().register(given_)
    assert (made.device_id, made.user, made.name, made.serial, made.parameters) == (
        str(given_.uuid),
        *("dan", "new", "SN9", parameters),
    )
    assert world.server().list("dan") == [made]
    world.server().check("dan", code_at(given_.secret, parameters, 7))


# what is refused, and how


def test_each_error_is_itself_at_the_other_end(world: World) -> None:
    server = world.server()
    assert server.capabilities == frozenset(ServerCapability)
    server.check("alice", code(NOW))
    for kind, act in (
        (CodeReplayed, lambda: server.check("alice", code(NOW))),
        (Throttled, lambda: server.check("alice", code(NOW + 1))),
        (CodeMismatch, lambda: server.check("bob", "000000")),
        (InputError, lambda: server.rename(BOBS, " ")),
        (Rejected, lambda: server.rename("nobody", "x")),
        (AlreadyRegistered, lambda: server.register(Registration(UUID(int=7), "al", "x", "SN1", SEED, TOTP))),
    ):
        with pytest.raises(kind) as caught:
            act()
        assert caught.type is kind
        assert caught.value.hint or kind is InputError
    with pytest.raises(Throttled) as refusal:
        server.check("alice", code(NOW + 1))
    assert refusal.value.retry_after_s == 5
    _, headers, _ = world.service.ask(
        "POST", "/v1/check", json.dumps(BODIES[permissions.CHECK]).encode(), api_token=world.tokens[Role.ADMINISTRATOR]
    )
    assert headers["retry-after"] == "5"
    told = problems.answer(Throttled("", retry_after_s=4.2))
    assert told.headers["retry-after"] == "5"  # whoever comes when told to is not too early


@pytest.mark.parametrize(
    ("code", "status"), [("busy", 503), ("too-slow", 408), ("unknown-user", 404), ("locks-out", 409)]
)
def test_a_refusals_status(code: str, status: int) -> None:
    assert problems.answer(Rejected("", code=code)).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"user": "alice"}',
        b'{"user": "alice", "code": 123456}',
        b'{"user": "alice", "code": "123456", "admin": true}',
        b'{"user": ["alice"], "code": "123456"}',
        b"[" * 5000,
        b'{"user": "alice", "code": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
)
def test_a_body_that_is_not_what_it_should_be(world: World, body: bytes) -> None:
    status, _, answer = world.service.ask("POST", "/v1/check", body, api_token=world.tokens[Role.ADMINISTRATOR])
    assert status == 422
    assert json.loads(answer)["error"]["type"] == "InputError"
    assert world.server().list("alice")[0].consecutive_failures == 0


@pytest.mark.parametrize(
    ("route", "given_"),
    [
        (permissions.SET_DRIFT, {"drift_steps": "1"}),
        (permissions.SET_DRIFT, {"drift_steps": True}),
        (permissions.SET_CUTOVER, {"cutover_s": str(START_S + 60)}),
        (permissions.SET_FALLBACK, {"user": "alice", "until_s": str(START_S + 60)}),
        (permissions.ADD_PEOPLE, {"users": "carl"}),
        (permissions.SEARCH, {"codes": ["123456", "234567"], "first_s": str(NOW)}),
        (permissions.SEARCH, {"codes": ["123456", "234567"], "first_s": 2**32}),
        (permissions.SEARCH, {"codes": ["123456", "234567"], "first_s": -1}),
    ],
)
def test_nothing_is_guessed_at(world: World, route: Route, given_: dict[str, Any]) -> None:
    before = world.server().list(), world.server().cutover_s, world.server().people()
    status, error = world.ask(route.method, route.path.format(device_id=ALICES), given_)
    assert (status, error["type"]) == (422, "InputError")
    assert (world.server().list(), world.server().cutover_s, world.server().people()) == before


def test_a_body_that_does_not_say_that_it_is_json_is_not_read(world: World) -> None:
    """A form of a strange web page can send text, and nothing else without asking."""
    body = json.dumps(BODIES[permissions.CHECK]).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        status, _, _ = world.service.ask(
            "POST", "/v1/check", body, api_token=world.tokens[Role.ADMINISTRATOR], content_type=kind
        )
        assert status == 422
    assert world.server().list("alice")[0].last_step is None


@pytest.mark.parametrize("secret", ["", "1", "GEZDGNBVGY3TQOJ!", "gezdgnbv", "Ä", "GEZDGNBV" * 30])
def test_a_seed_that_is_none_is_not_repeated(world: World, secret: str) -> None:
    given_ = {**BODIES[permissions.REGISTER], "secret": secret}
    status, error = world.ask("POST", "/v1/devices", given_)
    assert (status, error["type"]) == (422, "InputError")
    assert not secret or len(secret) < 4 or secret not in json.dumps(error)


@pytest.mark.parametrize(
    ("change", "leaked"),
    [
        ({"uuid": "PLANTED"}, "PLANTED"),
        ({"digits": "PLANTED"}, "PLANTED"),
        ({"PLANTED": 1}, "PLANTED"),
        ({"secret": ["PLANTED"]}, "PLANTED"),
        ({"oath_type": "PLANTED"}, "PLANTED"),
    ],
)
def test_a_refusal_does_not_repeat_what_was_sent(world: World, change: dict[str, Any], leaked: str) -> None:
    status, error = world.ask("POST", "/v1/devices", {**BODIES[permissions.REGISTER], **change})
    assert status == 422
    assert leaked not in json.dumps(error)
    assert BODIES[permissions.REGISTER]["secret"] not in json.dumps(error)


def test_more_than_a_request_can_need(world: World) -> None:
    body = b" " * (limits.MAX_BODY + 1)
    status, _, answer = world.service.ask("POST", "/v1/check", body)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "too-large")


@pytest.mark.parametrize("last", [b"", b"x"])
def test_a_body_in_parts_may_have_as_much_and_no_more(last: bytes) -> None:
    parts = [bytes(limits.MAX_BODY // 2), bytes(limits.MAX_BODY // 2), last]
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting[-1]["more_body"] = False
    read, said = [], []

    async def app(_scope: Any, receive: Any, _send: Any) -> None:
        read.append((await receive())["body"])

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(limits.Limits(app)({"type": "http", "method": "POST", "headers": []}, receive, send))
    assert (read, [message.get("status") for message in said[:1]]) == (([], [413]) if last else ([b"".join(parts)], []))


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_S", 0.0)
    said = []

    async def never_called(*_: object) -> None:
        raise AssertionError("there is no whole request")

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        said.append(message)

    asked = limits.Limits(never_called)({"type": "http", "method": "POST", "headers": []}, receive, send)
    asyncio.run(asyncio.wait_for(asked, 10))
    assert said[0]["status"] == 408


@pytest.mark.parametrize(
    ("host", "stays"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False)]
)
def test_what_crosses_the_network_in_the_clear_is_warned_of(host: str, stays: bool) -> None:
    class Listener:
        def getsockname(self) -> tuple[str, int]:
            return host, 8443

    assert run.stays_on_this_machine(cast("socket.socket", Listener())) is stays


def test_whoever_goes_away_is_not_answered() -> None:
    async def never_called(*_: object) -> None:
        raise AssertionError("there is no whole request, nor anybody to answer")

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    asyncio.run(limits.Limits(never_called)({"type": "http", "method": "POST", "headers": []}, receive, never_called))


def test_unknown_ways(world: World) -> None:
    for method, target, status, named in (
        ("GET", "/v2", 404, "no-such-route"),
        ("GET", "/docs", 404, "no-such-route"),
        ("GET", "/v1/check", 405, "no-such-method"),
    ):
        answer = world.ask(method, target)
        assert (answer[0], answer[1]["code"]) == (status, named)


def test_a_wrong_method_is_told_the_right_ones(world: World) -> None:
    """Of all routes of a path (RFC 9110 section 15.5.6), not of the first one."""
    for target, allowed in (("/v1/check", "POST"), ("/v1/devices", "GET, POST"), ("/v1/people", "DELETE, GET, POST")):
        status, headers, _ = world.service.ask("TRACE", target)
        assert (status, headers["allow"]) == (405, allowed)


def test_who_is_unknown_is_told_nothing_of_their_question(world: World) -> None:
    status, _, _ = world.service.ask("POST", "/v1/devices/any/search", b'{"codes": [], "first_s": 0}')
    assert status == 401


def test_a_defect_tells_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("PLANTED")

    monkeypatch.setattr(EmbeddedServer, "list", broken)
    status, error = world.ask("GET", "/v1/devices")
    assert (status, error["type"]) == (500, "InternalError")
    assert "PLANTED" not in json.dumps(error) + caplog.text
    assert "ZeroDivisionError in broken" in caplog.text
    with pytest.raises(Unreachable):
        world.server().list()


def test_a_defect_in_the_middle_of_an_answer_begins_no_other() -> None:
    said = []

    async def broken(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        said.append(message["type"])

    asyncio.run(limits.Limits(broken)({"type": "http", "method": "GET", "headers": []}, receive, send))
    assert said == ["http.response.start"]


def test_a_login_page_is_told_of_the_old_way(world: World) -> None:
    status, error = world.ask("POST", "/v1/check", {"user": "dora", "code": "000000"}, role=Role.RELYING_PARTY)
    assert (status, error["type"], error["until_s"]) == (409, "Fallback", START_S + 3600)


def test_a_locked_database_is_told_without_its_name(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.closing(sqlite3.connect(world.path, isolation_level=None)) as other:
        world.service.ask("GET", "/v1/devices", api_token=world.tokens[Role.DESK])
        world.service.server.wait_for_nobody()
        monkeypatch.setattr(acting, "PATIENCE_S", 0.01)
        other.execute("BEGIN IMMEDIATE")
        status, error = world.ask("POST", "/v1/check", BODIES[permissions.CHECK])
        other.execute("ROLLBACK")
    assert (status, error["type"]) == (503, "Unreachable")
    assert str(world.path) not in json.dumps(error)
    assert f"{world.path} is held by another process" in caplog.text
    assert world.ask("POST", "/v1/check", BODIES[permissions.CHECK])[0] == 200  # the code was not spent


def test_what_no_waiting_would_mend_is_told_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not tried anew: a deletion is done when its log cannot be emptied."""
    tried = []

    def broken(_: EmbeddedServer, device_id: str, **__: object) -> None:
        tried.append(device_id)
        raise Unreachable("a reader keeps its write-ahead log from being emptied")

    monkeypatch.setattr(EmbeddedServer, "delete", broken)
    assert world.ask("DELETE", f"/v1/devices/{BOBS}")[0] == 503
    assert tried == [BOBS]


def test_who_waits_for_a_locked_database_waits_alone(world: World) -> None:
    async def asked_together() -> tuple[Any, Any]:
        check = asyncio.create_task(ask("POST", "/v1/check", json.dumps(BODIES[permissions.CHECK]).encode()))
        meanwhile = await ask("GET", "/v1/devices", None)
        assert not check.done()
        other.execute("ROLLBACK")
        return meanwhile, await check

    def ask(method: str, target: str, body: bytes | None) -> Coroutine[Any, Any, tuple[int, dict[str, str], bytes]]:
        return world.service.asked(method, target, body, api_token=world.tokens[Role.ADMINISTRATOR])

    world.service.server.wait_for_nobody()
    with contextlib.closing(sqlite3.connect(world.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        meanwhile, check = world.service.run(asked_together())
    assert (meanwhile[0], check[0]) == (200, 200)


def test_every_answer_stays_where_it_is_sent(world: World) -> None:
    for target in ("/v1/devices", "/nowhere", "/openapi.json"):
        _, headers, _ = world.service.ask("GET", target)
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_no_answer_holds_a_seed(world: World) -> None:
    everything = b""
    for role in Role:
        for route in ROUTES:
            body = json.dumps(BODIES[route]).encode() if route in BODIES else None
            if route is permissions.ENROL:
                continue  # what gives a seed out, once
            target = target_of(route, ALICES)
            everything += world.service.ask(route.method, target, body, api_token=world.tokens[role])[2]
    for spelling in ("GEZDGNBVGY3TQOJQ", SEED.reveal().decode(), SEED.reveal().hex(), "sealed", "fingerprint"):
        assert spelling.encode() not in everything


# pages


def test_the_logs_come_in_pages(world: World) -> None:
    exchange = world.service.exchange(world.tokens[Role.ADMINISTRATOR])
    asked = []

    def few(method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        asked.append(target)
        return exchange(method, f"{target}&limit=3", body)

    server = world.server()
    for number in range(5):
        server.set_drift(ALICES, number)
        server.set_drift(BOBS, -number)
    whole = list(server.history())
    with world.open() as file:
        assert whole == list(file.history())
    for device, pages in ((None, 4), (ALICES, 2), ("nobody", 1)):
        asked.clear()
        with world.open() as file:
            assert list(RemoteServer(few).history(device)) == list(file.history(device))
        assert len(asked) == pages
    found, after = [], 0
    while after is not None:
        page = world.ask("GET", f"/v1/audit?after={after}&limit=4", role=Role.AUDITOR)[1]
        assert len(page["entries"]) <= 4
        found += [entry["audit_id"] for entry in page["entries"]]
        after = page["next_after"]
    assert found == sorted(set(found))
    with world.open() as file:
        assert len(found) == len(file.audit())


@pytest.mark.parametrize("answer", [b'{"message": "hi"}', b"[]", b'"hi"', b"null", b"7"])
@pytest.mark.parametrize(
    "ask",
    [
        RemoteServer.now,
        lambda server: server.window_steps,
        lambda server: server.cutover_s,
        lambda server: server.check("alice", "123456"),
        lambda server: server.register(Registration(UUID(int=1), "alice", "a", "1", SEED, TOTP)),
        RemoteServer.list,
        lambda server: server.enrol("alice", "phone"),
        RemoteServer.people,
        lambda server: server.add_people(["alice"]),
        lambda server: server.set_fallback("alice", None),
        lambda server: list(server.history()),
        lambda server: server.attempts(0.0),
        lambda server: server.matching_steps(ALICES, ["123456"], range(3)),
    ],
)
def test_json_of_another_shape_is_from_no_server_of_ours(ask: Callable[[RemoteServer], object], answer: bytes) -> None:
    with pytest.raises(Unreachable, match="not a server of ours"):
        ask(RemoteServer(lambda method, target, body: (200, answer)))


@pytest.mark.parametrize("error", ["[]", "7", '{"type": []}', '{"type": {}}', '{"message": "hi"}'])
def test_so_is_an_error_of_another_shape(error: str) -> None:
    answer = f'{{"error": {error}}}'.encode()
    with pytest.raises(Unreachable, match="not a server of ours"):
        RemoteServer(lambda method, target, body: (422, answer)).now()


def test_a_device_in_a_path_is_one_part_of_it(world: World) -> None:
    server = world.server()
    for nobodys in (f"{ALICES}/user", f"{ALICES}?x", f"{ALICES}#x", "..", "Ä b"):
        with pytest.raises(Rejected, match="there is no device") as refusal:
            server.delete(nobodys)
        assert refusal.value.code == "unknown-device"
    assert server.list("alice")


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=1001", f"after={2**63}", f"limit={'9' * 5000}"]
)
def test_a_page_that_there_is_not(world: World, query: str) -> None:
    assert world.ask("GET", f"/v1/audit?{query}")[0] == 422


# anything at all

TEXT = st.text(st.characters(exclude_categories=()))  # unpaired surrogates too, which JSON can spell
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory, made: tuple[Path, dict[Role, str]]) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("lasting"), made)
    with world.service:
        yield world


@given(data=st.data(), route=st.sampled_from(ROUTES), role=st.sampled_from(Role))
def test_nothing_that_is_sent_is_a_defect(lasting: World, data: st.DataObject, route: Route, role: Role) -> None:
    """Bodies near to right ones, with any JSON in their fields, and any text for a device."""
    near = {name: JSON | st.just(value) for name, value in BODIES.get(route, {"x": 1}).items()}
    more = st.dictionaries(st.sampled_from(["digits", "time_step_s", "t0_s", "counter", "algorithm", "serial"]), JSON)
    given_ = data.draw(st.fixed_dictionaries(near) | JSON) if route in BODIES else None
    if isinstance(given_, dict) and route is permissions.REGISTER:
        given_ |= data.draw(more)
    device = quote(data.draw(st.sampled_from([ALICES, BOBS]) | st.text(min_size=1)), safe="", errors="surrogatepass")
    status, _ = lasting.ask(route.method, route.path.format(device_id=device), given_, role=role)
    assert status < 500
