"""Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

AXE = Path(__file__).resolve().parents[3] / ".lanes" / "web" / "package" / "axe.min.js"

OpenPage = Callable[..., Page]


@contextmanager
def started() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "chromium is not installed: see tests/web/install.sh"
    with sync_playwright() as playwright:
        # Without its sandbox, since it is run as root, on pages of ours only.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def complaints(page: Page) -> list[str]:
    """What axe-core finds against WCAG 2.2 level AA and its own best practices, one line each."""
    page.evaluate(AXE.read_text("utf-8"))
    found = page.evaluate("axe.run()")
    return [
        f"{one['impact']}: {one['id']}: {one['help']}: {node['target']}: {node['html']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def is_wider_than_its_window(page: Page) -> bool:
    wide: bool = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return wide
