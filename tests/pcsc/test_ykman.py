"""Unmodified ykmans, of PyPI and of Debian, drive the tokens through Debian's pcscd; oathtool says what is right."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pcsc.room import Room
from tests.pcsc.ykman import DEBIAN, PYPI, Account, Ykman

pytestmark = pytest.mark.pcsc


@dataclass(frozen=True)
class Case:
    """A token, `firmware-sim run`'s options for it, the name of its reader, and who drives it how."""

    name: str
    simulator: tuple[str, ...]
    reader: str
    program: Path
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


YUBIKEY_SERIAL = "12345678"
YUBIKEY = ("--family", "yubikey", "--firmware", "5.7.4", "--serial", YUBIKEY_SERIAL)
# What ykman looks for, and what makes it believe in a YubiKey on USB.
YUBIKEY_READER = "Yubico YubiKey CCID"
# SCP03 with whatever key version there is; ykman's own keys for it are the published ones.
SCP03 = ("--scp-sd", "1", "0")

REFERENCE = Case("reference-scp", (), "Virtual PCD", PYPI, SCP03)
YUBIKEYS = [
    Case("yubikey", YUBIKEY, YUBIKEY_READER, PYPI),
    Case("yubikey-scp", YUBIKEY, YUBIKEY_READER, PYPI, SCP03),
    Case("yubikey-debian", YUBIKEY, YUBIKEY_READER, DEBIAN),
]


OTHER = Account("other", b"o" * 20)


@pytest.fixture(scope="module", params=[REFERENCE, *YUBIKEYS], ids=str)
def driven(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ykman]:
    """The token's true time stands still, so that a touch is awaited until it comes, or until somebody moves the clock.
    The time of the codes is the host's."""
    case: Case = request.param
    folder = tmp_path_factory.mktemp(case.name)
    (folder / "clock").write_text("1767225600\n")
    room = Room(folder, case.reader)
    try:
        with room.token(*case.simulator, clock=folder / "clock") as token:
            yield Ykman(room, token, case.program, case.options)
    finally:
        room.close()


@pytest.fixture
def ykman(driven: Ykman) -> Ykman:
    """With a token that has no accounts."""
    driven("reset", "--force")
    return driven


def test_every_algorithm_length_and_period(ykman: Ykman) -> None:
    """Secrets of up to 64 bytes, a YubiKey's most (yubikit/oath.py)."""
    source = random.Random(20260101)
    accounts = [
        Account(f"{algorithm}-{digits}-{period}", source.randbytes(size), algorithm, digits, period)
        for (algorithm, size), digits, period in itertools.chain(
            itertools.product([("SHA1", 20), ("SHA256", 32), ("SHA512", 64)], (6, 7, 8), (30,)),
            [(("SHA1", 10), 6, 60), (("SHA256", 64), 8, 60), (("SHA512", 5), 7, 15)],
        )
    ]
    for account in accounts:
        ykman.add(account)
    codes, since, until = ykman.codes()
    assert codes.keys() == {account.id for account in accounts}
    for account in accounts:
        assert codes[account.id] in account.codes(since, until), account.name
    listed = ykman("accounts", "list", "--oath-type", "--period").splitlines()
    assert set(listed) == {f"{account.id}, TOTP, {account.period}" for account in accounts}
    for account in accounts[-3:]:
        since = time.time()
        assert ykman.code(account.id) in account.codes(since, time.time())


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256", "SHA512"])
def test_a_counter_counts(ykman: Ykman, algorithm: str) -> None:
    """oathtool's HOTP knows only SHA-1; a TOTP of one-second steps is HOTP of the time."""
    account = Account("counted", bytes(range(20)), algorithm, 6, 0, counter=5)
    ykman.add(account)
    ykman.add(OTHER)
    timed = Account("counted", account.secret, algorithm, 6, 1)
    for count in range(3):
        at = account.counter + count
        (expected,) = timed.codes(at, at)
        assert ykman.code("counted") == expected
        if algorithm == "SHA1":
            assert expected == account.code_number(count)
    codes, _, _ = ykman.codes()
    assert codes["counted"] == "[HOTP Account]"


def test_a_touch_is_asked_for(ykman: Ykman) -> None:
    account = Account("touched", b"t" * 20)
    ykman.add(account, "--touch")
    ykman.add(OTHER)
    codes, _, _ = ykman.codes()
    assert codes["touched"] == "[Requires Touch]"
    since = time.time()
    assert ykman.code_with_touch("touched") in account.codes(since, time.time())


