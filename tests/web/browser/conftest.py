"""A real Chromium, and a server for it. What is missing fails: `make test-web` installs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.office import Made, Office

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

    from tests.web.browser.chromium import OpenPage


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    from tests.web.browser.chromium import started  # Playwright is in this lane's environment only

    with started() as browser:
        yield browser


@pytest.fixture
def office(made: Made, tmp_path: Path) -> Iterator[Office]:
    with Office(made, tmp_path) as office:
        yield office


@pytest.fixture
def open_page(chromium: Browser, office: Office) -> Iterator[OpenPage]:
    """A page of a new visitor. What it asks of another server fails, and what its Content-Security-Policy forbids."""
    contexts: list[BrowserContext] = []
    strangers: list[str] = []

    def opened(**more: object) -> Page:
        options = {"base_url": office.url, "java_script_enabled": False, **more}
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        ours = (f"{options['base_url']}/", "data:")
        page.on("request", lambda request: request.url.startswith(ours) or strangers.append(request.url))
        page.on("console", lambda message: "Security Policy" in message.text and strangers.append(message.text))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert strangers == []
