"""What the pages do, without a browser; with one in browser/."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.errors import CodeMismatch, Fallback
from provision.model import OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration
from provision.servers.embedded.enrolling import MAX_DEVICES
from provision.servers.roles import Role
from provision.servers.web.desk import MAX_FOUND
from provision.servers.web.people import Shown
from tests.web.office import CUTOVER_S, DAY_S, NOW_S, PHONE, TABLET, TOKEN, Desk, Enrolled, seed
from tests.web.visitor import Visitor

WEB_MD = (Path(__file__).resolve().parents[2] / "docs" / "WEB.md").read_text("utf-8")


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


def test_a_seed_is_shown_on_the_page_of_its_own_device(anna: Visitor) -> None:
    earlier, made = (
        anna.ask("POST", "/web/devices/new", _new(anna, name), follow=False) for name in ("Old tablet", "New tablet")
    )
    assert "otpauth:" not in anna.ask("GET", earlier.headers["location"]).html
    assert Enrolled(anna.ask("GET", made.headers["location"])).base32


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


def test_a_second_click_takes_nothing_back_of_what_the_first_has_done(desk: Desk, anna: Visitor) -> None:
    new = add(anna, "New tablet")
    form = new.page.form("/prove")
    for _ in range(2):
        answer = anna.submit(form, code=new.code(NOW_S))
        assert answer.path == "/devices"
        assert "Your device is ready" in answer.text
        assert "did not work" not in answer.text


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


def test_an_unfinished_device_is_gone_after_a_day(desk: Desk, anna: Visitor, helper: Visitor) -> None:
    new = add(anna, "New tablet")
    assert "anna , 3 devices" in helper.get("/desk?q=new").text
    assert "Not finished." in anna.get("/devices").text
    desk.clock.advance(DAY_S)
    anna.sign_in(desk.tokens[Role.USER])
    assert "Not finished." not in anna.get("/devices").text
    assert anna.get(new.page.path).status == 404
    helper.sign_in(desk.tokens[Role.DESK])
    assert "Nobody was found" in helper.get("/desk?q=new").text
    assert "anna , 2 devices" in helper.get("/desk?q=anna").text


def test_nobody_has_more_devices_than_a_login_can_look_at(anna: Visitor) -> None:
    for number in range(MAX_DEVICES - 2):
        add(anna, f"device {number}")
    answer = anna.submit(anna.get("/devices/new").form("/devices/new"), name="one more")
    assert "'anna' has 10 devices already. Delete one that is not used." in answer.text


def test_who_would_be_locked_out_is_told_and_asked_once_more(desk: Desk, anna: Visitor) -> None:
    anna.submit(anna.get(f"/devices/{TOKEN}/delete").form("/delete"))
    asked = anna.get(f"/devices/{PHONE}/delete")
    assert "logging in works the old way" in asked.text
    with desk.open() as server:
        server.set_cutover(None)
    again = anna.submit(asked.form("/delete"))
    assert "nothing was deleted" in again.text
    assert again.text.startswith("Problem: Delete My phone?")  # its title, which a screen reader reads first
    assert asked.text.startswith("Delete My phone?")
    assert "you are locked out" in again.text
    assert "“My phone” is deleted" in anna.submit(again.form("/delete")).text
    assert "No code lets you in now" in anna.get("/devices").text


def test_a_device_that_somebody_else_deleted_meanwhile(desk: Desk, anna: Visitor) -> None:
    asked = anna.get(f"/devices/{TOKEN}/delete").form("/delete")
    with desk.open() as server:
        server.delete(TOKEN)
    answer = anna.submit(asked)
    assert (answer.status, "This device is not there any more." in answer.text) == (404, True)


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
    for q, counted in (("anna", "anna , 2 devices"), ("tabl", "carla , 1 device"), ("ben", "ben , 0 devices")):
        assert counted in helper.get(f"/desk?q={q}").text
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
    with desk.open() as server:
        server.remove_person("many20")
    answer = helper.get("/desk?q=many")
    assert "many19" in answer.text
    assert "There are more." not in answer.text


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


def test_a_counter_that_was_pressed_too_often_is_learnt(desk: Desk, helper: Visitor) -> None:
    fob, secret, counts = UUID(int=9), Secret(b"k" * 20), OtpParameters(OathType.HOTP)
    with desk.open() as server:
        server.register(Registration(fob, "ben", "fob", None, secret, counts))
    asked = helper.get(f"/desk/devices/{fob}/resync")
    assert "pressed" in asked.text
    assert "clock" not in asked.text
    first, second = (code_at(secret, counts, count) for count in (50, 51))
    answer = helper.submit(asked.form("/resync"), first=first, second=second)
    assert answer.path == "/desk/person?user=ben"
    assert "“fob” is resynchronised." in answer.text
    assert "None" not in answer.text


def test_whoever_has_only_what_is_switched_off_is_not_told_that_the_old_way_is_closed(
    desk: Desk, helper: Visitor, anna: Visitor
) -> None:
    """It is open until the cut-over, and the desk may let them go there."""
    with desk.open() as server:
        for device_id in (PHONE, TOKEN):
            server.disable(device_id)
    person = helper.get("/desk/person?user=anna")
    assert "anna is locked out" in person.text
    assert "It could be opened until 1 February 2027" in person.text
    for page in (person, anna.get("/devices"), anna.get(f"/devices/{PHONE}/delete")):
        assert "the old way is closed" not in page.text


def test_the_old_way_is_opened_for_a_time_and_closed(desk: Desk, helper: Visitor, anna: Visitor) -> None:
    opened = helper.submit(helper.get("/desk/person?user=anna").form("/fallback"), hours="4")
    assert "open until 24 November 2026, 12:05 UTC" in opened.text
    assert "Used until 24 November 2026, 12:05 UTC, opened by the support desk." in opened.text
    assert "as the support desk arranged" in anna.get("/devices").text
    with desk.open() as server, pytest.raises(Fallback):
        server.check("anna", desk.code(PHONE))
    closed = helper.submit(opened.form("/fallback"), hours="4", end="yes")
    assert "Not used." in closed.text
    with desk.open() as server:
        assert server.check("anna", desk.code(PHONE)).device_id == PHONE


@pytest.mark.parametrize("hours", ["", "0", "-1", "169", "1e9", "x", "１"])
def test_a_time_that_the_page_did_not_offer(desk: Desk, helper: Visitor, hours: str) -> None:
    assert helper.submit(helper.get("/desk/person?user=anna").form("/fallback"), hours=hours).status == 400
    assert "Not used." in helper.get("/desk/person?user=anna").text


def test_no_time_is_offered_beyond_the_cut_over(desk: Desk, helper: Visitor) -> None:
    with desk.open() as server:
        server.set_cutover(NOW_S + 9 * 3600)
    page = helper.get("/desk/person?user=anna")
    assert "For 4 hours, until 24 November 2026, 12:05 UTC" in page.text
    assert "For 9 hours, until 24 November 2026, 17:05 UTC" in page.text
    assert "For 12 hours" not in page.text
    opened = helper.submit(page.form("/fallback"), hours="12")
    assert "open until 24 November 2026, 17:05 UTC" in opened.text


def test_there_is_no_old_way_after_the_cut_over(desk: Desk, helper: Visitor) -> None:
    form = helper.get("/desk/person?user=anna").form("/fallback")
    desk.clock.advance(CUTOVER_S - NOW_S)
    helper.sign_in(desk.tokens[Role.DESK])
    page = helper.get("/desk/person?user=anna")
    assert "Closed since 1 February 2027, 00:00 UTC." in page.text
    assert not [one for one in page.forms if one.action.endswith("/fallback")]
    form.fields["form_token"] = page.form("/sign-out").fields["form_token"]
    assert "There is no old way any more." in helper.submit(form, hours="1").text


def test_whoever_is_locked_is_unlocked_by_an_administrator(desk: Desk, helper: Visitor) -> None:
    with desk.open() as server:
        while not server.list("carla")[0].locked:
            desk.clock.advance(1000)
            with contextlib.suppress(CodeMismatch):
                server.check("carla", "000000")
    helper.sign_in(desk.tokens[Role.DESK])
    shown = helper.get("/desk/person?user=carla")
    assert "Now no code is looked at, after too many wrong ones." in shown.text
    assert "Locked after 100 wrong codes" in shown.text
    assert "Unlock" not in shown.text
    leader = desk.visitor(Role.ADMINISTRATOR)
    answer = leader.submit(leader.get("/desk/person?user=carla").form("/enable"))
    assert "earlier wrong codes are forgiven" in answer.text
    assert "No wrong codes since the last login." in answer.text
    assert "Now logging in works with Tablet." in answer.text


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
    back = helper.submit(answer.form("/fallback"), hours="1")
    assert parse_qs(urlsplit(back.path).query)["user"] == [user]
    assert "The old way is open" in back.text


def test_a_seed_that_is_to_be_shown_is_in_nothing_else() -> None:
    assert repr(Shown("otpauth://planted", "PLAN TED", "data:planted")) == "Shown()"
