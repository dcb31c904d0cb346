"""What a support desk may ask: where codes fit, within a rate and on record, and never a seed."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import InputError, Rejected, Throttled
from provision.model import OtpParameters, Secret
from provision.otp import code_source
from provision.servers.backend import Device, Registration
from provision.servers.embedded import questions
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.desk import Asked, Desk

NOW = 1_767_225_600
SEED = bytes(range(100, 120))
TOTP = OtpParameters()
STEP = TOTP.step_at(NOW)
RANDOM = Random(1).randbytes


def code(step: int) -> str:
    return code_source(Secret(SEED), TOTP)(step)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def server(clock: ManualClock, tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.init(tmp_path / "server.db", clock, RANDOM) as server:
        yield server


def register(server: EmbeddedServer, user: str, seed: bytes) -> Device:
    return server.register(Registration(UUID(bytes=RANDOM(16)), user, "desk token", None, Secret(seed), TOTP))


@pytest.fixture
def device(server: EmbeddedServer) -> Device:
    return register(server, "ann", SEED)


def ask(server: EmbeddedServer, device: Device, first: int = STEP, reach: int = 100) -> list[int]:
    codes = [code(first), code(first + 1)]
    return list(server.matching_steps(device.device_id, codes, range(STEP - reach, STEP + reach)))


def test_it_says_where_codes_fit(server: EmbeddedServer, device: Device) -> None:
    assert ask(server, device, STEP - 17) == [STEP - 17]
    assert ask(server, device, STEP + 500) == []
    backwards = [code(STEP + 1), code(STEP)]
    assert server.matching_steps(device.device_id, backwards, range(STEP - 9, STEP + 9)) == []


@given(
    st.lists(st.integers(0, 3), min_size=3, max_size=40),
    st.lists(st.integers(0, 3), min_size=2, max_size=3),
)
def test_all_places_are_found(shown: list[int], asked: list[int]) -> None:
    """Codes of one digit, so that chance fits happen. Against a plain search in the text."""
    line = "".join(map(str, shown))
    steps = range(len(shown) - len(asked) + 1)
    found = questions.matching([str(one) for one in asked], steps, lambda step: line[step])
    assert found == [i for i in steps if line.startswith("".join(map(str, asked)), i)]


@pytest.mark.parametrize(
    ("codes", "steps"),
    [
        ([code(STEP)], range(STEP, STEP + 2)),
        ([code(STEP + n) for n in range(4)], range(STEP, STEP + 2)),
        (["12345", "123456"], range(STEP, STEP + 2)),
        (["12345x", "123456"], range(STEP, STEP + 2)),
        ([code(STEP), code(STEP + 1)], range(STEP - 2881, STEP)),
        ([code(STEP), code(STEP + 1)], range(STEP, STEP + 2882)),
        ([code(STEP), code(STEP + 1)], range(STEP, STEP + 100, 7)),
    ],
)
def test_what_would_help_to_guess_is_no_question(
    server: EmbeddedServer, device: Device, codes: list[str], steps: range
) -> None:
    with pytest.raises(InputError):
        server.matching_steps(device.device_id, codes, steps)


def test_a_device_is_asked_about_ten_times_an_hour(
    server: EmbeddedServer, device: Device, clock: ManualClock, tmp_path: Path
) -> None:
    for _ in range(questions.PER_DEVICE):
        assert ask(server, device) == [STEP]
        clock.advance(60)
    with pytest.raises(Throttled) as refused:
        ask(server, device)
    assert refused.value.retry_after_s == questions.HOUR_S - 600
    with EmbeddedServer(tmp_path / "server.db", clock, RANDOM) as again, pytest.raises(Throttled):
        ask(again, device)  # a restart forgets nothing
    clock.advance(refused.value.retry_after_s - 1)
    with pytest.raises(Throttled):
        ask(server, device)
    clock.advance(1)
    assert ask(server, device) == [STEP], "who asked too early has not to wait longer for it"


def test_a_server_is_asked_no_more_about_many_devices(server: EmbeddedServer, clock: ManualClock) -> None:
    devices = [
        register(server, f"user{n}", RANDOM(20)) for n in range(questions.PER_SERVER // questions.PER_DEVICE + 1)
    ]
    for one in devices[:-1]:
        for _ in range(questions.PER_DEVICE):
            ask(server, one, reach=1)
    with pytest.raises(Throttled):
        ask(server, devices[-1], reach=1)


def test_every_question_is_on_record(server: EmbeddedServer, device: Device) -> None:
    for _ in range(questions.PER_DEVICE):
        ask(server, device)
    with pytest.raises(Throttled):
        ask(server, device)
    asked = [entry for entry in server.audit() if entry.action is Action.MATCH]
    assert [entry.outcome for entry in asked] == [Outcome.DONE] * questions.PER_DEVICE + [Outcome.THROTTLED]
    assert {(entry.user, entry.device_id) for entry in asked} == {("ann", device.device_id)}


def test_nobody_is_asked_about_a_device_that_is_not_there(server: EmbeddedServer, device: Device) -> None:
    with pytest.raises(Rejected):
        server.matching_steps("00000000-0000-0000-0000-000000000000", [code(STEP), code(STEP + 1)], range(STEP, STEP))


def test_a_box_is_what_was_registered_at_the_same_time(
    server: EmbeddedServer, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "NEIGHBOURS", 2)
    made = []
    for number in range(5):
        made.append(register(server, f"user {number}", bytes([number]) * 20))
        clock.advance(86_400)
    others = server.seed_side(made[3].device_id).others
    assert {secret.reveal()[0] for secret in others.values()} == {2, 4}


def test_a_desk_sees_no_seed_changes_nothing_and_pays_for_both_questions(
    server: EmbeddedServer, device: Device, clock: ManualClock
) -> None:
    before = server.list()
    desk = Desk(server, clock)
    asked = Asked((code(STEP - 20), code(STEP - 19)), NOW)
    told = repr([desk.devices(), desk.attempts(0), desk.near(device, asked), desk.elsewhere(device, asked), asked])
    for spelling in (SEED.hex(), SEED.hex().upper(), base64.b32encode(SEED).decode(), repr(SEED), code(STEP - 20)):
        assert spelling not in told
    assert server.list() == before
    assert sum(entry.action is Action.MATCH for entry in server.audit()) == 2
