"""Who may come over HTTP: what the file keeps of an API token, and what the command line tells."""

from __future__ import annotations

import json
import random
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.cli.main import main
from provision.clock import ManualClock
from provision.errors import InputError, Rejected
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role

START_S = 1_767_225_600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "server.db"


@pytest.fixture
def server(path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.init(path, ManualClock(START_S), random.Random(1).randbytes) as server:
        yield server


def test_its_holder_is_known_until_it_is_revoked(server: EmbeddedServer) -> None:
    made, text = server.create_api_token("Anna's phone", Role.USER, "anna")
    other, _ = server.create_api_token("login page", Role.RELYING_PARTY)
    plain = text.reveal().decode()
    assert server.holder(plain) == made
    server.revoke_api_token("Anna's phone")
    with pytest.raises(Rejected) as refusal:
        server.holder(plain)
    assert refusal.value.code == "unauthenticated"
    assert [(one.name, one.revoked_s) for one in server.api_tokens()] == [
        ("Anna's phone", START_S),
        ("login page", None),
    ]
    assert server.api_tokens()[1] == other


def test_what_is_wrong_with_it_is_not_told(server: EmbeddedServer) -> None:
    _, text = server.create_api_token("one", Role.DESK)
    plain = text.reveal().decode()
    server.create_api_token("two", Role.DESK)
    server.revoke_api_token("two")
    flipped = plain[:-1] + ("0" if plain[-1] != "0" else "1")
    other_id = plain[:4] + ("0" if plain[4] != "0" else "1") + plain[5:]
    told = set()
    for wrong in (flipped, other_id, plain[:-1], plain + "0", plain.upper(), f" {plain}", "", "hwt__", "ü" * 85):
        with pytest.raises(Rejected) as refusal:
            server.holder(wrong)
        told.add(str(refusal.value))
    assert len(told) == 1


@given(st.text() | st.from_regex(r"\Ahwt_[0-9a-f]{16}_[0-9a-f]{64}\Z"))
def test_no_text_but_its_own_opens_anything(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("guess") / "server.db"
    with EmbeddedServer.init(path, ManualClock(START_S), random.Random(1).randbytes) as server:
        server.create_api_token("one", Role.ADMINISTRATOR)
        with pytest.raises(Rejected):
            server.holder(text)


def test_a_role_and_a_user_that_do_not_go_together(server: EmbeddedServer) -> None:
    for role, user in ((Role.USER, None), (Role.DESK, "anna"), (Role.ADMINISTRATOR, "anna"), (Role.USER, "")):
        with pytest.raises(InputError):
            server.create_api_token("one", role, user)
    assert not server.api_tokens()


def test_a_name_is_given_once(server: EmbeddedServer) -> None:
    server.create_api_token("one", Role.DESK)
    server.revoke_api_token("one")
    with pytest.raises(InputError, match="there is or was"):
        server.create_api_token("one", Role.DESK)
    for name in ("one", "nobody"):
        with pytest.raises(Rejected) as refusal:
            server.revoke_api_token(name)
        assert refusal.value.code == "unknown-token"


def test_the_file_keeps_a_hash_only(server: EmbeddedServer, path: Path) -> None:
    _, text = server.create_api_token("one", Role.DESK)
    secret = text.reveal().decode().split("_")[2]
    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"one" in held
    for spelling in (secret.encode(), bytes.fromhex(secret)):
        assert spelling not in held
    assert secret not in repr(text) + repr(server.api_tokens())


# the command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    exit_code = main(["server", *arguments, "--json"])
    return exit_code, json.loads(capsys.readouterr().out)


def test_the_commands(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = ("--server", f"embedded:{path}")
    assert run(capsys, "init", *address)[0] == 0
    out = path.with_name("token")
    exit_code, told = run(
        capsys, *("api-token", "create", "desk", *address, "--role", "desk", "--api-token-out", str(out))
    )
    assert (exit_code, told["api_token_file"]) == (0, str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    _, shown = run(
        capsys, *("api-token", "create", "page", *address, "--role", "relying-party", "--api-token-out", "-")
    )
    _, listed = run(capsys, "api-token", "list", *address)
    assert [(one["name"], one["role"], one["revoked_s"]) for one in listed["api_tokens"]] == [  # type: ignore[attr-defined]  # JSON
        ("desk", "desk", None),
        ("page", "relying-party", None),
    ]
    assert str(shown["api_token"]) not in json.dumps(listed)
    assert run(capsys, "api-token", "revoke", "desk", *address) == (0, {"name": "desk", "revoked": True})
    assert run(capsys, "api-token", "revoke", "desk", *address)[0] == 5
    assert main(["server", "api-token", "list", *address]) == 0
    assert "2" in capsys.readouterr().out


def test_a_token_that_nobody_got_was_never_made_and_its_name_is_free(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = ("--server", f"embedded:{path}")
    run(capsys, "init", *address)
    arguments = ("api-token", "create", "desk", *address, "--role", "desk", "--api-token-out")
    assert run(capsys, *arguments, str(path))[0] == 9
    with EmbeddedServer(path, ManualClock(0), random.Random(1).randbytes) as server:
        assert server.api_tokens() == []
    assert run(capsys, *arguments, str(path.with_name("token")))[0] == 0


def test_a_token_that_somebody_may_have_got_a_part_of_is_revoked(path: Path) -> None:
    command = [sys.executable, "-m", "provision", "server"]
    address = ("--server", f"embedded:{path}")
    subprocess.run([*command, "init", *address], check=True, stdout=subprocess.DEVNULL)
    with open("/dev/full", "wb") as full:
        arguments = ("api-token", "create", "desk", *address, "--role", "desk", "--api-token-out", "-")
        assert subprocess.run([*command, *arguments], stdout=full, stderr=subprocess.DEVNULL, check=False).returncode
    with EmbeddedServer(path, ManualClock(0), random.Random(1).randbytes) as server:
        assert server.api_tokens()[0].revoked_s is not None


def test_what_gives_access_is_not_to_be_had_by_access(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "api-token", "list", "--server", "https://localhost:8443")[0] == 2
