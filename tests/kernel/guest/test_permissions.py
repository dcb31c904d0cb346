"""The rules of udev/, applied by the real udev to a real device: who gets in, and under which name."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.guest.world import Token, User, opens, provision, run

pytestmark = pytest.mark.kernel

RULES = Path("/etc/udev/rules.d/70-hwtoken.rules")
SEAT = Path("/run/systemd/seats/seat0")
MEMBER_UID, STRANGER, SITTER = 2001, User(2002), User(2003)


def member() -> User:
    return User(MEMBER_UID, (grp.getgrnam("hwtoken").gr_gid,))


def nodes(token: Token) -> list[str]:
    """The device files of a token: its serial line, and its USB device."""
    return [os.path.realpath(f"/dev/hwtoken/{place}") for place in (token.serial, f"usb/{token.serial}")]


@pytest.fixture(scope="module")
def rules(token: Token) -> Iterator[None]:
    done = provision("udev", "install")
    assert done.exit_code == 0, done.text
    run("udevadm", "settle")
    yield
    RULES.unlink()
    run("udevadm", "control", "--reload")
    token.replug()


@pytest.fixture
def seat(token: Token, rules: None) -> Iterator[None]:
    """SITTER sits at the machine, as systemd-logind would tell udev."""
    SEAT.parent.mkdir(parents=True)
    SEAT.write_text(f"IS_ACTIVE=1\nACTIVE=1\nACTIVE_UID={SITTER.uid}\n")
    token.replug()
    yield
    SEAT.unlink()
    token.replug()


def test_without_the_rules_only_root_gets_in(token: Token) -> None:
    token.replug()
    assert not opens(token.tty, STRANGER)
    assert provision("info", "--token", token.address).exit_code == 0
    for address in (token.address, token.usb_address):
        assert "udev install" in provision("info", "--token", address, user=STRANGER).error(3)


def test_a_member_of_the_group_gets_in_and_a_stranger_does_not(token: Token, rules: None) -> None:
    for node in nodes(token):
        status = os.stat(node)
        assert (status.st_gid, status.st_mode & 0o777) == (grp.getgrnam("hwtoken").gr_gid, 0o660)
        assert opens(node, member())
        assert not opens(node, STRANGER)


def test_they_may_use_the_commands(token: Token, rules: None) -> None:
    for address in (token.address, token.usb_address):
        assert provision("info", "--token", address, user=member()).last["serial"] == token.serial
        assert "you may not open" in provision("info", "--token", address, user=STRANGER).error(3)


def test_the_token_has_its_serial_as_a_name(token: Token, rules: None) -> None:
    link = f"/dev/hwtoken/{token.serial}"
    assert os.path.realpath(link) == str(token.tty)
    (found,) = provision("list").last["tokens"]
    assert found["address"] == f"serial:{link}"
    assert provision("info", "--token", f"serial:{link}").last["serial"] == token.serial


def test_modem_manager_is_told_to_keep_off(token: Token, rules: None) -> None:
    told = run("udevadm", "info", "--query=property", str(token.tty)).splitlines()
    assert {"HWTOKEN=reference", "ID_MM_DEVICE_IGNORE=1", "ID_MM_PORT_IGNORE=1"} <= set(told)


def test_whoever_sits_at_the_machine_gets_in(token: Token, seat: None) -> None:
    for node in nodes(token):
        assert os.getxattr(node, "system.posix_acl_access")
        assert opens(node, SITTER)
        assert not opens(node, STRANGER)


def test_and_has_gone_with_the_seat(token: Token, rules: None) -> None:
    for node in nodes(token):
        assert not opens(node, SITTER)


def test_other_devices_stay_what_they_were(rules: None) -> None:
    hub = os.stat("/dev/bus/usb/001/001")
    assert (hub.st_gid, hub.st_mode & 0o777) == (0, 0o664)
