"""The token's card reader: libusb alone, and pcscd with libccid."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernel.guest.pcscd import mended_table, running_pcscd, wait_for_no_reader, wait_for_reader
from tests.kernel.guest.world import Token, provision

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def pcscd(token: Token) -> Iterator[str]:
    """pcscd, which knows the token: its reader's name."""
    mended_table()
    with running_pcscd():
        yield wait_for_reader()


def test_the_reader_is_spoken_to_over_libusb(token: Token) -> None:
    assert provision("info", "--token", token.usb_address).last["serial"] == token.serial


def test_serial_line_and_reader_are_used_side_by_side(token: Token) -> None:
    for address in (token.usb_address, token.address, token.usb_address):
        assert provision("info", "--token", address).last["serial"] == token.serial


def test_pcscd_serves_it(token: Token, pcscd: str) -> None:
    assert token.serial in pcscd
    assert provision("info", "--token", f"pcsc:{pcscd}").last["serial"] == token.serial


def test_a_reader_that_pcscd_holds_is_busy_and_the_way_out_is_told(token: Token, pcscd: str) -> None:
    error = provision("info", "--token", token.usb_address).error(3)
    assert "pcscd holds the reader" in error
    assert "pcsc:" in error


def test_pcscd_sees_it_go_and_come(token: Token, pcscd: str) -> None:
    token.hand("cable", action="unplug")
    wait_for_no_reader()
    assert provision("info", "--token", f"pcsc:{pcscd}").exit_code == 3
    token.hand("cable", action="plug")
    back = provision("info", "--token", f"pcsc:{wait_for_reader()}")
    assert back.exit_code == 0, back
    assert back.last["serial"] == token.serial
