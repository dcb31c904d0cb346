"""People move over from an older way in, promise by promise: in the file, and over HTTP as an administrator."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from provision.clock import ManualClock
from provision.errors import (
    AlreadyRegistered,
    CodeMismatch,
    CodeReplayed,
    Fallback,
    InputError,
    Rejected,
    Throttled,
)
from provision.model import Algorithm, OathType, OtpParameters, Secret
from provision.otp import code_at
from provision.seeds.otpauth import parse_otpauth
from provision.servers.backend import USUAL, Device, Enrolment, Person, Registration, ServerBackend, ServerCapability
from provision.servers.embedded.audit import Action, Outcome
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.enrolling import MAX_DEVICES
from provision.servers.embedded.migrating import MAX_FALLBACK_S
from provision.servers.remote import RemoteServer
from provision.servers.roles import Role
from tests.servers.over_http import Service

START_S = 1_767_225_600.0
DAY_S = 86_400
CUTOVER_S = START_S + 30 * DAY_S


class World:
    """A server by one of its ways, its clock, and its file."""

    def __init__(self, path: Path, over_http: bool, stack: contextlib.ExitStack) -> None:
        self.path, self.clock = path, ManualClock(START_S)
        EmbeddedServer.init(path, self.clock, random.Random(1).randbytes).close()
        self.service = stack.enter_context(Service(self.file)) if over_http else None
        self.server: ServerBackend = stack.enter_context(self.file())
        if self.service is not None:
            self.server = self.remote(Role.ADMINISTRATOR)

    def file(self) -> EmbeddedServer:
        return EmbeddedServer(self.path, self.clock, os.urandom)

    def remote(self, role: Role, user: str | None = None) -> ServerBackend:
        assert self.service is not None
        with self.file() as file:
            _, api_token = file.create_api_token(f"{role.value} {len(file.api_tokens())}", role, user)
        return RemoteServer(self.service.exchange(api_token.reveal().decode()))

    @contextlib.contextmanager
    def acting(self, user: str) -> Iterator[ServerBackend]:
        """The server as a person comes to it, who sees nothing but their own."""
        if self.service is not None:
            yield self.remote(Role.USER, user)
            return
        with self.file() as file, file.acting_as(user, own_only=user):
            yield file

    def register(self, user: str, number: int) -> Device:
        seed = Secret(number.to_bytes(20, "big"))
        return self.server.register(Registration(UUID(int=number), user, f"desk {number}", None, seed, USUAL))

    def code(self, made: Enrolment, steps: int = 0) -> str:
        """What the enrolled device shows, `steps` from now."""
        uri = parse_otpauth(made.otpauth.reveal().decode("ascii"))
        assert uri.parameters == made.device.parameters
        moving = uri.parameters.counter if uri.parameters.oath_type is OathType.HOTP else None
        step = uri.parameters.step_at(self.clock.now()) if moving is None else moving
        return code_at(uri.secret, uri.parameters, step + steps)

    def wrong(self, made: Enrolment) -> str:
        right = {self.code(made, steps) for steps in range(-5, 6)}
        return next(f"{guess:06}" for guess in range(20) if f"{guess:06}" not in right)

    def enrol_and_prove(self, user: str, name: str = "phone") -> Enrolment:
        made = self.server.enrol(user, name)
        self.server.prove(made.device.device_id, self.code(made))
        return made

    def log(self) -> list[tuple[Action, str | None, Outcome]]:
        with self.file() as file:
            return [(entry.action, entry.user, entry.outcome) for entry in file.audit()]


@pytest.fixture(params=["file", "http"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        yield World(tmp_path / "server.db", request.param == "http", stack)


def rejected(code: str, act: object) -> Rejected:
    with pytest.raises(Rejected) as refusal:
        act()  # type: ignore[operator]  # a lambda
    assert refusal.value.code == code
    return refusal.value


# enrolment


def test_a_device_lets_its_person_in_once_it_is_proved(world: World) -> None:
    server = world.server
    assert {ServerCapability.ENROL, ServerCapability.MIGRATE} <= server.capabilities
    made = server.enrol("anna", "phone")
    assert "otpauth" in made.otpauth.reveal().decode()
    assert "secret=" not in repr(made)
    (device,) = server.list("anna")
    assert device == made.device
    assert (device.pending, device.pending_until_s) == (True, START_S + DAY_S)
    rejected("pending", lambda: server.check("anna", world.code(made)))
    rejected("pending", lambda: server.check("anna", world.code(made), device_id=device.device_id))
    rejected("pending", lambda: server.resync(device.device_id, world.code(made), world.code(made, 1)))
    rejected("pending", lambda: server.unassign(device.device_id))
    accepted = server.prove(device.device_id, world.code(made))
    assert (accepted.device_id, accepted.step) == (device.device_id, USUAL.step_at(START_S))
    assert not server.list("anna")[0].pending
    with pytest.raises(CodeReplayed):
        server.check("anna", world.code(made))
    world.clock.advance(30)
    assert server.check("anna", world.code(made)).step == USUAL.step_at(START_S) + 1
    rejected("proved", lambda: server.prove(device.device_id, world.code(made, 1)))
    second = server.enrol("anna", "tablet")
    with pytest.raises(CodeMismatch):  # beside a device that is proved, one that is not lets nobody in either
        server.check("anna", world.code(second))


def test_wrong_first_codes_are_counted_and_held_back_as_at_a_login(world: World) -> None:
    server = world.server
    made = server.enrol("anna", "phone")
    with pytest.raises(CodeMismatch, match="not one of the new device"):
        server.prove(made.device.device_id, world.wrong(made))
    assert server.list("anna")[0].consecutive_failures == 1
    with pytest.raises(Throttled) as refusal:
        server.prove(made.device.device_id, world.code(made))
    assert refusal.value.retry_after_s == 5
    world.clock.advance(5)
    server.prove(made.device.device_id, world.code(made))
    assert server.list("anna")[0].consecutive_failures == 0


def test_guessing_a_first_code_locks_the_person(world: World) -> None:
    made = world.server.enrol("anna", "phone")
    for failures in range(100):
        world.clock.advance(5 * failures)
        with pytest.raises(CodeMismatch):
            world.server.prove(made.device.device_id, world.wrong(made))
    world.clock.advance(500)
    with pytest.raises(Throttled) as refusal:
        world.server.prove(made.device.device_id, world.code(made))
    assert refusal.value.retry_after_s is None


def test_nobody_proves_it_in_time(world: World) -> None:
    server = world.server
    made = server.enrol("anna", "phone")
    world.clock.advance(DAY_S - 1)
    assert server.list("anna")
    world.clock.advance(1)
    assert not server.list()
    for act in (
        lambda: server.prove(made.device.device_id, world.code(made)),
        lambda: server.rename(made.device.device_id, "x"),
        lambda: server.check("anna", world.code(made)),
    ):
        rejected("unknown-device", act)
    assert server.enrol("anna", "phone").device.device_id != made.device.device_id  # its name is free again
    assert (Action.EXPIRE, "anna", Outcome.DONE) in world.log()
    with world.file() as file:
        assert [entry.actor for entry in file.audit() if entry.action is Action.EXPIRE] == [None]


def test_a_pending_device_is_renamed_disabled_and_deleted_as_any_other(world: World) -> None:
    server = world.server
    made = server.enrol("anna", "phone")
    server.rename(made.device.device_id, "old phone")
    server.disable(made.device.device_id)
    rejected("disabled", lambda: server.prove(made.device.device_id, world.code(made)))
    server.enable(made.device.device_id)
    server.prove(made.device.device_id, world.code(made))
    second = server.enrol("anna", "phone")
    server.delete(second.device.device_id)
    assert [device.name for device in server.list("anna")] == ["old phone"]


@pytest.mark.parametrize(
    "parameters",
    [
        OtpParameters(OathType.HOTP, counter=7),
        OtpParameters(algorithm=Algorithm.SHA512, digits=8, time_step_s=60),
        OtpParameters(algorithm=Algorithm.SHA256),
    ],
    ids=str,
)
def test_every_kind_of_device(world: World, parameters: OtpParameters) -> None:
    made = world.server.enrol("anna", "phone", parameters=parameters)
    assert made.device.parameters == parameters
    world.server.prove(made.device.device_id, world.code(made))
    if parameters.oath_type is OathType.TOTP:
        world.clock.advance(parameters.time_step_s)
        world.server.check("anna", world.code(made))
    else:
        world.server.check("anna", world.code(made, 1))


@pytest.mark.parametrize(
    ("user", "name", "parameters"),
    [
        ("", "phone", USUAL),
        ("anna", " ", USUAL),
        ("CORP:anna", "phone", USUAL),  # a colon has a meaning in the URI
        ("anna", "phone", OtpParameters(t0_s=1)),
        ("anna", "phone", OtpParameters(digits=9)),
    ],
)
def test_an_enrolment_that_nobody_could_use(world: World, user: str, name: str, parameters: OtpParameters) -> None:
    with pytest.raises(InputError):
        world.server.enrol(user, name, parameters=parameters)
    assert not world.server.people()


def test_a_name_that_is_taken_and_one_device_too_many(world: World) -> None:
    world.server.enrol("anna", "Phone")
    with pytest.raises(AlreadyRegistered):
        world.server.enrol("anna", "phone")
    for number in range(1, MAX_DEVICES):
        world.server.enrol("anna", f"phone {number}")
    rejected("too-many", lambda: world.server.enrol("anna", "one more"))
    world.server.enrol("ben", "phone")


def test_the_seed_is_handed_out_and_kept_nowhere_in_the_clear(world: World) -> None:
    made = world.enrol_and_prove("anna")
    secret = parse_otpauth(made.otpauth.reveal().decode("ascii")).secret.reveal()
    base32 = made.otpauth.reveal().partition(b"secret=")[2].partition(b"&")[0]
    with world.file() as file:
        told = repr((file.audit(), file.list(), file.people(), made)).encode()
    held = told + b"".join(path.read_bytes() for path in world.path.parent.iterdir())
    for spelling in (secret, secret.hex().encode(), base32, b"otpauth://"):
        assert spelling not in held


def test_two_processes_prove_one_code(world: World) -> None:
    made = world.server.enrol("anna", "phone")
    with world.file() as other:
        other.prove(made.device.device_id, world.code(made))
    rejected("proved", lambda: world.server.prove(made.device.device_id, world.code(made)))
    with pytest.raises(CodeReplayed):
        world.server.check("anna", world.code(made))


def test_people_act_for_themselves_only(world: World) -> None:
    world.enrol_and_prove("ben")
    bens = world.server.enrol("ben", "second")
    with world.acting("anna") as server:
        made = server.enrol("anna", "phone")
        server.prove(made.device.device_id, world.code(made))
        rejected("unknown-user", lambda: server.enrol("ben", "gift"))
        rejected("unknown-device", lambda: server.prove(bens.device.device_id, world.code(bens)))
        assert [person.user for person in server.people()] == ["anna"]
        assert server.cutover_s is None
    if isinstance(world.server, EmbeddedServer):
        with world.server.acting_as("anna's", own_only="anna"):
            assert world.server.person("ben") is None
            assert {device.user for device in world.server.list()} == {"anna"}
        assert {device.user for device in world.server.list()} == {"anna", "ben"}  # it ends with the act


# people


def test_people_are_known_until_they_are_removed(world: World) -> None:
    server = world.server
    names = [f"person {number:02}" for number in range(45)]
    assert list(server.add_people(names)) == names
    assert list(server.add_people(["person 03", "anna", "anna"])) == ["anna"]
    world.register("ben", 1)
    assert [person.user for person in server.people()] == sorted([*names, "anna", "ben"])
    with pytest.raises(InputError):
        server.add_people(["carl", " "])
    longest = [chr(0x20000 + number) * 64 for number in range(45)]  # each letter is 12 in JSON
    assert list(server.add_people(longest)) == longest
    for user in longest:
        server.remove_person(user)
    rejected("has-devices", lambda: server.remove_person("ben"))
    server.delete(str(UUID(int=1)))
    assert Person("ben", None) in server.people()
    for user in (*names, "ben", "anna"):
        server.remove_person(user)
    assert not server.people()
    rejected("unknown-user", lambda: server.remove_person("ben"))
    server.enrol("carl", "phone")
    rejected("has-devices", lambda: server.remove_person("carl"))
    world.clock.advance(DAY_S)
    server.remove_person("carl")  # nobody proved it in time: it is not there any more
    assert world.log().count((Action.ADD_PERSON, "anna", Outcome.DONE)) == 1
    assert (Action.REMOVE_PERSON, "ben", Outcome.DONE) in world.log()


def test_who_is_removed_comes_back_by_no_api_token(world: World) -> None:
    world.server.add_people(["anna"])
    with world.file() as file:
        _, text = file.create_api_token("anna's", Role.USER, "anna")
        file.create_api_token("anna's lost one", Role.USER, "anna")
        file.revoke_api_token("anna's lost one")
        world.clock.advance(60)
        file.remove_person("anna")
        rejected("unauthenticated", lambda: file.holder(text.reveal().decode()))
        assert {one.name: one.revoked_s for one in file.api_tokens() if one.user == "anna"} == {
            "anna's": START_S + 60,
            "anna's lost one": START_S,  # when it was revoked stays on record
        }


# the old way


def test_without_a_cut_over_there_is_no_old_way(world: World) -> None:
    world.server.add_people(["anna"])
    assert world.server.cutover_s is None
    rejected("unknown-device", lambda: world.server.check("anna", "000000"))
    rejected("no-old-way", lambda: world.server.set_fallback("anna", START_S + 60))


def test_who_has_no_device_is_sent_to_the_old_way_until_the_cut_over(world: World) -> None:
    server = world.server
    server.add_people(["anna"])
    server.set_cutover(CUTOVER_S)
    assert server.cutover_s == CUTOVER_S
    with pytest.raises(Fallback) as refusal:
        server.check("anna", "000000")
    assert refusal.value.until_s == CUTOVER_S
    rejected("unknown-device", lambda: server.check("stranger", "000000"))
    rejected("unknown-device", lambda: server.check("anna", "000000", device_id="x"))
    made = server.enrol("anna", "phone")
    with pytest.raises(Fallback):  # what is pending changes nothing
        server.check("anna", world.code(made))
    server.prove(made.device.device_id, world.code(made))
    world.clock.advance(30)
    server.check("anna", world.code(made))
    server.delete(made.device.device_id)
    with pytest.raises(Fallback):  # and back
        server.check("anna", "000000")
    world.clock.wait_until(CUTOVER_S)
    rejected("unknown-device", lambda: server.check("anna", "000000"))
    assert world.log().count((Action.CHECK, "anna", Outcome.FALLBACK)) == 3


def test_what_an_administrator_disabled_is_not_let_in_by_the_other_door(world: World) -> None:
    made = world.enrol_and_prove("anna")
    world.server.set_cutover(CUTOVER_S)
    world.server.disable(made.device.device_id)
    rejected("disabled", lambda: world.server.check("anna", "000000"))


def test_codes_of_the_old_way_are_not_counted_here(world: World) -> None:
    world.server.set_cutover(CUTOVER_S)
    made = world.server.enrol("anna", "phone")
    for _ in range(200):
        with pytest.raises(Fallback):
            world.server.check("anna", "000000")
    assert world.server.list("anna")[0].consecutive_failures == 0
    world.server.prove(made.device.device_id, world.code(made))


def test_a_fallback_lasts_until_its_time(world: World) -> None:
    server = world.server
    made = world.enrol_and_prove("anna")
    server.set_cutover(CUTOVER_S)
    assert server.set_fallback("anna", START_S + 3600) == Person("anna", START_S + 3600)
    assert Person("anna", START_S + 3600) in server.people()
    world.clock.advance(30)
    with pytest.raises(Fallback) as refusal:
        server.check("anna", world.code(made))
    assert refusal.value.until_s == START_S + 3600
    server.check("anna", world.code(made), device_id=made.device.device_id)  # whoever names a device means it
    world.clock.wait_until(START_S + 3600)
    server.check("anna", world.code(made))
    assert Person("anna", None) in server.people()
    server.set_fallback("anna", START_S + 7200)
    assert server.set_fallback("anna", None) == Person("anna", None)
    world.clock.advance(30)
    server.check("anna", world.code(made))
    with world.file() as file:
        told = [entry.until_s for entry in file.audit() if entry.action is Action.SET_FALLBACK]
    assert told == [START_S + 3600, START_S + 7200, None]


def test_a_fallback_does_not_outlast_the_old_way(world: World) -> None:
    server = world.server
    world.enrol_and_prove("anna")
    server.set_cutover(START_S + 60)
    assert server.set_fallback("anna", START_S + 3600).fallback_until_s == START_S + 60
    server.set_cutover(None)
    assert Person("anna", None) in server.people()
    with pytest.raises(CodeMismatch):
        server.check("anna", "")


def test_times_that_make_no_sense(world: World) -> None:
    server = world.server
    server.add_people(["anna"])
    for at_s in (START_S, START_S - 1, 0.0, -1.0, 2.0**41):
        with pytest.raises(InputError):
            server.set_cutover(at_s)
    server.set_cutover(CUTOVER_S)
    for until_s in (START_S, 0.0, START_S + MAX_FALLBACK_S + 1):
        with pytest.raises(InputError):
            server.set_fallback("anna", until_s)
    server.set_fallback("anna", START_S + MAX_FALLBACK_S)
    rejected("unknown-user", lambda: server.set_fallback("nobody", START_S + 60))
    world.clock.wait_until(CUTOVER_S)
    rejected("no-old-way", lambda: server.set_fallback("anna", CUTOVER_S + 60))


def test_ones_own_last_device_goes_only_if_that_is_meant(world: World) -> None:
    first, second = world.enrol_and_prove("anna"), world.enrol_and_prove("anna", "tablet")
    pending = world.server.enrol("anna", "watch")
    world.server.set_cutover(START_S + 60)
    with world.acting("anna") as server:
        server.delete(first.device.device_id)
        server.delete(second.device.device_id)  # the old way is open
    last = world.enrol_and_prove("anna")
    world.clock.advance(60)
    with world.acting("anna") as server:
        rejected("locks-out", lambda: server.delete(last.device.device_id))
        server.delete(pending.device.device_id)
        rejected("locks-out", lambda: server.delete(last.device.device_id))
        server.delete(last.device.device_id, even_if_locked_out=True)
    disabled = world.enrol_and_prove("anna")
    world.server.disable(disabled.device.device_id)
    with world.acting("anna") as server:
        server.delete(disabled.device.device_id)  # locked out already
    other = world.enrol_and_prove("anna")
    world.server.delete(other.device.device_id)  # whoever helps is asked by the tool, not held up


def test_the_log_tells_of_the_cut_over(world: World) -> None:
    world.server.set_cutover(CUTOVER_S)
    world.server.set_cutover(None)
    with world.file() as file:
        told = [entry.until_s for entry in file.audit() if entry.action is Action.SET_CUTOVER]
    assert told == [CUTOVER_S, None]
