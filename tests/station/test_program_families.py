"""`program` over families that lack what the reference token has: no clock, no check value, a clock that eats seeds.

A Session in memory, because no such driver exists yet; its codes come from the host's oracle, since what is tested here
is the order of things and not the codes.
"""

from __future__ import annotations

import pytest

from provision.clock import ManualClock
from provision.errors import NotSupported, Quarantined, TokenError
from provision.model import (
    Capability,
    ClockKind,
    ClockReading,
    Code,
    CredentialInfo,
    NewCredential,
    PinState,
    Secret,
    TokenInfo,
)
from provision.otp import code_at
from provision.station.access import Access
from provision.station.program import Phase, program
from provision.station.states import State

OTHER_SEED = Secret(b"09876543210987654321")


class Killed(BaseException):
    pass


class Box:
    """A token of some family, and its Session at once: nothing of it is lost between two runs."""

    def __init__(self, clock: ManualClock, clock_kind: ClockKind, *, runs: bool = True) -> None:
        self.clock = clock
        self.clock_kind = clock_kind
        self.runs = runs
        self.capabilities = {Capability.LIST, Capability.CODE_READ}
        if clock_kind is not ClockKind.NONE:
            self.capabilities |= {Capability.CLOCK_READ, Capability.CLOCK_SET}
        self.offset_s = 500.0
        self.stopped_s = clock.now()
        self.held: NewCredential | None = None
        self.calls: list[str] = []

    def info(self) -> TokenInfo:
        capabilities = frozenset(self.capabilities)
        return TokenInfo("box", "BOX1", "m", "1", "", capabilities, self.clock_kind, PinState.UNSET, None, True, 0, 1)

    def authenticate(self, admin_key):
        assert admin_key is None

    def credentials(self):
        held = self.held
        if held is None:
            return []
        return [CredentialInfo(held.name, held.parameters, held.own_clock, held.pin, held.touch)]

    def require_storable(self, credential):
        assert credential.name

    def put(self, credential):
        self.calls.append("put")
        self.held = credential

    def _device_s(self) -> float:
        return self.clock.now() + self.offset_s if self.runs else self.stopped_s

    def read_clock(self):
        now = self.clock.now()
        return ClockReading(self._device_s(), now, now)

    def write_clock(self, seconds):
        self.calls.append("write_clock")
        self.offset_s, self.stopped_s = seconds - self.clock.now(), seconds
        if self.clock_kind is ClockKind.WITH_SEED:
            self.held = None
        now = self.clock.now()
        return ClockReading(float(seconds), now, now)

    def calculate(self, name, *, step=None):
        assert self.held is not None
        assert (step is None) == (self.clock_kind is not ClockKind.NONE)
        device_s = self._device_s() if step is None else None
        at = self.held.parameters.step_at(device_s) if step is None else step
        return Code(code_at(self.held.secret, self.held.parameters, at), device_s)


def run(world, box, observer=lambda step, phase, note: None):
    with world.ledger() as ledger, world.server() as server:
        return program(
            world.job(pin=False),
            session=box,
            ledger=ledger,
            server=server,
            clock=world.clock,
            access=Access(None, world.ask_pin, world.ask_passphrase),
            randbytes=world.random.randbytes,
            observer=observer,
        )


def stop(step, when=Phase.AFTER):
    def observer(at, phase, note):
        if (at, phase) == (step, when):
            raise Killed

    return observer


def test_clock_first_where_setting_it_erases_the_seed(world):
    box = Box(world.clock, ClockKind.WITH_SEED)
    assert run(world, box).entry.state is State.DONE
    assert box.calls == ["write_clock", "put"]


def test_a_clock_that_went_wrong_costs_the_seed_and_both_are_written_again(world):
    box = Box(world.clock, ClockKind.WITH_SEED)
    with pytest.raises(Killed):
        run(world, box, stop(State.VERIFIED))
    box.offset_s += 40
    assert run(world, box).entry.state is State.DONE
    assert box.calls == ["write_clock", "put"] * 2


def test_where_the_host_gives_the_time_no_clock_is_set(world):
    box = Box(world.clock, ClockKind.NONE)
    steps = []
    run(world, box, lambda step, phase, note: steps.append(step) if phase is Phase.AFTER else None)
    assert State.TIME_SET not in steps
    assert State.KEYS_CHANGED not in steps
    assert box.calls == ["put"]
    with world.ledger() as ledger:
        assert ledger.of_token("BOX1").state is State.DONE


@pytest.mark.parametrize("kind", list(ClockKind))
def test_two_consecutive_codes_tell_whose_seed_it_is(world, kind):
    box = Box(world.clock, kind)
    with pytest.raises(Killed):
        run(world, box, stop(State.VERIFIED))
    before_s = world.clock.now()
    run(world, box)
    assert box.calls.count("put") == 1
    # For the second code; where the host gives the time nobody waits for it.
    assert (world.clock.now() > before_s) is (kind is not ClockKind.NONE)


def test_two_consecutive_codes_tell_that_it_is_another(world):
    box = Box(world.clock, ClockKind.FREE)
    with pytest.raises(Killed):
        run(world, box, stop(State.VERIFIED))
    held = box.held
    box.held = NewCredential(held.name, OTHER_SEED, held.parameters, held.own_clock, held.pin)
    with pytest.raises(Quarantined, match="another seed"):
        run(world, box)
    assert box.held.secret == OTHER_SEED


def test_a_clock_that_stands_still_is_found_out(world):
    box = Box(world.clock, ClockKind.FREE, runs=False)
    with pytest.raises(Killed):
        run(world, box, stop(State.SERVER_VERIFIED, Phase.ACTED))
    with pytest.raises(TokenError, match="does not reach step"):
        run(world, box)


def test_a_pin_where_there_is_none(world):
    box = Box(world.clock, ClockKind.FREE)
    with world.ledger() as ledger, world.server() as server, pytest.raises(NotSupported) as caught:
        program(
            world.job(),
            session=box,
            ledger=ledger,
            server=server,
            clock=world.clock,
            access=Access(None, world.ask_pin, world.ask_passphrase),
            randbytes=world.random.randbytes,
            observer=lambda step, phase, note: None,
        )
    assert caught.value.capability == "pin"
