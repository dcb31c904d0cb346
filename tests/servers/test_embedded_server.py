"""What the server promises, told one promise a test."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provision.clock import ManualClock
from provision.errors import (
    AlreadyRegistered,
    CodeMismatch,
    CodeReplayed,
    InputError,
    Rejected,
    Throttled,
)
from provision.model import Algorithm, OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.servers.backend import Device, Registration, ServerBackend, ServerCapability, open_server
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.policy import Policy

START_S = 1_767_225_600.0
TOTP = OtpParameters()
HOTP = OtpParameters(OathType.HOTP)
NOW = TOTP.step_at(START_S)
SEED = Secret(b"12345678901234567890")
OTHER = Secret(b"a quite different secret")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START_S)


@pytest.fixture
def server(tmp_path: Path, clock: ManualClock) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.init(tmp_path / "server.db", clock, random.Random(1).randbytes) as server:
        yield server


def add(
    server: EmbeddedServer,
    number: int = 1,
    *,
    user: str = "alice",
    name: str = "desk",
    secret: Secret = SEED,
    parameters: OtpParameters = TOTP,
) -> Device:
    return server.register(Registration(UUID(int=number), user, name, f"SN{number}", secret, parameters))


def code(step: int, secret: Secret = SEED, parameters: OtpParameters = TOTP) -> str:
    return code_at(secret, parameters, step)


def only(server: EmbeddedServer) -> Device:
    (device,) = server.list()
    return device


def test_it_is_a_backend_that_can_all_but_tell_another_time(server: EmbeddedServer) -> None:
    backend: ServerBackend = server
    assert frozenset(ServerCapability) - backend.capabilities == {ServerCapability.NOW}


def test_a_step_is_accepted_once(server: EmbeddedServer) -> None:
    device = add(server)
    assert server.check("alice", code(NOW)).step == NOW
    with pytest.raises(CodeReplayed):
        server.check("alice", code(NOW))
    assert only(server).last_step == NOW
    assert only(server).consecutive_failures == 1
    assert device.last_step is None


def test_an_older_code_than_the_last_is_refused_though_never_used(server: EmbeddedServer) -> None:
    add(server)
    server.check("alice", code(NOW))
    with pytest.raises(CodeReplayed):
        server.check("alice", code(NOW - 1))


def test_the_support_desk_sees_a_replay_minutes_later(server: EmbeddedServer, clock: ManualClock) -> None:
    add(server)
    server.check("alice", code(NOW))
    clock.advance(3600)
    with pytest.raises(CodeReplayed):
        server.check("alice", code(NOW))


def test_an_unused_code_from_before_the_window_is_a_mismatch(server: EmbeddedServer) -> None:
    add(server)
    with pytest.raises(CodeMismatch):
        server.check("alice", code(NOW - 2))


def test_when_a_device_was_last_used_is_when_a_code_of_it_was_accepted(
    server: EmbeddedServer, clock: ManualClock
) -> None:
    device = add(server)
    assert device.last_used_s is None
    clock.advance(7)
    server.check("alice", code(NOW + 1))
    assert only(server).last_used_s == START_S + 7
    clock.advance(600)
    with pytest.raises(CodeMismatch):
        server.check("alice", code(NOW + 5))
    server.set_drift(device.device_id, -12)  # which moves no step that was used
    assert only(server).last_used_s == START_S + 7
    server.delete(device.device_id)
    again = add(server, 2)
    assert (again.last_step, again.last_used_s) == (NOW + 1, None)


def test_drift_is_followed(server: EmbeddedServer, clock: ManualClock) -> None:
    add(server)
    for drift in (-1, -2, -3, -2, -1, 0, 1, 2):
        clock.advance(300)
        assert server.check("alice", code(TOTP.step_at(clock.now()) + drift)).drift_steps == drift
        assert only(server).drift_steps == drift


def test_the_window_follows_the_policy_in_the_file(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "wide.db"
    EmbeddedServer.init(path, clock, random.Random(1).randbytes, Policy(back_steps=5)).close()
    with open_server(f"embedded:{path}", clock, lambda: Secret(b"")) as server:
        server.register(Registration(UUID(int=1), "alice", "desk", None, SEED, TOTP))
        assert server.check("alice", code(NOW - 5)).drift_steps == -5


def test_a_clock_stepped_back_makes_no_used_code_good(tmp_path: Path, server: EmbeddedServer) -> None:
    add(server)
    server.check("alice", code(NOW))
    with EmbeddedServer(tmp_path / "server.db", ManualClock(START_S - 30), random.Random(2).randbytes) as earlier:
        with pytest.raises(CodeReplayed):
            earlier.check("alice", code(NOW))
        # The wait starts anew at the earlier time and is over after five seconds, not thirty-five.
        with pytest.raises(Throttled) as refusal:
            earlier.check("alice", code(NOW + 1))
        assert refusal.value.retry_after_s == 5


def test_a_wait_does_not_stretch_when_the_clock_is_stepped_back(tmp_path: Path, server: EmbeddedServer) -> None:
    add(server)
    with pytest.raises(CodeMismatch):
        server.check("alice", "000000")
    clock = ManualClock(START_S - 86_400)
    with EmbeddedServer(tmp_path / "server.db", clock, random.Random(2).randbytes) as earlier:
        with pytest.raises(Throttled):
            earlier.check("alice", code(TOTP.step_at(clock.now())))
        clock.advance(5)
        earlier.check("alice", code(TOTP.step_at(clock.now())))


def test_the_wait_that_is_told_is_long_enough(server: EmbeddedServer, clock: ManualClock) -> None:
    add(server)
    for told in ("5 s after 1 wrong code in a row", "10 s after 2 wrong codes in a row"):
        with pytest.raises(CodeMismatch):
            server.check("alice", "000000")
        clock.advance(0.6)  # 4.4 and 9.4 s are left
        with pytest.raises(Throttled, match=told):
            server.check("alice", "000000")
        clock.advance(int(told.split()[0]))


def test_hotp_moves_past_the_match_and_looks_ten_ahead(server: EmbeddedServer, clock: ManualClock) -> None:
    add(server, parameters=HOTP)
    assert server.check("alice", code(10, parameters=HOTP)).step == 10
    assert only(server).parameters.counter == 11
    with pytest.raises(CodeReplayed):
        server.check("alice", code(9, parameters=HOTP))
    clock.advance(5)
    with pytest.raises(CodeMismatch):
        server.check("alice", code(22, parameters=HOTP))
    clock.advance(10)
    assert server.check("alice", code(21, parameters=HOTP)).drift_steps == 0


@given(
    st.sampled_from(Algorithm),
    st.integers(6, 8),
    st.sampled_from((1, 30, 45, 3600)),
    st.binary(min_size=1, max_size=64),
)
def test_every_kind_of_credential_logs_in(
    tmp_path_factory: pytest.TempPathFactory, algorithm: Algorithm, digits: int, time_step_s: int, seed: bytes
) -> None:
    parameters = OtpParameters(algorithm=algorithm, digits=digits, time_step_s=time_step_s)
    secret, step = Secret(seed), parameters.step_at(START_S)
    path = tmp_path_factory.mktemp("any") / "server.db"
    with EmbeddedServer.init(path, ManualClock(START_S), random.Random(1).randbytes) as server:
        server.register(Registration(UUID(int=1), "alice", "desk", None, secret, parameters))
        given_code = code_at(secret, parameters, step, allow_short_seed=True)
        assert server.check("alice", given_code).step >= step


def test_several_devices_of_a_person(server: EmbeddedServer) -> None:
    first, second = add(server), add(server, 2, name="phone", secret=OTHER)
    assert server.check("alice", code(NOW, OTHER)).device_id == second.device_id
    with pytest.raises(CodeMismatch):
        server.check("alice", code(NOW), device_id=second.device_id)
    assert [device.consecutive_failures for device in server.list("alice")] == [1, 1]  # the person's, not a device's
    assert first.device_id == str(UUID(int=1))


def test_a_device_of_somebody_else_is_unknown(server: EmbeddedServer) -> None:
    add(server)
    bobs = add(server, 2, user="bob", secret=OTHER)
    with pytest.raises(Rejected) as refusal:
        server.check("alice", code(NOW, OTHER), device_id=bobs.device_id)
    assert refusal.value.code == "unknown-device"


@pytest.mark.parametrize("drift", [-2880, 2879])
def test_resynchronisation_finds_a_day(server: EmbeddedServer, clock: ManualClock, drift: int) -> None:
    device = add(server)
    outcome = server.resync(device.device_id, code(NOW + drift), code(NOW + drift + 1))
    assert (outcome.step, outcome.drift_steps) == (NOW + drift + 1, drift + 1)
    clock.advance(30)
    assert server.check("alice", code(NOW + drift + 2)).drift_steps == drift + 1


@pytest.mark.parametrize("drift", [-2881, 2880])
def test_resynchronisation_finds_no_more_than_a_day(server: EmbeddedServer, drift: int) -> None:
    device = add(server)
    with pytest.raises(CodeMismatch):
        server.resync(device.device_id, code(NOW + drift), code(NOW + drift + 1))
    assert only(server).drift_steps == 0


def test_the_code_after_a_resynchronisation_is_good_and_those_of_it_are_not(
    server: EmbeddedServer, clock: ManualClock
) -> None:
    device = add(server)
    server.resync(device.device_id, code(NOW - 40), code(NOW - 39))
    with pytest.raises(CodeReplayed):
        server.check("alice", code(NOW - 39))
    clock.advance(5)
    assert server.check("alice", code(NOW - 38)).step == NOW - 38


def test_resynchronisation_is_throttled_by_the_same_counter(server: EmbeddedServer, clock: ManualClock) -> None:
    device = add(server)
    with pytest.raises(CodeMismatch):
        server.resync(device.device_id, code(NOW), code(NOW + 2))
    with pytest.raises(Throttled):
        server.check("alice", code(NOW))
    clock.advance(5)
    with pytest.raises(CodeMismatch):
        server.check("alice", "000000")
    with pytest.raises(Throttled):
        server.resync(device.device_id, code(NOW), code(NOW + 1))
    clock.advance(10)
    server.resync(device.device_id, code(NOW), code(NOW + 1))
    assert only(server).consecutive_failures == 0


def test_a_token_in_the_drawer_is_found_again_and_its_clock_set(server: EmbeddedServer, clock: ManualClock) -> None:
    device = add(server)
    server.check("alice", code(NOW))
    clock.advance(18 * 30 * 86_400)
    slow = TOTP.step_at(clock.now()) - 31
    with pytest.raises(CodeMismatch):
        server.check("alice", code(slow))
    clock.advance(30)
    assert server.resync(device.device_id, code(slow + 1), code(slow + 2)).drift_steps == -30
    server.set_drift(device.device_id, 0)
    clock.advance(30)
    assert server.check("alice", code(TOTP.step_at(clock.now()))).drift_steps == 0


def test_a_hundred_failures_lock_until_an_administrator_acts(server: EmbeddedServer, clock: ManualClock) -> None:
    device = add(server)
    for count in range(100):
        with pytest.raises(CodeMismatch):
            server.check("alice", "000000")
        clock.advance(5 * (count + 1))
    clock.advance(86_400 * 365)
    for attempt in (
        lambda: server.check("alice", code(TOTP.step_at(clock.now()))),
        lambda: server.resync(device.device_id, code(1), code(2)),
    ):
        with pytest.raises(Throttled) as refusal:
            attempt()
        assert refusal.value.retry_after_s is None
    assert only(server).consecutive_failures == 100
    server.enable(device.device_id)
    server.check("alice", code(TOTP.step_at(clock.now())))


def test_an_attempt_in_the_delay_is_not_evaluated(server: EmbeddedServer, clock: ManualClock) -> None:
    add(server)
    with pytest.raises(CodeMismatch):
        server.check("alice", "000000")
    with pytest.raises(Throttled) as refusal:
        server.check("alice", code(NOW))
    assert refusal.value.retry_after_s == 5
    clock.advance(5)
    assert server.check("alice", code(NOW)).step == NOW


def test_failures_are_durable(tmp_path: Path, server: EmbeddedServer, clock: ManualClock) -> None:
    add(server)
    with pytest.raises(CodeMismatch):
        server.check("alice", "000000")
    with (
        EmbeddedServer(tmp_path / "server.db", clock, random.Random(2).randbytes) as again,
        pytest.raises(Throttled),
    ):
        again.check("alice", code(NOW))


def test_registering_again_changes_nothing(server: EmbeddedServer) -> None:
    device = add(server)
    server.check("alice", code(NOW))
    server.rename(device.device_id, "drawer")
    again = add(server)
    assert again == only(server)
    assert (again.name, again.last_step) == ("drawer", NOW)


def test_what_is_already_registered(server: EmbeddedServer) -> None:
    add(server)
    for attempt in (
        lambda: add(server, secret=OTHER),
        lambda: add(server, parameters=OtpParameters(digits=8)),
        lambda: add(server, 2, user="bob"),
        lambda: add(server, 2, name="DESK", secret=OTHER),
        lambda: server.register(Registration(UUID(int=3), "bob", "b", "SN1", OTHER, TOTP)),
    ):
        with pytest.raises(AlreadyRegistered):
            attempt()
    assert len(server.list()) == 1


@pytest.mark.parametrize(
    "parameters",
    [
        OtpParameters(digits=5),
        OtpParameters(digits=9),
        OtpParameters(time_step_s=0),
        OtpParameters(time_step_s=3601),
        OtpParameters(t0_s=-1),
        OtpParameters(OathType.HOTP, counter=2**63),
    ],
)
def test_parameters_that_no_token_has(server: EmbeddedServer, parameters: OtpParameters) -> None:
    with pytest.raises(InputError):
        add(server, parameters=parameters)


@pytest.mark.parametrize("size", [0, 129])
def test_a_seed_that_no_token_has(server: EmbeddedServer, size: int) -> None:
    with pytest.raises(InputError):
        add(server, secret=Secret(bytes(size)))


def test_a_seed_that_comes_back_brings_its_spent_steps(server: EmbeddedServer) -> None:
    device = add(server)
    server.check("alice", code(NOW))
    server.delete(device.device_id)
    add(server, 2)
    with pytest.raises(CodeReplayed):
        server.check("alice", code(NOW))


def test_a_device_changes_hands(server: EmbeddedServer, clock: ManualClock) -> None:
    device = add(server)
    server.check("alice", code(NOW))
    with pytest.raises(Rejected):
        server.assign(device.device_id, "bob")
    server.unassign(device.device_id)
    assert only(server).user is None
    with pytest.raises(Rejected):
        server.check("alice", code(NOW + 1))
    with pytest.raises(CodeReplayed):
        server.resync(device.device_id, code(NOW), code(NOW + 1))
    server.assign(device.device_id, "bob")
    with pytest.raises(CodeReplayed):
        server.check("bob", code(NOW))
    clock.advance(5)
    assert server.check("bob", code(NOW + 1)).step == NOW + 1
    assert [(e.action, e.user) for e in server.audit(device.device_id) if e.action is not Action.RESYNC] == [
        (Action.REGISTER, "alice"),
        (Action.CHECK, "alice"),
        (Action.UNASSIGN, "alice"),
        (Action.ASSIGN, "bob"),
        (Action.CHECK, "bob"),
    ]


def test_a_disabled_device_is_refused_and_not_charged(server: EmbeddedServer) -> None:
    device = add(server)
    server.disable(device.device_id)
    for attempt in (
        lambda: server.check("alice", code(NOW)),
        lambda: server.resync(device.device_id, code(NOW), code(NOW + 1)),
    ):
        with pytest.raises(Rejected) as refusal:
            attempt()
        assert refusal.value.code == "disabled"
    assert only(server).consecutive_failures == 0
    server.enable(device.device_id)
    server.check("alice", code(NOW))


def test_the_audit_log_tells_it_all(server: EmbeddedServer, clock: ManualClock) -> None:
    device = add(server)
    server.check("alice", code(NOW))
    for attempt in (
        lambda: server.check("alice", code(NOW)),
        lambda: server.check("alice", code(NOW + 1)),
        lambda: server.check("hunter2, typed into the wrong field", code(NOW)),
    ):
        with pytest.raises((CodeReplayed, Throttled, Rejected)):
            attempt()
    server.delete(device.device_id)
    assert [(e.action, e.user, e.outcome, e.step) for e in server.audit()] == [
        (Action.REGISTER, "alice", Outcome.DONE, None),
        (Action.CHECK, "alice", Outcome.ACCEPTED, NOW),
        (Action.CHECK, "alice", Outcome.REPLAYED, None),
        (Action.CHECK, "alice", Outcome.THROTTLED, None),
        (Action.CHECK, None, Outcome.UNKNOWN, None),
        (Action.DELETE, "alice", Outcome.DONE, None),
    ]
    assert {e.at_s for e in server.audit()} == {START_S}


@pytest.mark.parametrize(
    "act",
    [
        lambda server: server.resync("nobody", "000000", "111111"),
        lambda server: server.set_drift("nobody", 0),
        lambda server: server.rename("nobody", "x"),
        lambda server: server.assign("nobody", "alice"),
        lambda server: server.unassign("nobody"),
        lambda server: server.disable("nobody"),
        lambda server: server.enable("nobody"),
        lambda server: server.delete("nobody"),
    ],
)
def test_an_unknown_device(server: EmbeddedServer, act: object) -> None:
    assert callable(act)
    with pytest.raises(Rejected) as refusal:
        act(server)
    assert refusal.value.code == "unknown-device"
    assert not server.audit()


def test_a_counter_has_no_drift(server: EmbeddedServer) -> None:
    device = add(server, parameters=HOTP)
    with pytest.raises(Rejected) as refusal:
        server.set_drift(device.device_id, 1)
    assert refusal.value.code == "no-clock"


def test_a_drift_beyond_any_clock(server: EmbeddedServer) -> None:
    device = add(server)
    with pytest.raises(InputError):
        server.set_drift(device.device_id, 2**63)
    server.set_drift(device.device_id, 2**62)
    with pytest.raises(CodeMismatch):
        server.check("alice", code(NOW))
