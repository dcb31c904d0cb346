"""`provision doctor` on a machine where each of the faults that it knows is real, and mended by what it says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.guest.pcscd import running_pcscd
from tests.kernel.guest.world import Token, User, provision, run

pytestmark = pytest.mark.kernel

BOB = User(2004)
TABLE = Path("/etc/libccid_Info.plist")
UNTOUCHED_TABLE = TABLE.with_name("libccid_Info.plist.orig")


def diagnosis(user: User | None = None) -> dict[str, str]:
    """What is found, by the name of the check, and how to mend it."""
    ran = provision("doctor", user=user)
    findings = {
        each["check"]: f"{each['problem']}; {each['mend']}" for each in ran.last["findings"] if not each["note"]
    }
    assert ran.exit_code == (3 if findings else 0)
    return findings


@pytest.fixture(autouse=True, scope="module")
def untouched() -> None:
    """The table of libccid as Debian has it, whatever other tests did to it; and a user."""
    if UNTOUCHED_TABLE.exists():
        shutil.copy(UNTOUCHED_TABLE, TABLE)
    with Path("/etc/passwd").open("a") as users:
        users.write(f"bob:x:{BOB.uid}:{BOB.uid}::/:/bin/sh\n")


@pytest.fixture(scope="module")
def rules(token: Token) -> Iterator[None]:
    path = Path(provision("udev", "install").last["path"])
    run("udevadm", "settle")
    yield
    path.unlink()
    run("udevadm", "control", "--reload")
    token.replug()


def test_no_rule(token: Token) -> None:
    for user in (None, BOB):
        assert "udev install" in diagnosis(user)["udev-rules"]


def test_a_busy_port(token: Token) -> None:
    held = os.open(token.tty, os.O_RDWR | os.O_NOCTTY)
    try:
        found = diagnosis()["busy-port"]
    finally:
        os.close(held)
    assert f"{token.tty} is in use" in found
    assert f"kill {os.getpid()}" in found
    assert "busy-port" not in diagnosis()


def test_no_pcscd(token: Token) -> None:
    assert "does not run" in diagnosis()["pcscd"]
    with running_pcscd():
        assert "pcscd" not in diagnosis()


def test_no_entry_in_libccids_table(token: Token) -> None:
    assert "1209:0001 is not in libccid's table" in diagnosis()["ccid-plist"]
    assert provision("doctor", "--mend", "ccid-plist").last["changed"]
    assert "ccid-plist" not in diagnosis()
    assert not provision("doctor", "--mend", "ccid-plist").last["changed"]


def test_the_wrong_group(token: Token, rules: None) -> None:
    found = diagnosis(BOB)
    assert "udev-rules" not in found
    assert "bob may not use" in found["permission"]
    assert "usermod -aG hwtoken bob" in found["permission"]


def test_nothing_at_all(token: Token, rules: None) -> None:
    with running_pcscd():
        assert diagnosis() == {}
