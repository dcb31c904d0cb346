"""`provision server serve` as people run it: a process, sockets, TLS, and what goes wrong with them."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from provision.cli.main import main
from provision.cli.seed_search import COMMAND
from provision.clock import ManualClock
from provision.errors import CodeReplayed, InputError, ProvisionError, Rejected, Throttled, Unreachable, UsageError
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Registration, ServerBackend, open_server
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from provision.servers.service.run import STOP_S
from tests.servers.live import Serving, certificate, serving

pytestmark = pytest.mark.service

START_S = 1_767_225_600.0
TOTP = OtpParameters()
NOW = TOTP.step_at(START_S)
SEED = Secret(b"12345678901234567890")
CLIENTS = 50


def code(step: int) -> str:
    return code_at(SEED, TOTP, step)


class World:
    def __init__(self, folder: Path) -> None:
        self.path, self.clock = folder / "server.db", folder / "clock"
        self.set_clock(START_S)
        with EmbeddedServer.init(self.path, ManualClock(START_S), os.urandom) as server:
            self.api_token = server.create_api_token("administrator", Role.ADMINISTRATOR)[1]
            server.register(Registration(UUID(int=1), "alice", "desk", None, SEED, TOTP))

    def set_clock(self, now_s: float) -> None:
        new = self.clock.with_name("new clock")
        new.write_text(f"{now_s}\n")
        new.replace(self.clock)

    def serving(self, *more: str) -> contextlib.AbstractContextManager[Serving]:
        return serving(self.path, "--clock", f"file:{self.clock}", *more)

    def at(self, url: str) -> ServerBackend:
        return open_server(url, ManualClock(), lambda: self.api_token)

    def file(self) -> EmbeddedServer:
        return EmbeddedServer(self.path, ManualClock(START_S), os.urandom)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def running(world: World) -> Iterator[Serving]:
    with world.serving() as running:
        yield running


def outcome_of(server: ServerBackend, given: str) -> object:
    try:
        return server.check("alice", given).step
    except ProvisionError as error:
        return type(error)


def test_a_code_that_fifty_clients_post_at_once_is_accepted_once(world: World, running: Serving) -> None:
    server, gate = world.at(running.url), threading.Barrier(CLIENTS)

    def post(_: int) -> object:
        gate.wait(timeout=60)
        return outcome_of(server, code(NOW))

    with ThreadPoolExecutor(CLIENTS) as clients:
        outcomes = list(clients.map(post, range(CLIENTS)))
    # Whoever came second is charged, and those after that must wait: none of them is looked at.
    assert sorted(map(str, outcomes)) == sorted(map(str, [NOW, CodeReplayed, *[Throttled] * (CLIENTS - 2)]))
    with world.file() as file:
        told = [entry.outcome for entry in file.audit() if entry.action is Action.CHECK]
    assert told == [Outcome.ACCEPTED, Outcome.REPLAYED] + [Outcome.THROTTLED] * (CLIENTS - 2)


def test_a_clock_stepped_back_under_a_running_server_makes_no_used_code_good(world: World, running: Serving) -> None:
    server = world.at(running.url)
    assert outcome_of(server, code(NOW)) == NOW
    world.set_clock(START_S - 30)
    assert outcome_of(server, code(NOW)) is CodeReplayed
    world.set_clock(START_S - 20)
    assert outcome_of(server, code(NOW - 1)) is CodeReplayed
    assert server.list()[0].last_step == NOW


def test_a_clock_that_was_stepped_back_is_told_at_the_start(world: World) -> None:
    world.set_clock(START_S - 86_400)
    with world.serving() as running:
        assert world.at(running.url).list()
        running.process.send_signal(signal.SIGTERM)
        _, told = running.process.communicate(timeout=30)
    assert "warning: the clock stands 86400 s before the last thing that was done here" in told


def test_a_full_disk(world: World, running: Serving) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    server = world.at(running.url)
    server.rename(str(UUID(int=1)), "drawer")
    full = world.path.with_name("server.db-wal").stat().st_size
    limits = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (full, limits[1]))
    for _ in range(2):
        with pytest.raises(Unreachable, match="cannot use its database now"):
            server.check("alice", code(NOW))
    assert server.list()[0].name == "drawer"  # reading goes on
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, limits)
    assert outcome_of(server, code(NOW)) == NOW


PEOPLE = 200


def test_killed_under_two_hundred_clients_it_forgets_no_accepted_code_and_accepts_none_twice(world: World) -> None:
    seeds = {f"user {number}": Secret(number.to_bytes(20, "big")) for number in range(PEOPLE)}
    with world.file() as file:
        for number, (user, seed) in enumerate(seeds.items(), start=100):
            file.register(Registration(UUID(int=number), user, "phone", None, seed, TOTP))
    answered, gate = itertools.count(1), threading.Barrier(PEOPLE)

    def log_in(server: ServerBackend, user: str) -> object:
        try:
            return server.check(user, code_at(seeds[user], TOTP, NOW)).step
        except ProvisionError as error:
            return type(error)

    def among_others(running: Serving, user: str) -> object:
        gate.wait(timeout=60)
        outcome = log_in(world.at(running.url), user)
        if next(answered) == PEOPLE // 4:
            running.process.kill()
        return outcome

    with ThreadPoolExecutor(PEOPLE) as clients, world.serving() as running:
        asked = [clients.submit(among_others, running, user) for user in seeds]
        before = {user: future.result() for user, future in zip(seeds, asked, strict=True)}
    with world.serving() as running:
        after = {user: log_in(world.at(running.url), user) for user in seeds}
    assert set(before.values()) == {NOW, Unreachable}  # it died in the middle
    for user in seeds:
        # A code whose answer was lost may be spent or not: whoever asks again is let in at most this once.
        assert after[user] in ({CodeReplayed} if before[user] == NOW else {NOW, CodeReplayed})
    with world.file() as file:
        accepted = [entry.user for entry in file.audit() if entry.outcome is Outcome.ACCEPTED]
    assert len(accepted) == len(set(accepted))
    print("answered before the kill:", list(before.values()).count(NOW))


def test_it_lets_what_is_under_way_finish(world: World, running: Serving) -> None:
    body = json.dumps({"user": "alice", "code": code(NOW)}).encode()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)) as connection:
        connection.putrequest("POST", "/v1/check")
        for name, value in (headers_of(world.api_token) | {"Content-Length": str(len(body))}).items():
            connection.putheader(name, value)
        connection.endheaders(body[:10])
        until_heard(running)
        running.process.send_signal(signal.SIGTERM)
        until_it_stops(running)
        connection.send(body[10:])
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["step"]) == (200, NOW)


def headers_of(api_token: Secret) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_token.reveal().decode()}", "Content-Type": "application/json"}


def until_heard(running: Serving) -> None:
    """The event loop answers this after it has taken in what was sent before."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)) as connection:
        connection.request("GET", "/openapi.json")
        assert connection.getresponse().read()


