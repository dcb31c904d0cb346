"""The pages, promise by promise: whose they are, what they do, what they never do. A real browser is in browser/."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.errors import Unreachable
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from provision.servers.web import pages, sessions
from provision.servers.web.app import HEADERS, PAGES
from provision.servers.web.desk import MAX_FOUND
from provision.servers.web.pages import ROOT
from provision.servers.web.pages import Page as PageOf
from tests.web import table
from tests.web.office import NOW_S, PHONE, TABLET, TOKEN, Desk, Enrolled, Made, seed
from tests.web.visitor import HOST, Page, Visitor

WEB_MD = (Path(__file__).resolve().parents[2] / "docs" / "WEB.md").read_text("utf-8")


@pytest.fixture
def desk(made: Made, tmp_path: Path) -> Iterator[Desk]:
    with Desk(made, tmp_path) as desk:
        yield desk


@pytest.fixture
def anna(desk: Desk) -> Visitor:
    return desk.visitor(Role.USER)


@pytest.fixture
def helper(desk: Desk) -> Visitor:
    return desk.visitor(Role.DESK)


# whose they are


def ask(visitor: Visitor, page: PageOf, *, method: str | None = None, own_form: bool = True) -> Page:
    """A page, with everything that any form of ours has; about Anna's phone."""
    form_token = ""
    if own_form and visitor.cookie:
        form_token = next(form for form in visitor.get("/").forms if form.action.endswith("/sign-out")).fields[
            "form_token"
        ]
    fields = {"form_token": form_token, "name": "new", "code": "000000", "first": "1", "second": "2"}
    fields |= {"user": "anna", "hours": "1"}
    target = ROOT + page.path.format(device_id=PHONE)
    if (method or page.method) == "GET":
        return visitor.ask("GET", f"{target}?user=anna", follow=False)
    body = "&".join(f"{name}={quote(value)}" for name, value in fields.items())
    return visitor.ask("POST", target, body.encode(), follow=False)


@pytest.fixture(scope="module")
def unchanged(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """For those who must not get anything done."""
    with Desk(made, tmp_path_factory.mktemp("unchanged")) as desk:
        before = desk.state()
        yield desk
        assert desk.state() == before


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


def test_a_revoked_api_token_ends_what_it_signed_in(desk: Desk, anna: Visitor) -> None:
    with desk.open() as server:
        server.revoke_api_token("user")
    answer = anna.get("/devices")
    assert answer.path == "/sign-in?why=revoked"
    assert "not valid any more" in answer.text


def test_many_wrong_tokens_make_an_address_wait(desk: Desk) -> None:
    visitor = Visitor(desk.service)
    for _ in range(sessions.TRIES):
        assert "does not know" in visitor.sign_in("hwt_wrong").text
    assert "Wait a minute" in visitor.sign_in(desk.tokens[Role.USER]).text
    assert visitor.cookie is None
    desk.clock.advance(sessions.TRIES_S)
    assert visitor.sign_in(desk.tokens[Role.USER]).path == "/devices"


def test_what_the_sign_in_page_says_is_ours(desk: Desk) -> None:
    answer = Visitor(desk.service).get("/sign-in?why=<b>Your+account+is+at+risk</b>")
    assert "at risk" not in answer.html


# forms of strangers


POSTS = [page for page in PAGES if page.method == "POST" and page.roles]


@pytest.mark.parametrize("page", POSTS, ids=lambda page: page.path)
def test_a_form_without_the_sessions_secret_does_nothing(unchanged: Desk, page: PageOf) -> None:
    visitor = unchanged.visitor(Role.USER if page.roles and Role.USER in page.roles else Role.DESK)
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
    visitor = unchanged.visitor(Role.USER if page.roles is None or Role.USER in page.roles else Role.DESK)
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
    assert "script-src" not in HEADERS["Content-Security-Policy"]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]


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
    ],
)
def test_no_header_and_no_path_leads_anybody_elsewhere(unchanged: Desk, target: str) -> None:
    for visitor in (Visitor(unchanged.service), unchanged.visitor(Role.USER)):
        visitor.sent |= TRICKS
        answer = visitor.ask("GET", target, follow=False)
        assert answer.status in (200, 303, 404)
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


# a person's devices


def add(visitor: Visitor, name: str) -> Enrolled:
    """As far as the page with the QR code."""
    return Enrolled(visitor.submit(visitor.get("/devices/new").form("/devices/new"), name=name))