@pytest.mark.parametrize("driven", YUBIKEYS, indirect=True, ids=str)
def test_a_touch_that_never_comes(ykman: Ykman) -> None:
    ykman.add(Account("touched", b"t" * 20), "--touch")
    assert "Touch account timed out!" in ykman.code_without_touch("touched")


@pytest.mark.parametrize("driven", [REFERENCE], indirect=True, ids=str)
def test_a_touch_that_never_comes_has_another_word_on_the_reference_token(ykman: Ykman) -> None:
    """6985, as docs/PROTOCOL.md has it: 6982, which ykman knows as "timed out", says there that a PIN or the
    administrator is missing."""
    ykman.add(Account("touched", b"t" * 20), "--touch")
    assert "SW=0x6985" in ykman.code_without_touch("touched")


@pytest.mark.parametrize("driven", YUBIKEYS, indirect=True, ids=str)
def test_a_password(ykman: Ykman) -> None:
    account = Account("one", b"1" * 20)
    ykman.add(account)
    ykman("access", "change", "--new-password", "open sesame")
    assert ykman("accounts", "list", "--password", "open sesame") == "one"
    refused = ykman.attempt("accounts", "list", "--password", "wrong")
    assert (refused.returncode, "Wrong password?" in refused.stderr) == (1, True)
    since = time.time()
    assert ykman("accounts", "code", "-s", "one", "--password", "open sesame") in account.codes(since, time.time())
    ykman("access", "change", "--password", "open sesame", "--clear")
    assert ykman.names() == {"one"}


@pytest.mark.parametrize("driven", [REFERENCE], indirect=True, ids=str)
def test_the_reference_token_has_no_password(ykman: Ykman) -> None:
    """DESIGN.md: it has a PIN in its place."""
    refused = ykman.attempt("access", "change", "--new-password", "open sesame")
    assert (refused.returncode, "SW=0x6985" in refused.stdout + refused.stderr) == (1, True)


@pytest.mark.parametrize("driven", YUBIKEYS, indirect=True, ids=str)
def test_a_yubikey_is_found_without_being_told_where(ykman: Ykman) -> None:
    """By the name of its reader and its serial. The reader's second slot, always empty, is one YubiKey too many for a
    ykman that is not told which."""
    program, *_ = ykman.command
    assert f"Serial: {YUBIKEY_SERIAL}" in ykman.room.run(program, "list").stdout
    found = ykman.room.run(program, "--device", YUBIKEY_SERIAL, "oath", "info")
    assert (found.returncode, "5.7.4" in found.stdout) == (0, True)


def test_rename_and_delete(ykman: Ykman) -> None:
    ykman.add(Account("first", b"1" * 20))
    ykman.add(Account("second", b"2" * 20, period=60))
    ykman("accounts", "rename", "--force", "first", "ACME:third")
    assert ykman.names() == {"ACME:third", "60/second"}
    since = time.time()
    assert ykman.code("ACME:third") in Account("", b"1" * 20).codes(since, time.time())
    ykman("accounts", "delete", "--force", "60/second")
    assert ykman.names() == {"ACME:third"}
    ykman("reset", "--force")
    assert ykman.names() == set()


def test_the_same_name_again_replaces(ykman: Ykman) -> None:
    ykman.add(Account("one", b"1" * 20))
    new = Account("one", b"2" * 20)
    ykman.add(new)
    since = time.time()
    assert ykman.code("one") in new.codes(since, time.time())
    assert ykman.names() == {"one"}


def test_forty_accounts(ykman: Ykman) -> None:
    accounts = [Account(f"account {number:02d}", bytes((number,)) * 20) for number in range(40)]
    for account in accounts:
        ykman.add(account)
    assert ykman.names() == {account.name for account in accounts}
    codes, since, until = ykman.codes()
    assert codes.keys() == {account.name for account in accounts}
    for account in accounts:
        assert codes[account.name] in account.codes(since, until), account.name


@pytest.mark.parametrize("program", [PYPI, DEBIAN], ids=["pypi", "debian"])
def test_without_a_secure_channel_the_reference_token_takes_no_secret(tmp_path: Path, program: Path) -> None:
    """DESIGN.md: no seed crosses a wire in the clear. ykman 4.0.9 has no SCP03 at all."""
    room = Room(tmp_path, REFERENCE.reader)
    try:
        with room.token() as token:
            ykman = Ykman(room, token, program, ())
            refused = ykman.attempt("accounts", "add", "--force", *Account("one", b"1" * 20).arguments)
            assert refused.returncode == 1
            assert "SW=0x6982" in refused.stdout + refused.stderr
            assert ykman.names() == set()
    finally:
        room.close()
