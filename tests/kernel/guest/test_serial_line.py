"""The token over /dev/ttyACM0: pyserial, a kernel driver and USB in between."""

from __future__ import annotations

import pytest

from tests.kernel.guest.world import Token, provision

pytestmark = pytest.mark.kernel


def test_it_says_what_it_is(token: Token) -> None:
    assert token.address.startswith("serial:/dev/ttyACM")
    info = provision("info", "--token", token.address).last
    assert (info["serial"], info["family"]) == (token.serial, "reference")


def test_it_is_found_by_its_identity(token: Token) -> None:
    (found,) = provision("list").last["tokens"]
    assert found["address"] == token.address
    assert found["serial"] == token.serial
