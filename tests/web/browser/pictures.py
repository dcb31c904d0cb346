"""The pictures in docs/, once `make test-web` has run: `.lanes/web/bin/python -m tests.web.browser.pictures`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from provision.servers.roles import Role
from tests.web.browser.chromium import started
from tests.web.office import PHONE, TOKEN, Office, populate

DOCS = Path(__file__).resolve().parents[3] / "docs" / "pictures"
_WIDE, _NARROW = {"width": 800, "height": 400}, {"width": 320, "height": 568}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as made,
        tempfile.TemporaryDirectory() as copy,
        Office(populate(Path(made)), Path(copy)) as office,
        started() as browser,
    ):
        _person(_page(browser, office), office, folder)
        _desk(_page(browser, office), office, folder)
        narrow = _page(browser, office, viewport=_NARROW, color_scheme="dark")
        _sign_in(narrow, office, Role.DESK)
        narrow.goto("/web/desk/person?user=carla")
        _take(narrow, folder, "person-narrow-dark")


def _person(page: Page, office: Office, folder: Path) -> None:
    page.goto("/web/")
    _take(page, folder, "sign-in")
    _sign_in(page, office, Role.USER)
    _take(page, folder, "devices")
    page.get_by_role("link", name="Add a device").click()
    page.get_by_label("Name of the device").fill("New tablet")
    page.get_by_role("button", name="Next").click()
    _take(page, folder, "add")
    page.get_by_label("Code").fill("123456")
    page.get_by_role("button", name="Finish").click()
    _take(page, folder, "wrong-code")
    page.get_by_role("button", name="Start again").click()
    page.goto(f"/web/devices/{TOKEN}/delete")
    page.get_by_role("button", name="Delete").click()
    page.goto(f"/web/devices/{PHONE}/delete")
    _take(page, folder, "delete")


def _desk(page: Page, office: Office, folder: Path) -> None:
    _sign_in(page, office, Role.DESK)
    page.get_by_label("Find a person").fill("a")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="carla").click()
    _take(page, folder, "person")


def _page(browser: Browser, office: Office, **more: object) -> Page:
    return browser.new_page(base_url=office.url, java_script_enabled=False, **{"viewport": _WIDE, **more})


def _sign_in(page: Page, office: Office, role: Role) -> None:
    page.goto("/web/sign-in")
    page.get_by_label("API token").fill(office.tokens[role])
    page.get_by_role("button", name="Sign in").click()


def _take(page: Page, folder: Path, name: str) -> None:
    page.screenshot(path=folder / f"web-{name}.png", full_page=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)
