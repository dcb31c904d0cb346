"""A support desk with nothing but its own API token explains refusals over HTTP: as well as beside the file, no more
often than it may, on record by its name, and never with a seed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from provision.cli.main import main
from provision.cli.seed_search import COMMAND
from provision.clock import ManualClock
from provision.errors import InputError, Rejected, Throttled
from provision.model import OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Fits, Registration, SeedSide, ServerBackend, open_server
from provision.servers.embedded import questions
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.roles import Role
from provision.servers.service import aside, permissions
from provision.servers.service.aside import Aside
from provision.station import seed_search
from tests.servers.live import serving

pytestmark = pytest.mark.service

NOW_S = 1_767_225_600
DAY_S = 86_400
TOTP = OtpParameters()
STEP = TOTP.step_at(NOW_S)
MINE, NEIGHBOURS = Secret(bytes(range(100, 120))), Secret(bytes(range(150, 170)))
DEVICE = str(UUID(int=1))


def codes(seed: Secret, step: int) -> tuple[str, str]:
    return code_at(seed, TOTP, step), code_at(seed, TOTP, step + 1)


class Office:
    """Two people with tokens of one box, somebody at the desk; `url`: the running server's."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.clock = folder, folder / "server.db", folder / "clock"
        self.url = ""
        self.clock.write_text(f"{NOW_S}\n")
        with EmbeddedServer.init(self.path, ManualClock(NOW_S - 400 * DAY_S), os.urandom) as server:
            self.api_token = server.create_api_token("desk on floor 2", Role.DESK)[1]
            for number, (user, seed) in enumerate((("ann", MINE), ("ben", NEIGHBOURS)), start=1):
                server.register(Registration(UUID(int=number), user, "token", f"SN{number}", seed, TOTP))

    def desk(self) -> ServerBackend:
        return open_server(self.url, ManualClock(NOW_S), lambda: self.api_token)

    def file(self) -> EmbeddedServer:
        return EmbeddedServer(self.path, ManualClock(NOW_S), os.urandom)

    def hidden(self, name: str, content: str) -> str:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        return str(path)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    with serving(office.path, "--clock", f"file:{office.clock}") as running:
        office.url = running.url
        yield office