def until_it_stops(running: Serving) -> None:
    """The first that it does is to listen no more: who stood in its queue is reset, who comes then is refused."""
    with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
        while True:
            socket.create_connection(("127.0.0.1", running.port), timeout=30).close()


def test_over_tls(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = certificate(tmp_path)
    with world.serving("--tls-cert-file", str(cert), "--tls-key-file", str(key)) as running:
        assert running.url.startswith("https://127.0.0.1:")
        with pytest.raises(Unreachable, match=r"does not prove that it is 127\.0\.0\.1"):
            world.at(running.url).list()
        with pytest.raises(Unreachable):
            world.at(running.url.replace("https", "http")).list()
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert outcome_of(world.at(running.url), code(NOW)) == NOW


@pytest.mark.parametrize("sent", [b"", b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_browser_that_keeps_its_connection_does_not_keep_the_server(
    world: World, tmp_path: Path, sent: bytes
) -> None:
    """It never says that it has closed, for which TLS would wait."""
    cert, key = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(cert))
    with (
        world.serving("--tls-cert-file", str(cert), "--tls-key-file", str(key)) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=30) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as browser,
    ):
        browser.sendall(sent)
        assert not sent or browser.recv(1)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(timeout=STOP_S / 2)


def test_nobody_listens(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot be reached"):
        world.at(f"http://127.0.0.1:{port}").list()


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\n<html>", b"HTTP/1.1 503 Busy\r\n\r\nbusy", b"SSH-2.0-x\r\n", b""]
)
def test_something_else_listens(world: World, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        with pytest.raises(Unreachable):
            world.at(f"http://127.0.0.1:{listener.getsockname()[1]}").list()
        thread.join()


@pytest.mark.parametrize(
    "address",
    [
        "http://server.example",
        "https://",
        "https://a/b",
        "https://u:p@a",
        "https://a?b",
        "https://a:x",
        "http:x",
        "ftp://a",
    ],
)
def test_an_address_that_is_none(world: World, address: str) -> None:
    with pytest.raises(UsageError):
        world.at(address)


@pytest.mark.parametrize("given", [b"", b"hunter2", "hwt_ä".encode(), b"hwt_a\r\nX: y"])
def test_what_is_no_api_token_is_sent_nowhere(given: bytes) -> None:
    with pytest.raises(InputError):
        open_server("http://127.0.0.1:1", ManualClock(), lambda: Secret(given))


def test_an_unknown_api_token(running: Serving) -> None:
    stranger = open_server(running.url, ManualClock(), lambda: Secret(b"hwt_" + b"0" * 16 + b"_" + b"0" * 64))
    with pytest.raises(Rejected) as refusal:
        stranger.list()
    assert refusal.value.code == "unauthenticated"


FORWARDED = b"X-Forwarded-Proto: ftp\r\nX-Forwarded-For: 192.0.2.1\r\n"  # anybody can say so


@contextlib.contextmanager
def serving_here(world: World, tls: tuple[Path, Path] | None = None) -> Iterator[tuple[str, int]]:
    """In a thread of this process, with whatever limits `run` has been given; where it listens."""
    from provision.servers.service import run
    from provision.servers.service.app import create_app
    from provision.servers.service.aside import Aside

    with world.file() as file, run.listen("127.0.0.1:0") as listener:
        server = run.prepare(create_app(file, Aside(COMMAND)), tls and run.TlsFiles(*tls))

        def serve() -> None:
            with asyncio.Runner(loop_factory=run.PatientLoop) as runner:
                runner.run(server.serve([listener]))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(timeout=30)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_client_that_never_finishes_what_it_says(tls: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever says nothing to TLS has not finished its handshake."""
    from provision.servers.service import run

    monkeypatch.setattr(run, "HEAD_S", 0.5 if tls else 0.05)  # a handshake that is wanted takes some, too
    files = certificate(tmp_path)
    trust = ssl.create_default_context(cafile=str(files[0]))
    with serving_here(World(tmp_path), files if tls else None) as place:

        def connected() -> socket.socket:
            return socket.create_connection(place, timeout=30)

        def spoken() -> socket.socket:
            return trust.wrap_socket(connected(), server_hostname="127.0.0.1") if tls else connected()

        with connected() as silent:
            assert silent.recv(1) == b""
        for sent in (b"", b"GET /v1/dev", b"GET /openapi.json HTTP/1.1\r\nHost: x\r\nX-Slow"):
            with spoken() as connection:
                connection.sendall(sent)
                assert connection.recv(1) == b""
        with spoken() as patient:
            patient.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
            assert patient.recv(100).startswith(b"HTTP/1.1 200")


def test_more_connections_than_it_serves_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One more is told so, and is served once another has gone."""
    from provision.servers.service import run

    monkeypatch.setattr(run, "MAX_CONNECTIONS", 2)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(serving_here(World(tmp_path)))
        first, second, third = (
            stack.enter_context(contextlib.closing(http.client.HTTPConnection(*place, timeout=30))) for _ in range(3)
        )

        def status(connection: http.client.HTTPConnection) -> int:
            connection.request("GET", "/nowhere")
            response = connection.getresponse()
            response.read()
            return response.status

        assert [status(one) for one in (first, second, third)] == [404, 404, 503]
        first.close()
        assert 404 in (status(third) for _ in range(1000))  # as soon as the server has seen it go


# the command line


@pytest.mark.parametrize(
    ("arguments", "exit_code", "told"),
    [
        (("--listen", "127.0.0.1:x"), 2, "is no place to listen at"),
        (("--listen", "127.0.0.1:65536"), 2, "is no place to listen at"),
        (("--listen", "203.0.113.1:0"), 2, "hint: HOST is an address of this machine"),
        (("--listen", "nowhere.invalid:0"), 2, "hint: HOST is an address of this machine"),
        (("--listen", "fd:x"), 2, "is no listening socket"),
        (("--listen", "fd:0"), 2, "is no listening socket"),
        (("--listen", "fd:9999"), 2, "is no listening socket"),
        (("--tls-cert-file", "x"), 2, "needs a certificate and its key"),
        (("--tls-cert-file", "nowhere", "--tls-key-file", "nowhere"), 9, "nowhere cannot be read"),
        (("--tls-cert-file", "server.db", "--tls-key-file", "nowhere"), 9, "nowhere cannot be read"),
        (("--tls-cert-file", "server.db", "--tls-key-file", "server.db"), 9, "cannot be used: not PEM"),
    ],
)
def test_serving_refused(
    world: World,
    arguments: tuple[str, ...],
    exit_code: int,
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(world.path.parent)
    assert main(["server", "serve", "--server", "embedded:server.db", *arguments]) == exit_code
    assert told in capsys.readouterr().err


def test_a_port_that_is_taken(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        arguments = ("--server", f"embedded:{world.path}", "--listen", str(taken.getsockname()[1]))
        assert main(["server", "serve", *arguments]) == 2
    assert capsys.readouterr().err.endswith("Address already in use\nhint: another program listens there\n")


def test_a_key_of_another_certificate_and_one_under_a_passphrase(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    cert, own = certificate(tmp_path)
    _, other = certificate(tmp_path / "other")
    key = load_pem_private_key(own.read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    command = [sys.executable, "-m", "provision", "server", "serve", "--server", f"embedded:{world.path}"]
    for file, told in ((other, "the key is that of another certificate"), (locked, "is under a passphrase")):
        done = subprocess.run(
            [*command, "--tls-cert-file", str(cert), "--tls-key-file", str(file)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,  # away from any terminal, as under a service manager
        )
        assert (done.returncode, told in done.stderr, str(file) in done.stderr) == (9, True, True), done.stderr


def test_stopped_it_leaves_one_file_with_everything_in_it(world: World) -> None:
    with world.serving() as running:
        assert outcome_of(world.at(running.url), code(NOW)) == NOW
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(timeout=30) == 0
    assert {path.name for path in world.path.parent.glob("server.db*")} == {"server.db", "server.db.key"}


def test_only_a_file_is_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "serve", "--server", "https://elsewhere"]) == 2
    assert main(["server", "serve", "--server", "embedded:nowhere.db"]) == 5
    assert "there is no server database" in capsys.readouterr().err


def test_the_usual_commands_over_http(
    world: World, running: Serving, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_bytes(world.api_token.reveal() + b"\n")
    (tmp_path / "token").chmod(0o600)
    (tmp_path / "code").write_text(code(NOW))
    (tmp_path / "code").chmod(0o600)
    there = ("--server", running.url, "--api-token-file", str(tmp_path / "token"), "--json")

    def run(*arguments: str) -> tuple[int, dict[str, object]]:
        return main(["server", *arguments, *there]), json.loads(capsys.readouterr().out)

    assert run("check", "--user", "alice", "--code-file", str(tmp_path / "code"))[1]["step"] == NOW
    exit_code, told = run("check", "--user", "alice", "--code-file", str(tmp_path / "code"))
    assert (exit_code, told["error"]["type"]) == (4, "CodeReplayed")  # type: ignore[index]  # JSON
    assert run("rename", "desk", "drawer", "--user", "alice")[0] == 0
    assert run("register", "--user", "bob", "--name", "phone", "--otpauth-out", str(tmp_path / "uri"))[0] == 0
    assert run("disable", "phone", "--user", "bob")[0] == 0
    devices = run("list")[1]["devices"]
    assert [(device["user"], device["name"], device["disabled"]) for device in devices] == [  # type: ignore[attr-defined]  # JSON
        ("alice", "drawer", False),
        ("bob", "phone", True),
    ]
    assert run("delete", "phone", "--user", "bob")[0] == 0


def test_without_the_extra_it_says_what_to_install(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("provision.servers.service.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert main(["server", "serve", "--server", f"embedded:{world.path}"]) == 2
    assert f"hint: {sys.executable} -m pip install 'hwtoken[server]'" in capsys.readouterr().err
