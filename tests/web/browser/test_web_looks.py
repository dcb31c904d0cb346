"""Every page, 320 pixels wide and wide, dark and light: nothing sticks out, and axe-core finds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from provision.servers.roles import Role
from provision.servers.web import pages
from provision.servers.web.app import PAGES
from tests.web.browser.acts import sign_in
from tests.web.office import PHONE, TABLET, TOKEN, Office

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.web.browser.chromium import OpenPage

pytestmark = pytest.mark.web

LONG = "W" * 64  # no place for a line to break
SCHEMES = ("light", "dark")
WIDTHS = (320, 1280)
_ANSWERS_ITSELF = {pages.HOME, pages.STYLE}


def addresses(device_id: str) -> list[tuple[Role, str]]:
    """Every page that one can look at, and as whom."""
    found = []
    for page in PAGES:
        if page.method == "GET" and page not in _ANSWERS_ITSELF and page is not pages.PROVING:
            role = Role.USER if page.roles is None or Role.USER in page.roles else Role.DESK
            found.append((role, pages.ROOT + page.path.format(device_id=device_id)))
    return [
        *found,
        (Role.DESK, "/web/desk?q=a"),
        (Role.DESK, "/web/desk?q=" + LONG),
        (Role.USER, "/web/nowhere"),
    ]


def looked_at(page: Page, where: str) -> list[str]:
    """What is wrong with a page as it stands, in every width and both colour schemes."""
    from tests.web.browser.chromium import complaints, is_wider_than_its_window

    found = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 640})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            found += [f"{where} ({width} px, {scheme}): {one}" for one in complaints(page)]
        if is_wider_than_its_window(page):
            found.append(f"{where}: scrolls sideways at {width} px")
    return found


@pytest.mark.parametrize("role", [Role.USER, Role.DESK], ids=lambda role: role.value)
def test_every_page(office: Office, open_page: OpenPage, role: Role) -> None:
    with office.open() as server:
        server.rename(PHONE, LONG)
        server.rename(TABLET, LONG)
        server.add_people([LONG])
    page = open_page(java_script_enabled=True)
    sign_in(page, office.tokens[role])
    found, seen = [], 0
    for for_whom, path in addresses(PHONE):
        if for_whom is role:
            page.goto(path + ("?user=anna" if path.endswith("/person") else ""))
            found += looked_at(page, path)
            seen += 1
    assert found == []
    assert seen >= 6


def test_pages_in_the_middle_of_something(office: Office, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=True)
    sign_in(page, "wrong")
    found = looked_at(page, "a wrong API token")
    sign_in(page, office.tokens[Role.USER])
    page.goto("/web/devices/new")
    page.get_by_label("Name of the device").fill("My phone")
    page.get_by_role("button", name="Next").click()
    found += looked_at(page, "a name that is taken")
    page.get_by_label("Name of the device").fill(LONG)
    page.get_by_role("button", name="Next").click()
    page.get_by_text("If it cannot be scanned").click()
    found += looked_at(page, "a QR code")
    page.get_by_label("Code").fill("12345")
    page.get_by_role("button", name="Finish").click()
    found += looked_at(page, "a wrong code")
    page.goto("/web/devices")
    found += looked_at(page, "an unfinished device")
    with office.open() as server:
        server.set_cutover(None)
        server.delete(PHONE)
    page.goto(f"/web/devices/{TOKEN}/delete")
    found += looked_at(page, "being locked out")
    assert found == []


def test_both_colour_schemes_are_made(office: Office, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=True)
    page.goto("/web/sign-in")
    grounds = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(22, 23, 26)"]


def test_what_is_looked_for_would_be_found(office: Office, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=True)
    page.goto("/web/sign-in")
    page.evaluate("document.querySelector('label').remove(); document.body.style.minWidth = '2000px'")
    page.evaluate("document.querySelector('h1').style.color = '#eee'")
    found = "\n".join(looked_at(page, "a broken page"))
    for fault in ("label", "color-contrast", "scrolls sideways"):
        assert fault in found
