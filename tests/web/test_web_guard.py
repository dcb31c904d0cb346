"""Whose the pages are, and what they keep out. What they do is in test_web_pages.py."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from provision.errors import Unreachable
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from provision.servers.web import pages, sessions
from provision.servers.web.app import HEADERS, PAGES
from provision.servers.web.pages import ROOT
from provision.servers.web.pages import Page as PageOf
from tests.web import table
from tests.web.office import PHONE, TABLET, Desk, Made
from tests.web.visitor import HOST, Page, Visitor

WEB_MD = (Path(__file__).resolve().parents[2] / "docs" / "WEB.md").read_text("utf-8")


# whose they are


def ask(visitor: Visitor, page: PageOf, *, own_form: bool = True) -> Page:
    """A page, with everything that any form of ours has; about Anna's phone."""
    is_in = own_form and visitor.cookie is not None
    form_token = visitor.get("/").form("/sign-out").fields["form_token"] if is_in else ""
    fields = {"form_token": form_token, "name": "new", "code": "000000", "first": "1", "second": "2"}
    fields |= {"user": "anna", "hours": "1"}
    target = ROOT + page.path.format(device_id=PHONE)
    if page.method == "GET":
        return visitor.ask("GET", f"{target}?user=anna", follow=False)
    body = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
    return visitor.ask("POST", target, body.encode(), follow=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.method} {page.path}")
def test_nobody_else_gets_a_page(unchanged: Desk, page: PageOf) -> None:
    before = unchanged.state()
    for role in (*Role, None):
        if page.roles is None or role in page.roles:
            continue
        answer = ask(Visitor(unchanged.service) if role is None else unchanged.visitor(role), page)
        if role in pages.SIGNED_IN:
            assert answer.status == 403
        else:
            assert (answer.status, answer.headers["location"]) == (303, "/web/sign-in")
        assert unchanged.state() == before


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
def test_everybody_gets_their_own_pages(made: Made, tmp_path: Path, role: Role) -> None:
    for number, page in enumerate(PAGES):
        if page.roles is None or role in page.roles:
            assert page.takes is None or role in page.takes.scopes
            with Desk(made, tmp_path / str(number)) as desk:
                answer = ask(desk.visitor(role), page)
            redirects = page.method == "POST" or page in {pages.HOME, pages.PROVING}  # the phone is proved long since
            assert answer.status == (303 if redirects else 200)


def test_the_table_is_current() -> None:
    assert table.text() in WEB_MD, "python -m tests.web.table"


def test_openapi_does_not_tell_of_pages(desk: Desk) -> None:
    assert b"/web" not in desk.service.ask("GET", "/openapi.json")[2]


@pytest.mark.parametrize("device_id", [TABLET, "nobody", "..%2F..%2Fv1%2Fdevices", "%00", quote("<script>")])
@pytest.mark.parametrize("page", [page for page in PAGES if page.roles == pages.PERSON and "{" in page.path])
def test_other_peoples_devices_do_not_exist_for_a_person(
    desk: Desk, anna: Visitor, page: PageOf, device_id: str
) -> None:
    before = desk.state()
    form_token = anna.get("/devices").form("/sign-out").fields["form_token"]
    target = ROOT + page.path.format(device_id=device_id)
    body = f"form_token={form_token}&name=mine&code=000000".encode() if page.method == "POST" else None
    answer = anna.ask(page.method, target, body)
    assert answer.status == 404
    assert "<script" not in answer.html
    assert desk.state() == before


def test_a_person_sees_their_own_devices_only(anna: Visitor) -> None:
    shown = anna.get("/devices").text
    assert "My phone" in shown
    assert "Tablet" not in shown


# signing in and out


@pytest.mark.parametrize("api_token", ["", "hwt_", "hwt_" + "0" * 16 + "_" + "0" * 64, "é\ud7ff", "x" * 5000])
def test_what_is_no_api_token_signs_nobody_in(unchanged: Desk, api_token: str) -> None:
    visitor = Visitor(unchanged.service)
    answer = visitor.sign_in(api_token)
    assert "The server does not know this API token." in answer.text
    assert not api_token or len(api_token) < 5 or api_token not in answer.html
    assert visitor.cookie is None


@pytest.mark.parametrize("role", [Role.RELYING_PARTY, Role.AUDITOR])
def test_programs_do_not_sign_in(unchanged: Desk, role: Role) -> None:
    visitor = Visitor(unchanged.service)
    assert "for a program" in visitor.sign_in(unchanged.tokens[role]).text
    assert visitor.cookie is None


def test_a_token_is_taken_with_the_line_end_that_was_copied_with_it(desk: Desk) -> None:
    assert Visitor(desk.service).sign_in(f" {desk.tokens[Role.USER]}\n").path == "/devices"


def test_a_signed_in_persons_cookie(desk: Desk, anna: Visitor) -> None:
    assert anna.set_cookie is not None
    name, *attributes = [part.strip().lower() for part in anna.set_cookie.split(";")]
    assert set(attributes) == {"httponly", "path=/web", "samesite=strict"}
    assert len(name.partition("=")[2]) == 64
    assert desk.tokens[Role.USER] not in anna.set_cookie
    assert name.partition("=")[2] not in anna.get("/devices").html  # no script can read it, and no page says it


