"""People on their way from an older login against a plain model: who is sent where, what is pending, who is locked out.

Import `PeopleMachine` to run it. The model shares no line with the server; codes are those of server_machine.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import tempfile
from base64 import b32decode
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from provision.clock import ManualClock
from provision.errors import AlreadyRegistered, CodeMismatch, CodeReplayed, Fallback, InputError, Rejected, Throttled
from provision.model import OtpParameters
from provision.servers.backend import ServerBackend
from provision.servers.embedded.backend import EmbeddedServer
from tests.servers.server_machine import ModelDevice

START_S = 1_767_225_600.0
HOUR_S, DAY_S = 3600, 86_400
USERS = ("alice", "žofie")
NAMES = ("desk", "Phone", "phone")
PARAMETERS = OtpParameters(digits=8, time_step_s=60)  # those of ModelDevice


@dataclass
class ModelPerson:
    failures: int = 0
    failed_s: float = 0.0
    fallback_s: float = 0.0
    devices: dict[str, ModelDevice] = field(default_factory=dict)
    pending: dict[str, float] = field(default_factory=dict)  # device -> until when

    def forget(self, now_s: float) -> list[ModelDevice]:
        """Those that were not proved in time."""
        late = [key for key, until_s in self.pending.items() if until_s <= now_s]
        for key in late:
            del self.pending[key]
        return [self.devices.pop(key) for key in late]

    def proved(self) -> list[ModelDevice]:
        ordered = sorted(self.devices.values(), key=lambda device: device.name.casefold())
        return [device for device in ordered if device.key not in self.pending]


@dataclass
class Model:
    people: dict[str, ModelPerson] = field(default_factory=dict)
    cutover_s: float | None = None

    def sent_until(self, person: ModelPerson, now_s: float, *, without: str = "") -> float | None:
        if self.cutover_s is None or self.cutover_s <= now_s:
            return None
        if not [device for device in person.proved() if device.key != without]:
            return self.cutover_s
        return min(person.fallback_s, self.cutover_s) if person.fallback_s > now_s else None

    def locked_out(self, person: ModelPerson, now_s: float, *, without: str = "") -> bool:
        usable = [device for device in person.proved() if not device.disabled and device.key != without]
        return not usable and self.sent_until(person, now_s, without=without) is None


class PeopleMachine(RuleBasedStateMachine):
    """Every call's outcome, and what is listed after it, must be the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="hwtoken-people-"))
        self.path = self.directory / "server.db"
        self.clock = ManualClock(START_S)
        self.model = Model()
        self.numbers = random.Random(20260101)
        EmbeddedServer.init(self.path, self.clock, self.numbers.randbytes).close()
        self.server = self.opened()

    def file(self) -> EmbeddedServer:
        return EmbeddedServer(self.path, self.clock, self.numbers.randbytes)

    def opened(self) -> ServerBackend:
        """The server under test; whoever tests another way to it overrides these three."""
        return self.file()

    def as_person(self, user: str) -> AbstractContextManager[ServerBackend]:
        """The server as somebody comes to it for themselves."""

        @contextlib.contextmanager
        def acting() -> Iterator[ServerBackend]:
            with self.file() as file, file.acting_as(user, own_only=user):
                yield file

        return acting()

    def shut(self) -> None:
        self.server.close()

    def teardown(self) -> None:
        self.shut()
        shutil.rmtree(self.directory)

    def refused(self, error: type[Exception], call: Callable[[], object], code: str | None = None) -> Any:
        with pytest.raises(error) as caught:
            call()
        assert caught.type is error
        assert code is None or getattr(caught.value, "code", None) == code
        return caught.value

    def now(self) -> float:
        for user, person in self.model.people.items():
            for device in person.forget(self.clock.now()):
                for call in (
                    lambda user=user, key=device.key: self.server.check(user, "00000000", device_id=key),
                    lambda key=device.key: self.server.prove(key, "00000000"),
                    lambda key=device.key: self.server.delete(key),
                ):
                    self.refused(Rejected, call, "unknown-device")
        return self.clock.now()

    def pick(self, data: st.DataObject) -> tuple[str, ModelPerson, ModelDevice]:
        self.now()
        found = [
            (user, person, person.devices[key])
            for user, person in sorted(self.model.people.items())
            for key in sorted(person.devices)
        ]
        index = data.draw(st.integers(0, len(found) - 1), label="device")
        return found[index]

    def has_devices(self) -> bool:
        self.now()
        return any(person.devices for person in self.model.people.values())

    # people

    @initialize(device=st.booleans())
    def begin(self, device: bool) -> None:
        """There is an old way, and often one who has a device: where most that can happen begins."""
        self.set_cutover(3 * DAY_S)
        if device:
            self.begin_with_a_device()

    def begin_with_a_device(self) -> None:
        self.enrol(USERS[0], NAMES[0], alone=True)
        person = self.model.people[USERS[0]]
        [device] = person.devices.values()
        self.server.prove(device.key, device.code(device.expected(START_S)))
        device.last = device.clock_step(START_S)
        person.pending.clear()

    @rule(user=st.sampled_from(USERS))
    def add(self, user: str) -> None:
        assert list(self.server.add_people([user])) == [user] * (user not in self.model.people)
        self.model.people.setdefault(user, ModelPerson())

    @rule(user=st.sampled_from(USERS))
    def remove(self, user: str) -> None:
        self.now()
        person = self.model.people.get(user)
        if person is None:
            self.refused(Rejected, lambda: self.server.remove_person(user), "unknown-user")
        elif person.devices:
            self.refused(Rejected, lambda: self.server.remove_person(user), "has-devices")
        else:
            self.server.remove_person(user)
            del self.model.people[user]

    @rule(delta_s=st.sampled_from((None, -1, 0, HOUR_S, 3 * DAY_S)))
    def set_cutover(self, delta_s: float | None) -> None:
        at_s = None if delta_s is None else self.clock.now() + delta_s
        if delta_s is not None and delta_s <= 0:
            self.refused(InputError, lambda: self.server.set_cutover(at_s))
        else:
            self.server.set_cutover(at_s)
            self.model.cutover_s = at_s

    @rule(user=st.sampled_from(USERS), delta_s=st.sampled_from((60, HOUR_S, 5 * DAY_S, None, 0, 7 * DAY_S + 1)))
    def set_fallback(self, user: str, delta_s: float | None) -> None:
        now_s = self.now()
        until_s = None if delta_s is None else now_s + delta_s
        person, cutover_s = self.model.people.get(user), self.model.cutover_s

        def call() -> object:
            return self.server.set_fallback(user, until_s)

        if person is None:
            self.refused(Rejected, call, "unknown-user")
        elif delta_s in (0, 7 * DAY_S + 1):
            self.refused(InputError, call)
        elif until_s is not None and (cutover_s is None or cutover_s <= now_s):
            self.refused(Rejected, call, "no-old-way")
        else:
            call()
            person.fallback_s = until_s or 0.0
            self.attempt(user, "00000000", None, named=False)

    # devices

    @rule(user=st.sampled_from(USERS), name=st.sampled_from(NAMES), alone=st.booleans())
    def enrol(self, user: str, name: str, alone: bool) -> None:
        now_s = self.now()
        person = self.model.people.get(user)
        taken = person is not None and name.casefold() in {d.name.casefold() for d in person.devices.values()}
        with self.as_person(user) if alone else contextlib.nullcontext(self.server) as server:
            if taken:
                self.refused(AlreadyRegistered, lambda: server.enrol(user, name, parameters=PARAMETERS))
                return
            made = server.enrol(user, name, parameters=PARAMETERS)
        [secret] = parse_qs(urlsplit(made.otpauth.reveal().decode("ascii")).query)["secret"]
        seed = b32decode(secret + "=" * (-len(secret) % 8))
        assert len(seed) == hashlib.sha1().digest_size
        device = ModelDevice(UUID(made.device.device_id), seed, user, name, counting=False)
        person = self.model.people.setdefault(user, ModelPerson())
        person.devices[device.key], person.pending[device.key] = device, now_s + DAY_S

    @precondition(has_devices)
    @rule(data=st.data(), offset=st.sampled_from((0, 0, 0, -1, 1, 2, 7)), alone=st.booleans())
    def prove(self, data: st.DataObject, offset: int, alone: bool) -> None:
        user, person, device = self.pick(data)
        now_s = self.clock.now()
        code = device.code(device.expected(now_s) + offset)
        with self.as_person(user) if alone else contextlib.nullcontext(self.server) as server:

            def call() -> object:
                return server.prove(device.key, code)

            if device.key not in person.pending:
                self.refused(Rejected, call, "proved")
            elif device.disabled:
                self.refused(Rejected, call, "disabled")
            elif not self.held_back(person, now_s, call):
                self.judged(person, [device], code, now_s, call)
                if person.failures == 0:
                    del person.pending[device.key]

    @precondition(has_devices)
    @rule(data=st.data(), offset=st.sampled_from((0, 0, 1, 1, 5)), named=st.booleans())
    def log_in(self, data: st.DataObject, offset: int, named: bool) -> None:
        user, _, device = self.pick(data)
        self.attempt(user, device.code(max(device.last, device.expected(self.clock.now())) + offset), device, named)

    @rule(user=st.sampled_from((*USERS, "stranger")))
    def guess(self, user: str) -> None:
        self.now()
        self.attempt(user, "00000000", None, False)

    def attempt(self, user: str, code: str, device: ModelDevice | None, named: bool) -> None:
        now_s, person = self.clock.now(), self.model.people.get(user)

        def call() -> object:
            return self.server.check(user, code, device_id=device.key if device and named else None)

        if person is None:
            self.refused(Rejected, call, "unknown-device")
            return
        until_s = self.model.sent_until(person, now_s)
        if until_s is not None and not named:
            assert self.refused(Fallback, call).until_s == until_s
            return
        asked = [one for one in person.devices.values() if not named or one is device]
        proved = [one for one in person.proved() if one in asked]
        enabled = [one for one in proved if not one.disabled]
        if not enabled:
            missing = "unknown-device" if not asked else "pending" if not proved else "disabled"
            self.refused(Rejected, call, missing)
        elif not self.held_back(person, now_s, call):
            self.judged(person, enabled, code, now_s, call)

    def held_back(self, person: ModelPerson, now_s: float, call: Callable[[], object]) -> bool:
        wait_s = person.failed_s + 5 * person.failures - now_s if person.failures else 0
        if wait_s <= 0:
            return False
        assert self.refused(Throttled, call).retry_after_s == wait_s
        return True

    def judged(
        self, person: ModelPerson, devices: list[ModelDevice], code: str, now_s: float, call: Callable[[], object]
    ) -> None:
        verdicts = [(device, *device.judged(code, now_s)) for device in devices]
        for device, step, _ in verdicts:
            if step is not None:
                call()
                device.last, device.drift = step, step - device.clock_step(now_s)
                person.failures = 0
                return
        person.failures, person.failed_s = person.failures + 1, now_s
        self.refused(CodeReplayed if any(replay for *_, replay in verdicts) else CodeMismatch, call)

    @precondition(has_devices)
    @rule(data=st.data(), disabled=st.booleans())
    def disable_or_enable(self, data: st.DataObject, disabled: bool) -> None:
        _, person, device = self.pick(data)
        if disabled:
            self.server.disable(device.key)
        else:
            self.server.enable(device.key)
            person.failures = 0
        device.disabled = disabled

    @precondition(has_devices)
    @rule(data=st.data(), alone=st.booleans(), meant=st.booleans())
    def delete(self, data: st.DataObject, alone: bool, meant: bool) -> None:
        user, person, device = self.pick(data)
        now_s = self.clock.now()
        before, after = self.model.locked_out(person, now_s), self.model.locked_out(person, now_s, without=device.key)
        shuts_out = after and not before
        with self.as_person(user) if alone else contextlib.nullcontext(self.server) as server:
            if alone and shuts_out and not meant:
                self.refused(Rejected, lambda: server.delete(device.key), "locks-out")
                return
            server.delete(device.key, even_if_locked_out=meant)
        del person.devices[device.key]
        person.pending.pop(device.key, None)

    @precondition(has_devices)
    @rule(data=st.data())
    def somebody_else_acts(self, data: st.DataObject) -> None:
        user, _, device = self.pick(data)
        other = next(one for one in USERS if one != user)
        with self.as_person(other) as server:
            self.refused(Rejected, lambda: server.prove(device.key, "00000000"), "unknown-device")
            self.refused(Rejected, lambda: server.delete(device.key), "unknown-device")
            self.refused(Rejected, lambda: server.enrol(user, "gift"), "unknown-user")
            assert all(one.user == other for one in (*server.list(), *server.people()))

    @rule(seconds=st.sampled_from((5.0, 60.0, 61.0, float(HOUR_S), DAY_S - 1.0, float(DAY_S))))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: any(one.fallback_s > self.clock.now() for one in self.model.people.values()))
    @rule()
    def wait_for_the_end_of_a_fallback(self) -> None:
        ends = (one.fallback_s for one in self.model.people.values())
        self.clock.wait_until(min(end for end in ends if end > self.clock.now()))

    @precondition(lambda self: self.now() and any(one.pending for one in self.model.people.values()))
    @rule(almost=st.booleans())
    def wait_for_the_end_of_a_pending_device(self, almost: bool) -> None:
        ends = [until_s for one in self.model.people.values() for until_s in one.pending.values()]
        self.clock.wait_until(min(ends) - almost)

    @precondition(lambda self: (self.model.cutover_s or 0) > self.clock.now())
    @rule()
    def wait_for_the_cutover(self) -> None:
        self.clock.wait_until(self.model.cutover_s or 0)

    # what holds after every step

    @invariant()
    def lists_as_the_model(self) -> None:
        now_s = self.now()
        listed = {
            one.device_id: (one.user, one.name, one.pending_until_s, one.disabled, one.last_step, one.drift_steps)
            for one in self.server.list()
        }
        assert listed == {
            one.key: (
                user,
                one.name,
                person.pending.get(one.key),
                one.disabled,
                None if one.last < 0 else one.last,
                one.drift,
            )
            for user, person in self.model.people.items()
            for one in person.devices.values()
        }
        open_s = self.model.cutover_s if self.model.cutover_s is not None and self.model.cutover_s > now_s else 0.0
        assert [(one.user, one.fallback_until_s) for one in self.server.people()] == [
            (user, min(person.fallback_s, open_s) if min(person.fallback_s, open_s) > now_s else None)
            for user, person in sorted(self.model.people.items())
        ]
        assert self.server.cutover_s == self.model.cutover_s
