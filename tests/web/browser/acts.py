"""What somebody does on a page, and reads there. `make test`, which has no Playwright, collects these tests too."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from provision.model import OtpParameters, Secret
from provision.otp import code_at

if TYPE_CHECKING:
    from playwright.sync_api import Page


def sign_in(page: Page, api_token: str) -> None:
    page.goto("/")
    page.get_by_label("API token").fill(api_token)
    page.get_by_role("button", name="Sign in").click()


def shown_code(page: Page, now_s: float) -> str:
    """What an app would show that read the page's secret."""
    uri = page.get_by_role("link", name="Open it in the app").get_attribute("href")
    base32 = parse_qs(urlsplit(str(uri)).query)["secret"][0]
    secret = Secret(base64.b32decode(base32 + "=" * (-len(base32) % 8)))
    return code_at(secret, OtpParameters(), OtpParameters().step_at(now_s))


def heading(page: Page) -> str:
    return page.get_by_role("heading", level=1).inner_text()


def notice(page: Page) -> str:
    return page.locator("#notice").inner_text()


class Keyboard:
    """Somebody without a mouse: goes on with Tab, and must see where they are at each step."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def to(self, name: str) -> None:
        for _ in range(40):
            where = self._page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
                return [e.matches('body, main') ? '' : e.labels?.[0]?.innerText || e.innerText || '',
                        s.outlineStyle, parseFloat(s.outlineWidth)]; }"""
            )
            if name in where[0]:
                assert where[1] == "solid" and where[2] >= 2, f"{name}: nobody sees that it has the focus"
                return
            self._page.keyboard.press("Tab")
        raise AssertionError(f"Tab never comes to {name!r}")

    def enter(self, name: str) -> None:
        self.to(name)
        with self._page.expect_navigation():
            self._page.keyboard.press("Enter")

    def type(self, name: str, text: str) -> None:
        self.to(name)
        self._page.keyboard.press("Control+A")
        self._page.keyboard.type(text)

    def submit(self) -> None:
        with self._page.expect_navigation():
            self._page.keyboard.press("Enter")