def explained(office: Office, capsys: pytest.CaptureFixture[str], given: tuple[str, str], *server: str) -> Any:
    file = office.hidden("codes", "\n".join(given))
    assert main(["explain", "ann", "--codes", file, "--clock", f"file:{office.clock}", *server, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        (codes(MINE, STEP - 17), None),
        (codes(MINE, STEP - 365 * DAY_S // 30), "wrong-date"),
        (codes(NEIGHBOURS, STEP - 1), "neighbour"),
    ],
    ids=["near", "far", "another seed"],
)
def test_a_desk_is_told_what_it_would_be_told_beside_the_file(
    office: Office, capsys: pytest.CaptureFixture[str], given: tuple[str, str], cause: str | None
) -> None:
    api_token = office.hidden("token", office.api_token.reveal().decode())
    over_http = explained(office, capsys, given, "--server", office.url, "--api-token-file", api_token)
    beside = explained(office, capsys, given, "--server", f"embedded:{office.path}")
    for told in ("cause", "certainty", "offset_s", "odds", "device_id"):
        assert over_http[told] == beside[told]
    assert cause in (None, over_http["cause"])
    with office.file() as file:
        asked = [entry.actor for entry in file.audit() if entry.action is Action.MATCH]
    assert asked
    assert asked[: len(asked) // 2] == ["desk on floor 2"] * (len(asked) // 2)
    assert asked[len(asked) // 2 :] == [None] * (len(asked) // 2)


def test_a_desk_asks_no_more_often_over_http_and_each_question_is_on_record(office: Office) -> None:
    desk, given = office.desk(), codes(MINE, STEP - 17)
    for _ in range(questions.PER_DEVICE - 1):
        assert list(desk.matching_steps(DEVICE, given, range(STEP - 100, STEP))) == [STEP - 17]
    assert desk.beside_seed(DEVICE, given, NOW_S, seed_search.find).clock is not None
    for act in (
        lambda: desk.matching_steps(DEVICE, given, range(STEP - 100, STEP)),
        lambda: desk.beside_seed(DEVICE, given, NOW_S, seed_search.find),
    ):
        with pytest.raises(Throttled) as refused:
            act()
        assert refused.value.retry_after_s == questions.HOUR_S
    with office.file() as file:
        asked = [entry for entry in file.audit() if entry.action is Action.MATCH]
    assert [entry.outcome for entry in asked] == [Outcome.DONE] * questions.PER_DEVICE + [Outcome.THROTTLED] * 2
    assert {(entry.actor, entry.user) for entry in asked} == {("desk on floor 2", "ann")}
    office.clock.write_text(f"{NOW_S + questions.HOUR_S}\n")
    later = STEP + questions.HOUR_S // 30
    assert list(desk.matching_steps(DEVICE, codes(MINE, later), range(later, later + 1))) == [later]


def test_what_is_no_question_is_not_charged(office: Office) -> None:
    desk, (first, second) = office.desk(), codes(MINE, STEP)
    for given, steps in (
        ((first,), range(STEP, STEP + 1)),
        ((first, second), range(STEP, STEP + 10_000)),
        ((first, second), range(10**30)),
        ((first, second + "0"), range(STEP, STEP + 1)),
        (("abcdef", second), range(STEP, STEP + 1)),
    ):
        with pytest.raises(InputError):
            desk.matching_steps(DEVICE, given, steps)
    for given, first_s in (((first,), NOW_S), ((first, second), -1), ((first, second), 2**32), ((first, "x"), NOW_S)):
        with pytest.raises(InputError):
            desk.beside_seed(DEVICE, given, first_s, seed_search.find)
    with pytest.raises(Rejected):
        desk.beside_seed("nobody", (first, second), NOW_S, seed_search.find)
    with office.file() as file:
        assert not [entry for entry in file.audit() if entry.action is Action.MATCH]


def test_a_desk_asks_every_route_and_is_told_no_seed(office: Office) -> None:
    """Whatever it may do, with right questions, and whatever it may not."""
    given = codes(NEIGHBOURS, STEP)
    bodies = {
        permissions.MATCH: {"codes": given, "start": STEP - 9, "stop": STEP + 9},
        permissions.SEARCH: {"codes": given, "first_s": NOW_S},
        permissions.RESYNC: {"first": given[0], "second": given[1]},
        permissions.CHECK: {"user": "ann", "code": given[0]},
        permissions.RENAME: {"name": "x"},
        permissions.SET_DRIFT: {"drift_steps": 1},
        permissions.ASSIGN: {"user": "desk"},
        permissions.REGISTER: {"uuid": str(UUID(int=9)), "user": "dan", "name": "new", "secret": "GEZDGNBVGY3TQOJQ"},
    }
    heard, deletions = b"", [route for route in permissions.ROUTES if route.method == "DELETE"]
    for route in [route for route in permissions.ROUTES if route not in deletions] + deletions:
        status, answer = ask(office, route.method, route.path.format(device_id=DEVICE), bodies.get(route))
        assert status >= 400 or Role.DESK in route.scopes, route
        heard += answer
    assert b'"neighbour"' in heard  # it was told something
    for seed in (MINE, NEIGHBOURS):
        raw = seed.reveal()
        for spelling in (
            raw,
            raw.hex().encode(),
            base64.b32encode(raw),
            base64.b64encode(raw),
            repr(list(raw)).encode(),
        ):
            assert spelling.lower() not in heard.lower()
    for word in (b"sealed", b"fingerprint", b"otpauth"):
        assert word not in heard


def test_attempts_and_the_servers_time_and_window_are_those_of_the_file(office: Office) -> None:
    with office.file() as file:
        for code in ("000000", "000001"):
            with contextlib.suppress(Exception):
                file.check("ann", code)
        wanted, window = list(file.attempts(NOW_S - 1)), file.window_steps
        assert len(wanted) == 2
        assert not file.attempts(NOW_S + 1)
    desk = office.desk()
    assert list(desk.attempts(NOW_S - 1)) == wanted
    assert not desk.attempts(NOW_S + 1)
    assert (desk.window_steps, desk.now()) == (window, NOW_S)


def ask(office: Office, method: str, target: str, given: Any) -> tuple[int, bytes]:
    headers = {"Authorization": f"Bearer {office.api_token.reveal().decode()}", "Content-Type": "application/json"}
    body = None if given is None else json.dumps(given)
    with contextlib.closing(http.client.HTTPConnection(office.url.removeprefix("http://"), timeout=60)) as connection:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


SIDE = SeedSide(MINE, TOTP, NOW_S, {})
HANGS = (
    "import os, pathlib, sys, time\n"
    "with pathlib.Path(sys.argv[1]).open('a') as file: file.write(f'{os.getpid()} {os.getsid(0)}\\n')\n"
    "time.sleep(600)"
)


def test_a_search_that_takes_too_long_is_ended_and_the_next_one_has_its_turn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    hangs = Aside([sys.executable, "-c", HANGS, str(begun)])

    async def both() -> None:
        monkeypatch.setattr(aside, "SEARCH_S", 3.0)
        with pytest.raises(Rejected) as refused:
            await hangs.search(SIDE, codes(MINE, STEP), NOW_S)
        assert refused.value.code == "busy"
        pid, session = map(int, begun.read_text().split())
        assert pid == session  # Ctrl-C in the server's terminal is not for it
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)  # it was waited for
        monkeypatch.setattr(aside, "SEARCH_S", 60.0)
        hangs._command = COMMAND
        assert (await hangs.search(SIDE, codes(MINE, STEP), NOW_S)).clock is not None

    asyncio.run(both())


def test_one_search_runs_at_a_time_and_whoever_waits_does_not_wait_for_ever(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    hangs = Aside([sys.executable, "-c", HANGS, str(begun)])
    monkeypatch.setattr(aside, "SEARCH_S", 3.0)

    async def both() -> list[Fits | BaseException]:
        searches = (hangs.search(SIDE, codes(MINE, STEP), NOW_S) for _ in range(2))
        return await asyncio.wait_for(asyncio.gather(*searches, return_exceptions=True), 5.5)

    assert [type(one) for one in asyncio.run(both())] == [Rejected, Rejected]
    assert len(begun.read_text().splitlines()) == 1