def test_a_device_is_added_with_its_code(desk: Desk, anna: Visitor) -> None:
    new = add(anna, "New tablet")
    assert new.page.path.endswith("/prove")
    assert "New tablet" in new.page.text
    (picture,) = [attributes for tag, attributes in new.page.tags if tag == "img"]
    assert str(picture["src"]).startswith("data:image/svg+xml")
    assert picture["alt"]
    device_id = new.page.path.split("/")[2]
    assert desk.device(device_id).pending
    answer = anna.submit(new.page.form("/prove"), code=new.code(NOW_S))
    assert answer.path == "/devices"
    assert "Your device is ready" in answer.text
    assert not desk.device(device_id).pending


def test_a_seed_is_shown_once(desk: Desk, anna: Visitor) -> None:
    new = add(anna, "New tablet")
    for path in (new.page.path, "/devices", new.page.path):
        assert new.base32 not in anna.get(path).html.replace(" ", "")
    assert new.base32 not in anna.submit(anna.get(new.page.path).form("/prove"), code="000000").html.replace(" ", "")
    with desk.open() as server:
        assert new.base32 not in repr(server.audit())


def test_asking_what_a_page_would_be_like_does_not_use_up_its_seed(anna: Visitor) -> None:
    made = anna.ask("POST", "/web/devices/new", _new(anna, "New tablet"), follow=False)
    anna.ask("HEAD", made.headers["location"])
    assert Enrolled(anna.ask("GET", made.headers["location"])).base32


def _new(visitor: Visitor, name: str) -> bytes:
    form = visitor.get("/devices/new").form("/devices/new")
    return f"form_token={form.fields['form_token']}&name={quote(name)}".encode()


def test_a_wrong_code_is_said_and_the_right_one_then_taken(desk: Desk, anna: Visitor) -> None:
    new = add(anna, "New tablet")
    answer = anna.submit(new.page.form("/prove"), code="12345")
    assert answer.path == new.page.path
    assert "This code is wrong." in answer.text
    (field,) = [attributes for tag, attributes in answer.tags if attributes.get("id") == "code"]
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"] == "code_help notice"
    assert not field["value"]
    too_soon = anna.submit(answer.form("/prove"), code="123456")
    assert "came too soon" in too_soon.text
    desk.clock.advance(30)
    code = new.code(desk.clock.now())
    assert "Your device is ready" in anna.submit(too_soon.form("/prove"), code=f"{code[:3]} {code[3:]}").text


def test_whoever_lost_the_secret_starts_again(desk: Desk, anna: Visitor) -> None:
    new = add(anna, "New tablet")
    answer = anna.submit(anna.get(new.page.path).form("/delete"))
    assert answer.path == "/devices/new"
    assert "New tablet" not in [device.name for device in desk.state()]
    again = add(anna, "New tablet")
    assert again.base32 != new.base32


@pytest.mark.parametrize(
    ("name", "said"), [("", "empty"), ("x" * 65, "65 characters"), ("My phone", "already"), ("a\u202eb", "U+202E")]
)
def test_a_name_that_cannot_be(anna: Visitor, name: str, said: str) -> None:
    answer = anna.submit(anna.get("/devices/new").form("/devices/new"), name=name)
    assert answer.path == "/devices/new"
    assert said in answer.text
    (field,) = [attributes for tag, attributes in answer.tags if attributes.get("id") == "name"]
    assert field["value"] == name
    renamed = anna.submit(anna.get(f"/devices/{TOKEN}/rename").form("/rename"), name=name)
    assert said in renamed.text


def test_a_device_is_renamed(desk: Desk, anna: Visitor) -> None:
    answer = anna.submit(anna.get(f"/devices/{PHONE}/rename").form("/rename"), name=" Drawer ")
    assert answer.path == "/devices"
    assert "called “Drawer” now" in answer.text
    assert desk.device(PHONE).name == "Drawer"
    assert "called “Drawer” now" not in anna.get("/devices").text  # said once


def test_a_deletion_is_asked_about_first(desk: Desk, anna: Visitor) -> None:
    asked = anna.get(f"/devices/{PHONE}/delete")
    assert "Key ring token" in asked.text  # what is left
    assert PHONE in [device.device_id for device in desk.state()]
    answer = anna.submit(asked.form("/delete"))
    assert "“My phone” is deleted." in answer.text
    assert PHONE not in [device.device_id for device in desk.state()]
    assert anna.get(f"/devices/{PHONE}/delete").status == 404


def test_the_log_says_who_clicked(desk: Desk, anna: Visitor, helper: Visitor) -> None:
    anna.submit(anna.get(f"/devices/{PHONE}/rename").form("/rename"), name="Drawer")
    helper.submit(helper.get(f"/desk/devices/{TABLET}/delete").form("/delete"))
    with desk.open() as server:
        assert [(entry.action.value, entry.actor, entry.user) for entry in server.audit()[-2:]] == [
            ("rename", "user", "anna"),
            ("delete", "desk", "carla"),
        ]


# the support desk