def test_under_tls_the_cookie_is_for_tls_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk.service, "scheme", "https")
    visitor = Visitor(desk.service)
    visitor.sign_in(desk.tokens[Role.USER])
    assert visitor.set_cookie is not None
    assert "secure" in visitor.set_cookie.lower()


def test_signing_in_again_ends_the_session_before(desk: Desk, anna: Visitor) -> None:
    before = anna.cookie
    anna.sign_in(desk.tokens[Role.USER])
    assert anna.cookie != before
    anna.cookie = before
    assert anna.get("/devices").path.startswith("/sign-in")


def test_whoever_signed_out_is_out(anna: Visitor) -> None:
    cookie = anna.cookie
    assert anna.submit(anna.get("/devices").form("/sign-out")).path == "/sign-in"
    anna.cookie = cookie
    assert anna.get("/devices").path == "/sign-in?why=over"


@pytest.mark.parametrize(("wait_s", "is_in"), [(sessions.IDLE_S - 1, True), (sessions.IDLE_S, False)])
def test_whoever_does_nothing_for_a_while_is_out(desk: Desk, anna: Visitor, wait_s: float, is_in: bool) -> None:
    desk.clock.advance(wait_s)
    assert (anna.get("/devices").path == "/devices") == is_in


def test_who_was_out_when_they_sent_a_form_is_told_that_nothing_was_done(desk: Desk, anna: Visitor) -> None:
    form = anna.get(f"/devices/{PHONE}/rename").form("/rename")
    out = anna.get("/devices").form("/sign-out")
    desk.clock.advance(sessions.IDLE_S)
    answer = anna.submit(form, name="Drawer")
    assert answer.path == "/sign-in?why=late"
    assert "what you just sent was not done" in answer.text
    assert desk.device(PHONE).name == "My phone"
    assert anna.submit(out).path == "/sign-in?why=over"  # who wanted to be out


@pytest.mark.parametrize("page", [page for page in PAGES if page.roles], ids=lambda page: f"{page.method} {page.path}")
def test_a_revoked_api_token_ends_what_it_signed_in(desk: Desk, page: PageOf) -> None:
    role = somebody_for(page)
    visitor = desk.visitor(role)
    form_token = visitor.get("/").form("/sign-out").fields["form_token"]
    with desk.open() as server:
        server.revoke_api_token(role.value)
    before = desk.state()
    fields = f"form_token={form_token}&name=new&user=anna&hours=1" if page.method == "POST" else None
    target = ROOT + page.path.format(device_id=PHONE) + "?user=anna"
    answer = visitor.ask(page.method, target, fields and fields.encode())
    assert answer.path == "/sign-in?why=revoked"
    assert "not valid any more" in answer.text
    assert visitor.get("/").path == "/sign-in"  # the session is over
    assert desk.state() == before


def test_strangers_with_wrong_tokens_keep_nobody_out_who_comes_by_the_same_proxy(desk: Desk) -> None:
    visitor = Visitor(desk.service)
    for _ in range(50):
        assert "does not know" in visitor.sign_in("hwt_wrong").text
    assert visitor.sign_in(desk.tokens[Role.USER]).path == "/devices"


def test_what_the_sign_in_page_says_is_ours(desk: Desk) -> None:
    answer = Visitor(desk.service).get("/sign-in?why=<b>Your+account+is+at+risk</b>")
    assert "at risk" not in answer.html


# forms of strangers


def somebody_for(page: PageOf) -> Role:
    return Role.USER if page.roles is None else next(role for role in Role if role in page.roles)


POSTS = [page for page in PAGES if page.method == "POST" and page.roles]


@pytest.mark.parametrize("page", POSTS, ids=lambda page: page.path)
def test_a_form_without_the_sessions_secret_does_nothing(unchanged: Desk, page: PageOf) -> None:
    visitor = unchanged.visitor(somebody_for(page))
    before = unchanged.state()
    assert ask(visitor, page, own_form=False).status == 403
    assert visitor.get("/").status == 200  # still signed in
    assert unchanged.state() == before


def test_another_sessions_secret_is_none(desk: Desk, anna: Visitor) -> None:
    theirs = desk.visitor(Role.USER).get("/devices").form("/sign-out")
    assert anna.submit(theirs).status == 403


@pytest.mark.parametrize(
    "sent", [{"sec_fetch_site": "cross-site"}, {"sec_fetch_site": "same-site"}, {"origin": "null"}]
)
@pytest.mark.parametrize("page", [pages.SIGNED, *POSTS], ids=lambda page: page.path)
def test_a_form_from_elsewhere_does_nothing(unchanged: Desk, page: PageOf, sent: dict[str, str]) -> None:
    visitor = unchanged.visitor(somebody_for(page))
    before = unchanged.state()
    form = visitor.get("/").form("/sign-out")
    visitor.sent = {"host": HOST, **sent}
    form.action = ROOT + page.path.format(device_id=PHONE)
    answer = visitor.submit(form, name="new", user="anna", hours="1", api_token=unchanged.tokens[Role.DESK])
    assert answer.status == 403
    assert unchanged.state() == before


