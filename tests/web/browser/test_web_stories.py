"""Whole stories in a real browser, without JavaScript: once with a mouse, once by keyboard alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from provision.servers.roles import Role
from tests.servers.live import certificate
from tests.web.browser.acts import Keyboard, heading, notice, shown_code, sign_in
from tests.web.office import PHONE, TABLET, TOKEN, Made, Office

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.web.browser.chromium import OpenPage

pytestmark = pytest.mark.web


def test_a_person(office: Office, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, "hwt_wrong")
    assert "does not know this API token" in notice(page)
    sign_in(page, office.tokens[Role.USER])
    assert heading(page) == "My devices"

    page.get_by_role("link", name="Add a device").click()
    page.get_by_label("Name of the device").fill("My phone")
    page.get_by_role("button", name="Next").click()
    assert "already" in notice(page)
    assert page.get_by_label("Name of the device").input_value() == "My phone"
    page.get_by_label("Name of the device").fill("New tablet")
    page.get_by_role("button", name="Next").click()

    assert page.get_by_role("img", name="QR code").is_visible()
    code = shown_code(page, office.clock.now())
    page.get_by_label("Code").fill(f"{(int(code) + 1) % 1_000_000:06}")
    page.get_by_role("button", name="Finish").click()
    assert "This code is wrong." in notice(page)
    assert page.get_by_role("img").count() == 0
    office.advance(10)
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Finish").click()
    assert "Your device is ready" in notice(page)

    page.reload()
    assert page.locator("#notice").count() == 0
    page.get_by_role("listitem").filter(has_text="New tablet").get_by_role("link", name="Rename").click()
    page.get_by_label("New name").fill("Kitchen")
    page.get_by_role("button", name="Rename").click()
    assert "called “Kitchen” now" in notice(page)

    page.get_by_role("listitem").filter(has_text="Kitchen").get_by_role("link", name="Delete").click()
    assert heading(page) == "Delete “Kitchen”?"
    assert "Key ring token or My phone" in page.get_by_role("main").inner_text()
    page.get_by_role("link", name="Keep it").click()
    page.get_by_role("listitem").filter(has_text="Kitchen").get_by_role("link", name="Delete").click()
    page.get_by_role("button", name="Delete").click()
    assert "“Kitchen” is deleted" in notice(page)

    page.get_by_role("button", name="Sign out").click()
    assert heading(page) == "Sign in"
    page.go_back()
    assert heading(page) == "Sign in"  # nothing is left in the browser


def test_a_seed_is_not_in_the_browser_afterwards(office: Office, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, office.tokens[Role.USER])
    page.goto("/web/devices/new")
    page.get_by_label("Name of the device").fill("New tablet")
    page.get_by_role("button", name="Next").click()
    assert page.get_by_role("img", name="QR code").is_visible()
    for again in (page.reload, lambda: (page.goto("/web/devices"), page.go_back())):
        again()
        assert "is not shown again" in page.get_by_role("main").inner_text()
        assert page.get_by_role("img").count() == 0
    page.get_by_role("button", name="Start again").click()
    assert heading(page) == "Add a device"


def test_the_last_devices_deletion_gives_the_old_way_back_and_then_locks_out(
    office: Office, open_page: OpenPage
) -> None:
    page = open_page()
    sign_in(page, office.tokens[Role.USER])
    page.goto(f"/web/devices/{TOKEN}/delete")
    page.get_by_role("button", name="Delete").click()
    page.goto(f"/web/devices/{PHONE}/delete")
    assert "the old way" in page.get_by_role("main").inner_text()
    with office.open() as server:
        server.set_cutover(None)
    page.get_by_role("button", name="Delete").click()  # what it promised is not so any more
    assert "nothing was deleted" in notice(page)
    assert "you are locked out" in page.get_by_role("main").inner_text()
    page.get_by_role("button", name="Delete “My phone” all the same").click()
    assert "You have no device yet." in page.get_by_role("main").inner_text()


def test_the_support_desk(office: Office, open_page: OpenPage) -> None:
    page = open_page()
    sign_in(page, office.tokens[Role.DESK])
    page.get_by_label("Find a person").fill("CAR")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="carla").click()
    assert "3 wrong codes in a row" in page.get_by_role("main").inner_text()

    page.get_by_role("link", name="Resynchronise").click()
    page.get_by_label("First code").fill("000000")
    page.get_by_label("Next code").fill("000001")
    page.get_by_role("button", name="Resynchronise").click()
    assert "not two codes of this device" in notice(page)
    office.advance(60)
    first, second = office.codes(TABLET, behind_steps=20)
    page.get_by_label("First code").fill(first)
    page.get_by_label("Next code").fill(second)
    page.get_by_role("button", name="Resynchronise").click()
    assert "about 10 minutes slow" in notice(page)

    page.get_by_label("How long").select_option(label="For 4 hours, until 24 November 2026, 12:06 UTC")
    page.get_by_role("button", name="Open the old way").click()
    assert "open until 24 November 2026, 12:06 UTC" in notice(page)
    page.get_by_role("button", name="Close it now").click()
    assert "closed again" in notice(page)

    page.get_by_role("link", name="Delete").click()
    assert heading(page) == "Delete “Tablet” of carla?"
    page.get_by_role("button", name="Delete").click()
    assert "carla has no device." in page.get_by_role("main").inner_text()
    assert "for want of a device" in page.get_by_role("main").inner_text()


def test_a_person_by_keyboard_alone(office: Office, open_page: OpenPage) -> None:
    page = open_page()
    keys = Keyboard(page)
    page.goto("/")
    keys.type("API token", office.tokens[Role.USER])
    keys.submit()
    keys.enter("Skip to the content")
    keys.enter("Add a device")
    keys.type("Name of the device", "New tablet")
    keys.submit()
    keys.to("If it cannot be scanned")
    page.keyboard.press("Enter")
    assert page.get_by_text("type a setup key").is_visible()
    keys.type("Code", shown_code(page, office.clock.now()))
    keys.submit()
    assert "Your device is ready" in notice(page)
    keys.enter("Rename")
    keys.type("New name", "Drawer")
    keys.submit()
    keys.enter("Delete")
    keys.enter("Delete “")
    assert "is deleted" in notice(page)
    keys.enter("Sign out")
    assert heading(page) == "Sign in"


def test_the_desk_by_keyboard_alone(office: Office, open_page: OpenPage) -> None:
    page = open_page()
    keys = Keyboard(page)
    page.goto("/")
    keys.type("API token", office.tokens[Role.DESK])
    keys.submit()
    keys.type("Find a person", "carla")
    keys.submit()
    keys.enter("carla")
    keys.enter("Resynchronise")
    first, second = office.codes(TABLET, behind_steps=20)
    keys.type("First code", first)
    keys.type("Next code", second)
    office.advance(60)
    keys.submit()
    assert "resynchronised" in notice(page)
    keys.to("How long")
    page.keyboard.press("ArrowDown")
    keys.enter("Open the old way")
    assert "12:06 UTC" in notice(page)
    keys.enter("Delete")
    keys.enter("Delete “")
    assert "carla has no device." in page.get_by_role("main").inner_text()


def test_under_tls_the_session_is_for_tls_only(made: Made, tmp_path: Path, office: Office, open_page: OpenPage) -> None:
    cert, key = certificate(tmp_path)
    with Office(made, tmp_path / "tls", "--tls-cert-file", str(cert), "--tls-key-file", str(key)) as safe:
        page = open_page(base_url=safe.url, ignore_https_errors=True)
        sign_in(page, safe.tokens[Role.USER])
        assert heading(page) == "My devices"
        (cookie,) = page.context.cookies()
        page.context.close()  # or the server, asked to stop, would wait for it
    told = {name: cookie[name] for name in ("secure", "httpOnly", "sameSite", "path", "expires")}
    assert told == {"secure": True, "httpOnly": True, "sameSite": "Strict", "path": "/web", "expires": -1}


def test_another_servers_form_does_nothing(office: Office, chromium: Browser) -> None:
    """From another port of this machine, which a browser takes for the same site."""
    page = chromium.new_page(base_url=office.url)
    sign_in(page, office.tokens[Role.USER])
    form_token = page.locator("input[name=form_token]").first.get_attribute("value")
    strange = office.url.rpartition(":")[0] + ":9/"
    page.route(
        strange,
        lambda route: route.fulfill(
            content_type="text/html",
            body=f"<form method=post action={office.url}/web/devices/{PHONE}/rename><input name=name value=theirs>"
            f"<input name=form_token value={form_token}><button>Win a prize</button></form>",
        ),
    )
    page.goto(strange)
    page.get_by_role("button").click()
    assert "did not come from a page of this server" in page.get_by_role("main").inner_text()
    assert office.device(PHONE).name == "My phone"
    page.close()