def test_people_are_found_by_what_is_known_of_them(helper: Visitor) -> None:
    for q, user in (("ANN", "anna"), ("phone", "anna"), ("40123", "anna"), ("tabl", "carla"), ("ben", "ben")):
        assert user in helper.get(f"/desk?q={q}").text
    assert "Nobody was found" in helper.get("/desk?q=zzz").text


def test_what_was_searched_for_is_text(helper: Visitor) -> None:
    answer = helper.get("/desk?q=" + quote('"><script>alert(1)</script>'))
    assert "<script" not in answer.html


def test_no_more_people_than_anybody_reads(desk: Desk, helper: Visitor) -> None:
    with desk.open() as server:
        for number in range(MAX_FOUND + 1):
            server.add_people([f"many{number:02}"])
    answer = helper.get("/desk?q=many")
    assert "There are more." in answer.text
    assert "many20" not in answer.text


def test_a_person_in_words(helper: Visitor) -> None:
    anna = helper.get("/desk/person?user=anna").text
    assert "Hardware token, serial number 40123" in anna
    assert "about 30 seconds slow; the server allows for that" in anna
    assert "3 days ago" in anna
    carla = helper.get("/desk/person?user=carla").text
    assert "3 wrong codes in a row." in carla
    assert helper.get("/desk/person?user=nobody").status == 404


def test_a_drifted_clock_is_learnt(desk: Desk, helper: Visitor) -> None:
    page = helper.get(f"/desk/devices/{TABLET}/resync")
    wrong = helper.submit(page.form("/resync"), first="000000", second="000001")
    assert "not two codes of this device that follow each other" in wrong.text
    desk.clock.advance(60)
    first, second = desk.codes(TABLET, behind_steps=20)
    answer = helper.submit(wrong.form("/resync"), first=first, second=second)
    assert answer.path == "/desk/person?user=carla"
    assert "about 10 minutes slow" in answer.text
    assert desk.device(TABLET).drift_steps == -20


def test_a_wrong_device_is_deleted_by_the_desk(desk: Desk, helper: Visitor) -> None:
    answer = helper.submit(helper.get(f"/desk/devices/{TABLET}/delete").form("/delete"))
    assert answer.path == "/desk/person?user=carla"
    assert "“Tablet” is deleted." in answer.text
    assert "carla has no device." in answer.text


def test_a_desk_sees_no_seed_and_adds_no_device(desk: Desk, helper: Visitor) -> None:
    for path in (
        "/desk?q=a",
        "/desk/person?user=anna",
        f"/desk/devices/{PHONE}/resync",
        f"/desk/devices/{PHONE}/delete",
    ):
        shown = helper.get(path)
        assert "otpauth" not in shown.html
        assert base64.b32encode(seed(PHONE).reveal()).decode() not in shown.html
        assert not any("/new" in link for link in shown.links)


# names


NAMES = (
    st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"]), min_size=1, max_size=30)
    .map(str.strip)
    .filter(bool)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    name=st.sampled_from(['<script>alert("1")</script>', "'\" onfocus=x", "{{ 7*7 }}", "</title>", "&lt;b&gt;"]) | NAMES
)
def test_a_name_is_text_wherever_it_stands(desk: Desk, anna: Visitor, helper: Visitor, name: str) -> None:
    known = {tag for page in (anna.get("/devices"), helper.get("/desk/person?user=anna")) for tag, _ in page.tags}
    renamed = anna.submit(anna.get(f"/devices/{PHONE}/rename").form("/rename"), name=name)
    if renamed.path != "/devices":
        return  # a name that nobody can have, which has a test of its own
    shown = desk.device(PHONE).name
    for visitor, path in (
        (anna, "/devices"),
        (anna, f"/devices/{PHONE}/rename"),
        (anna, f"/devices/{PHONE}/delete"),
        (helper, "/desk/person?user=anna"),
        (helper, f"/desk/devices/{PHONE}/delete"),
        (helper, "/desk?q=" + quote(shown)),
    ):
        page = visitor.get(path)
        assert page.status == 200
        assert " ".join(shown.split()) in page.text or any(shown == a.get("value") for _, a in page.tags)
        assert {tag for tag, _ in page.tags} <= known | {"input", "label", "span", "h3"}
        assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)


def test_a_person_with_any_name_has_a_page(desk: Desk, helper: Visitor) -> None:
    user = "o'Brien & söhne/../?user=x#\"<i>"
    with desk.open() as server:
        server.add_people([user])
    (link,) = [link for link in helper.get("/desk?q=brien").links if "person" in link]
    answer = helper.ask("GET", link)
    assert answer.status == 200
    assert user in answer.text
    assert parse_qs(urlsplit(link).query)["user"] == [user]


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