def test_a_browser_that_says_only_origin_is_believed(desk: Desk) -> None:
    visitor = Visitor(desk.service)
    visitor.sent = {"host": HOST, "origin": f"https://{HOST}"}
    assert visitor.sign_in(desk.tokens[Role.USER]).path == "/devices"


def test_a_form_may_say_how_its_text_is_written(desk: Desk) -> None:
    visitor = Visitor(desk.service)
    visitor.sent["content_type"] = "application/x-www-form-urlencoded; charset=UTF-8"
    assert visitor.sign_in(desk.tokens[Role.USER]).path == "/devices"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/json", 415), ("text/plain", 415), ("multipart/form-data; boundary=x", 415)],
)
def test_what_is_no_form_is_not_read(unchanged: Desk, content_type: str, status: int) -> None:
    visitor = Visitor(unchanged.service)
    visitor.sent["content_type"] = content_type
    assert visitor.post("/sign-in", api_token=unchanged.tokens[Role.USER]).status == status


@pytest.mark.parametrize("body", [b"&".join([b"a=1"] * 50), b"\xff=1", b"api_token=%ff"])
def test_a_form_that_cannot_be_read(unchanged: Desk, body: bytes) -> None:
    assert Visitor(unchanged.service).ask("POST", "/web/sign-in", body).status == 400


# headers


@pytest.mark.parametrize("target", ["/web/sign-in", "/web/style.css", "/web/nowhere", "/web/devices", "/web/"])
def test_every_answer_says_what_a_browser_may_do_with_it(unchanged: Desk, target: str) -> None:
    for visitor in (Visitor(unchanged.service), unchanged.visitor(Role.USER)):
        answer = visitor.ask("GET", target, follow=False)
        for name, value in HEADERS.items():
            assert answer.headers[name.lower()] == value
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    policy = HEADERS["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert not [part for part in policy if "script" in part or "unsafe" in part]
    assert HEADERS["Referrer-Policy"] == HEADERS["Cross-Origin-Opener-Policy"] == "same-origin"
    assert HEADERS["X-Frame-Options"] == "DENY"


TRICKS = {
    "host": "evil.example",
    "x_forwarded_host": "evil.example",
    "x_forwarded_proto": "https",
    "x_forwarded_for": "10.0.0.1",
    "x_forwarded_prefix": "//evil.example",
    "forwarded": "host=evil.example;proto=https",
    "x_original_url": "/web/desk",
    "x_rewrite_url": "/web/desk",
    "x_http_method_override": "DELETE",
}


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/web",
        "/web/",
        "/web/devices",
        "/web/devices/",
        "/web//evil.example",
        "/web//evil.example/%2e%2e",
        "/web/%5cevil.example",
        "//evil.example/web/",
        "/v1/devices/",
    ],
)
def test_no_header_and_no_path_leads_anybody_elsewhere(unchanged: Desk, target: str) -> None:
    for visitor in (Visitor(unchanged.service), unchanged.visitor(Role.USER)):
        visitor.sent |= TRICKS
        answer = visitor.ask("GET", target, follow=False)
        assert answer.status in (200, 303, 401, 404)
        assert "evil" not in answer.html + str(answer.headers)
        if answer.status == 303:
            assert re.fullmatch(r"/web/[a-z-]*(\?why=[a-z]+)?", answer.headers["location"])


def test_a_forwarded_scheme_makes_no_secure_cookie(desk: Desk) -> None:
    visitor = Visitor(desk.service)
    visitor.sent |= {"x_forwarded_proto": "https"}
    visitor.sign_in(desk.tokens[Role.USER])
    assert visitor.set_cookie is not None
    assert "secure" not in visitor.set_cookie.lower()


def test_a_session_opens_no_route_of_the_api(desk: Desk, anna: Visitor) -> None:
    assert anna.ask("GET", "/v1/devices").status == 401
    anna.cookie = None
    anna.sent["authorization"] = f"Bearer {desk.tokens[Role.USER]}"
    assert anna.get("/devices").path == "/sign-in"


# when something is wrong


def test_a_defect_tells_nothing(
    desk: Desk, anna: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("PLANTED")

    monkeypatch.setattr(EmbeddedServer, "list", broken)
    answer = anna.get("/devices")
    assert answer.status == 500
    assert "The server has a defect" in answer.text
    assert "PLANTED" not in answer.html + caplog.text
    assert "ZeroDivisionError in broken" in caplog.text


def test_a_locked_database_is_told_without_its_name(
    desk: Desk, anna: Visitor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def held(*_: object, **__: object) -> None:
        raise Unreachable("/secret/place is held by another process")

    monkeypatch.setattr(EmbeddedServer, "list", held)
    answer = anna.get("/devices")
    assert answer.status == 503
    assert "/secret/place" not in answer.html
    assert "/secret/place" in caplog.text
