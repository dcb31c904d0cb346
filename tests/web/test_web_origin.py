"""Which forms were sent by a page of ours."""

from __future__ import annotations

import pytest

from provision.servers.web.origin import is_same

HOST = {"host": "codes.example:8443"}


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "null"},
        {"origin": "https://codes.example:8443"},
        {"origin": "http://codes.example:8443"},
    ],
)
def test_ours(headers: dict[str, str]) -> None:
    assert is_same(HOST | headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},  # another port of this machine
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": ""},
        {"sec-fetch-site": "cross-site", "origin": "https://codes.example:8443"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "https://codes.example"},
        {"origin": "https://codes.example:8443.evil.example"},
        {"origin": "https://evil.example", "x-forwarded-host": "evil.example"},
        {"origin": "https://evil.example#codes.example:8443"},
        {"origin": "https://["},
        {"referer": "https://codes.example:8443/web/devices"},
    ],
)
def test_not_ours(headers: dict[str, str]) -> None:
    assert not is_same(HOST | headers)


def test_no_host_is_not_the_same_as_no_origin() -> None:
    assert not is_same({})
    assert not is_same({"host": "", "origin": ""})
