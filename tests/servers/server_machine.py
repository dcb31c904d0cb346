"""The embedded server against a plain model: dictionaries, and RFC 4226 written out once more.

Import `ServerMachine` to run it: it is a Hypothesis RuleBasedStateMachine. The model shares no line with the server:
not the window, not the throttle, not the arithmetic of codes.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from provision.clock import ManualClock
from provision.errors import AlreadyRegistered, CodeMismatch, CodeReplayed, Rejected, Throttled
from provision.model import OathType, OtpParameters, Secret
from provision.servers.backend import Acceptance, Device, Registration, ServerBackend
from provision.servers.embedded.backend import EmbeddedServer
from provision.servers.embedded.policy import Policy

START_S = 1_767_225_600.0
RESYNC_STEPS = 25
LOOK_AHEAD = 10
USERS = ("alice", "žofie")
NAMES = ("desk", "Phone", "straße")


def hotp(seed: bytes, counter: int, digits: int) -> str:
    """RFC 4226 section 5.3."""
    mac = hmac.digest(seed, counter.to_bytes(8, "big"), hashlib.sha1)
    at = mac[-1] & 15
    return str((int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF) % 10**digits).zfill(digits)


@dataclass
class ModelDevice:
    uuid: UUID
    seed: bytes
    user: str | None
    name: str
    counting: bool
    disabled: bool = False
    drift: int = 0
    last: int = -1

    @property
    def key(self) -> str:
        return str(self.uuid)

    @property
    def parameters(self) -> OtpParameters:
        return OtpParameters(OathType.HOTP) if self.counting else OtpParameters(digits=8, time_step_s=60)

    def code(self, step: int) -> str:
        return hotp(self.seed, step, self.parameters.digits)

    def clock_step(self, now_s: float) -> int:
        return int(now_s // 60)

    def expected(self, now_s: float) -> int:
        return self.last + 1 if self.counting else self.clock_step(now_s) + self.drift

    def matches(self, code: str, low: int, high: int) -> set[int]:
        return {step for step in range(max(0, low), high + 1) if self.code(step) == code}

    def judged(self, code: str, now_s: float) -> tuple[int | None, bool]:
        """The step that is accepted, if any, and whether the code is a replay."""
        middle = self.expected(now_s)
        low, high = (middle, middle + LOOK_AHEAD) if self.counting else (middle - 1, middle + 1)
        fresh = {step for step in self.matches(code, low, high) if step > self.last}
        spent = {step for step in self.matches(code, low - 3, high) if step <= self.last}
        if self.last >= 0:
            spent |= self.matches(code, self.last, self.last)
        return (max(fresh) if fresh else None), bool(spent) and not fresh


@dataclass
class ModelAccount:
    failures: int = 0
    failed_s: float = 0.0


@dataclass
class Model:
    devices: dict[str, ModelDevice] = field(default_factory=dict)
    accounts: dict[str | None, ModelAccount] = field(default_factory=dict)
    deleted: dict[bytes, int] = field(default_factory=dict)  # seed -> last step

    def of(self, user: str | None) -> list[ModelDevice]:
        return sorted((d for d in self.devices.values() if d.user == user), key=lambda d: d.name.casefold())

    def account(self, device: ModelDevice) -> ModelAccount:
        """Failures belong to the person, or to a device that nobody has."""
        return self.accounts.setdefault(device.user or device.key, ModelAccount())

    def name_taken(self, user: str | None, name: str, but: str = "") -> bool:
        return user is not None and any(
            d.name.casefold() == name.casefold() and d.key != but for d in self.devices.values() if d.user == user
        )


class ServerMachine(RuleBasedStateMachine):
    """Every call's outcome, and the whole listing after it, must be the model's."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="hwtoken-server-"))
        self.path = self.directory / "server.db"
        self.clock = ManualClock(START_S)
        self.model = Model()
        self.numbers = random.Random(20260101)
        EmbeddedServer.init(
            self.path,
            self.clock,
            self.numbers.randbytes,
            Policy(resync_steps=RESYNC_STEPS, resync_look_ahead=RESYNC_STEPS),
        ).close()
        self.server = self.opened()

    def opened(self) -> ServerBackend:
        """The server under test, on `path` and `clock`; whoever tests another way to it overrides this."""
        return EmbeddedServer(self.path, self.clock, self.numbers.randbytes)

    def shut(self) -> None:
        self.server.close()

    def teardown(self) -> None:
        self.shut()
        shutil.rmtree(self.directory)

    def pick(self, data: st.DataObject) -> ModelDevice:
        return self.model.devices[data.draw(st.sampled_from(sorted(self.model.devices)), label="device")]

    def refused(self, error: type[Exception], call: Callable[[], object]) -> Any:
        with pytest.raises(error) as caught:
            call()
        assert caught.type is error
        return caught.value

    # registering

    @initialize(counting=st.booleans())
    def first_device(self, counting: bool) -> None:
        self.register(1, USERS[0], NAMES[0], counting)

    @rule(
        number=st.integers(1, 6),
        user=st.sampled_from(USERS),
        name=st.sampled_from((*NAMES, "DESK")),
        counting=st.booleans(),
    )
    def register(self, number: int, user: str, name: str, counting: bool) -> None:
        device = ModelDevice(UUID(int=number), hashlib.sha1(b"%d" % number).digest(), user, name, counting)

        def call() -> Device:
            return self.server.register(
                Registration(device.uuid, user, name, f"SN{number}", Secret(device.seed), device.parameters)
            )

        known = self.model.devices.get(device.key)
        if known is not None and known.counting == counting:
            assert call().device_id == device.key  # the same again: nothing changes, whoever has it by now
        elif known is not None or self.model.name_taken(user, name):
            self.refused(AlreadyRegistered, call)
        else:
            call()
            device.last = self.model.deleted.get(device.seed + bytes([counting]), -1)
            self.model.devices[device.key] = device

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), what=st.sampled_from(("seed", "serial", "other seed")))
    def register_a_clash(self, data: st.DataObject, what: str) -> None:
        device = self.pick(data)
        fresh, uuid = b"a seed that nobody has", UUID(int=99)
        serial = f"SN{device.uuid.int}"
        registration = {
            "seed": Registration(uuid, "alice", "new", None, Secret(device.seed), device.parameters),
            "serial": Registration(uuid, "alice", "new", serial, Secret(fresh), device.parameters),
            "other seed": Registration(device.uuid, "alice", "new", None, Secret(fresh), device.parameters),
        }[what]
        self.refused(AlreadyRegistered, lambda: self.server.register(registration))

    # codes

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), offset=st.integers(-6, 12), named=st.booleans())
    def show_a_code(self, data: st.DataObject, offset: int, named: bool) -> None:
        device = self.pick(data)
        step = max(0, device.expected(self.clock.now()) + offset)
        if device.user is not None:
            self.attempt(device.user, device.code(step), device.key if named else None)

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), named=st.booleans())
    def replay_the_last_code(self, data: st.DataObject, named: bool) -> None:
        device = self.pick(data)
        if device.user is not None and device.last >= 0:
            self.attempt(device.user, device.code(device.last), device.key if named else None)

    @rule(user=st.sampled_from(USERS), code=st.sampled_from(("", "000000", "00000000", "x" * 1000, "٣٤٥٦٧٨", "\ud800")))
    def guess(self, user: str, code: str) -> None:
        self.attempt(user, code, None)

    @rule(user=st.sampled_from(USERS), times=st.integers(20, 60))
    def guess_patiently(self, user: str, times: int) -> None:
        for _ in range(times):
            owned = [device for device in self.model.of(user) if not device.disabled]
            if owned:
                account = self.model.account(owned[0])
                self.clock.wait_until(account.failed_s + 5 * account.failures)
            self.attempt(user, "000000", None)

    def attempt(self, user: str, code: str, key: str | None) -> None:
        now_s = self.clock.now()
        devices = [device for device in self.model.of(user) if key in (None, device.key)]
        enabled = [device for device in devices if not device.disabled]

        def call() -> object:
            return self.server.check(user, code, device_id=key)

        if not enabled:
            refusal = self.refused(Rejected, call)
            assert refusal.code == ("disabled" if devices else "unknown-device")
            return
        account = self.model.account(enabled[0])
        if self.held_back(account, now_s, call):
            return
        judged = [(device, *device.judged(code, now_s)) for device in enabled]
        for device, step, _ in judged:
            if step is not None:
                self.accepted(device, step, account, self.server.check(user, code, device_id=key))
                return
        account.failures, account.failed_s = account.failures + 1, now_s
        self.refused(CodeReplayed if any(replay for *_, replay in judged) else CodeMismatch, call)

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), offset=st.integers(-RESYNC_STEPS - 2, RESYNC_STEPS + 2), gap=st.sampled_from((1, 1, 1, 0, 2)))
    def resync(self, data: st.DataObject, offset: int, gap: int) -> None:
        device = self.pick(data)
        now_s = self.clock.now()
        middle = device.expected(now_s)
        step = max(0, middle + offset)
        first, second = device.code(step), device.code(step + gap)
        account = self.model.account(device)

        def call() -> object:
            return self.server.resync(device.key, first, second)

        if device.disabled:
            self.refused(Rejected, call)
            return
        if self.held_back(account, now_s, call):
            return
        back = 100 if device.counting else RESYNC_STEPS
        places = {
            place
            for place in device.matches(first, middle - back, middle + RESYNC_STEPS - 1)
            if device.code(place + 1) == second
        }
        fresh = {place for place in places if place > device.last}
        if len(fresh) == 1:
            outcome = self.server.resync(device.key, first, second)
            self.accepted(device, fresh.pop() + 1, account, outcome)
            return
        account.failures, account.failed_s = account.failures + 1, now_s
        self.refused(CodeReplayed if places and not fresh else CodeMismatch, call)

    def held_back(self, account: ModelAccount, now_s: float, call: Callable[[], object]) -> bool:
        wait_s = account.failed_s + 5 * account.failures - now_s if account.failures else 0
        if account.failures < 100 and wait_s <= 0:
            return False
        refusal = self.refused(Throttled, call)
        assert refusal.retry_after_s == (None if account.failures >= 100 else wait_s)
        return True

    def accepted(self, device: ModelDevice, step: int, account: ModelAccount, outcome: Acceptance) -> None:
        device.last = step
        device.drift = 0 if device.counting else step - device.clock_step(self.clock.now())
        account.failures = 0
        assert (outcome.device_id, outcome.step, outcome.drift_steps) == (device.key, step, device.drift)

    # administration

    @rule(seconds=st.sampled_from((0.25, 4.0, 5.0, 60.0, 61.5, 600.0, 86_400.0)))
    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def open_again(self) -> None:
        self.shut()
        self.server = self.opened()

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), drift=st.integers(-20, 20))
    def set_drift(self, data: st.DataObject, drift: int) -> None:
        device = self.pick(data)
        if device.counting:
            self.refused(Rejected, lambda: self.server.set_drift(device.key, drift))
        else:
            self.server.set_drift(device.key, drift)
            device.drift = drift

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), name=st.sampled_from((*NAMES, "phone", "STRASSE")))
    def rename(self, data: st.DataObject, name: str) -> None:
        device = self.pick(data)
        if self.model.name_taken(device.user, name, but=device.key):
            self.refused(AlreadyRegistered, lambda: self.server.rename(device.key, name))
        else:
            self.server.rename(device.key, name)
            device.name = name

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), user=st.sampled_from(USERS))
    def assign(self, data: st.DataObject, user: str) -> None:
        device = self.pick(data)
        if device.user not in (None, user):
            self.refused(Rejected, lambda: self.server.assign(device.key, user))
        elif device.user is None and self.model.name_taken(user, device.name):
            self.refused(AlreadyRegistered, lambda: self.server.assign(device.key, user))
        else:
            self.server.assign(device.key, user)
            self.model.accounts.pop(device.key, None)
            device.user = user

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data())
    def unassign(self, data: st.DataObject) -> None:
        device = self.pick(data)
        self.server.unassign(device.key)
        device.user = None

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data(), disabled=st.booleans())
    def disable_or_enable(self, data: st.DataObject, disabled: bool) -> None:
        device = self.pick(data)
        if disabled:
            self.server.disable(device.key)
        else:
            self.server.enable(device.key)
            self.model.account(device).failures = 0
        device.disabled = disabled

    @precondition(lambda self: self.model.devices)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        device = self.pick(data)
        self.server.delete(device.key)
        self.refused(Rejected, lambda: self.server.delete(device.key))
        del self.model.devices[device.key]
        self.model.accounts.pop(device.key, None)
        if device.last >= 0:
            self.model.deleted[device.seed + bytes([device.counting])] = device.last

    # what holds after every step

    @invariant()
    def lists_as_the_model(self) -> None:
        listed = {
            d.device_id: (
                d.user,
                d.name,
                d.disabled,
                d.drift_steps,
                d.last_step,
                d.consecutive_failures,
                d.parameters.counter,
            )
            for d in self.server.list()
        }
        assert listed == {
            d.key: (
                d.user,
                d.name,
                d.disabled,
                d.drift,
                None if d.last < 0 else d.last,
                self.model.account(d).failures,
                d.last + 1 if d.counting else 0,
            )
            for d in self.model.devices.values()
        }
        for user in USERS:
            assert [d.device_id for d in self.server.list(user)] == [d.key for d in self.model.of(user)]

    @invariant()
    def never_accepted_twice(self) -> None:
        """Across deletions too: a device's accepted steps only grow, unless it became another kind of device."""
        for device in self.model.devices.values():
            steps = [entry.step for entry in self.server.history(device.key) if entry.step is not None]
            mine = [step for step in steps if (step < 1_000_000) == device.counting]  # counters are small, steps large
            assert mine == sorted(set(mine))
