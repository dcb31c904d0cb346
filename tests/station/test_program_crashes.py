"""`program` killed, cut off and refused at every point, then run again: it converges, with one seed and one device."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provision.errors import LinkError, OutcomeUnknown, Timeout, Unreachable
from provision.station.program import Phase
from provision.station.states import State

STEPS = [state for state in State if state not in (State.QUARANTINED, State.RETIRING, State.RETIRED)]


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the code under test may handle it."""


class FaultyLink:
    def __init__(self, link, faults):
        self.link = link
        self.faults = faults

    def __getattr__(self, name):
        return getattr(self.link, name)

    def exchange(self, command):
        at = self.faults.count
        self.faults.count += 1
        if at == self.faults.before:
            raise self.faults.error("the cable was pulled")
        reply = self.link.exchange(command)
        if at == self.faults.after:
            raise self.faults.lost("the cable was pulled")
        return reply


class Faults:
    """`before`, `after`: at which exchange the link breaks, before the command left or with its reply lost."""

    def __init__(self, before=None, after=None, error=Timeout, lost=OutcomeUnknown):
        self.before, self.after = before, after
        self.error, self.lost = error, lost
        self.count = 0

    def __call__(self, link):
        return FaultyLink(link, self)


class FaultyServer:
    """A server whose call number `at` fails, before it was carried out or after."""

    def __init__(self, server, at, *, after, error):
        self.server, self.at, self.after, self.error, self.count = server, at, after, error, 0

    def __getattr__(self, name):
        attribute = getattr(self.server, name)
        if not callable(attribute):
            return attribute

        def call(*args, **kwargs):
            mine = self.count == self.at
            self.count += 1
            if mine and not self.after:
                raise self.error("the server is gone")
            result = attribute(*args, **kwargs)
            if mine:
                raise self.error("the server is gone")
            return result

        return call


def kill_at(step, phase):
    def observer(at, when, note):
        if (at, when) == (step, phase):
            raise Killed

    return observer


def assert_converged(world):
    """DONE; one device; its seed is the token's (a fresh code is accepted); nothing was charged or kept."""
    entry = world.entry()
    assert entry.state is State.DONE
    assert entry.sealed is None
    devices = world.devices()
    assert [(d.user, d.name, d.serial, d.device_id) for d in devices] == [
        ("alice", "desk token", "HT000001", entry.device_id)
    ]
    with world.session() as session:
        info = session.info()
        assert info.attempts_remaining == 8
        assert not info.factory_keys
        assert [c.name for c in session.credentials()] == ["hwtoken:alice"]
    world.clock.advance(31)
    assert world.login(world.code()).device_id == entry.device_id
    with world.ledger() as ledger:
        events = [event.what for event in ledger.events(entry.uuid)]
    assert [what for what in events if what != "server-step"] == [s.value for s in STEPS]


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.value)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.value)
def test_killed_at_every_step_it_converges(world, step, phase):
    with pytest.raises(Killed):
        world.run(observer=kill_at(step, phase))
    outcome = world.run()
    assert outcome.already_done == ((step, phase) == (State.DONE, Phase.AFTER))
    assert_converged(world)


def exchanges_of_a_run(make_world):
    faults = Faults()
    make_world().run(wrap=faults)
    return faults.count


def test_cut_off_at_every_exchange_it_converges(make_world):
    total = exchanges_of_a_run(make_world)
    assert total > 20
    for at in range(total):
        for faults in (Faults(before=at), Faults(after=at, lost=Killed if at % 2 else OutcomeUnknown)):
            world = make_world(seed=at)
            with pytest.raises((LinkError, Killed)):
                world.run(wrap=faults)
            world.run()
            assert_converged(world)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("error", [Unreachable, OutcomeUnknown, Killed])
def test_the_server_gone_at_every_call_it_converges(make_world, after, error):
    at = 0
    while True:
        world = make_world(seed=at)
        try:
            world.run(wrap_server=lambda server, at=at: FaultyServer(server, at, after=after, error=error))
        except error:
            world.run()
            assert_converged(world)
            at += 1
        else:
            break
    assert at == 3  # list, register, check


def test_a_check_whose_fate_is_unknown_is_not_repeated_but_a_later_step_used(world):
    with pytest.raises(Unreachable):
        world.run(wrap_server=lambda server: FaultyServer(server, 2, after=True, error=Unreachable))
    logged = world.entry().server_step
    before_s = world.clock.now()
    world.run()
    assert world.entry().server_step == logged + 1
    assert world.clock.now() > before_s
    with world.server() as server:
        assert [str(entry.outcome.name) for entry in server.audit() if entry.action.name == "CHECK"] == [
            "ACCEPTED",
            "ACCEPTED",
        ]


def test_a_code_that_its_owner_used_meanwhile_counts_as_unknown(world):
    with pytest.raises(Killed):
        world.run(observer=kill_at(State.REGISTERED, Phase.AFTER))
    world.login(world.code())
    world.run()
    assert_converged(world)


fault = st.one_of(
    st.tuples(st.just("kill"), st.sampled_from(STEPS), st.sampled_from(list(Phase))),
    st.tuples(st.just("before"), st.integers(0, 60), st.none()),
    st.tuples(st.just("after"), st.integers(0, 60), st.none()),
    st.tuples(st.just("server"), st.integers(0, 3), st.booleans()),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(fault, max_size=6),
    waits=st.lists(st.floats(0, 90), min_size=6, max_size=6),
    seed=st.integers(0, 99),
)
def test_after_any_sequence_of_faults_it_converges(make_world, faults, waits, seed):
    world = make_world(seed=seed)
    for (kind, what, how), wait_s in zip(faults, waits, strict=False):
        options = {
            "kill": lambda what=what, how=how: {"observer": kill_at(what, how)},
            "before": lambda what=what: {"wrap": Faults(before=what)},
            "after": lambda what=what: {"wrap": Faults(after=what)},
            "server": lambda what=what, how=how: {
                "wrap_server": lambda server: FaultyServer(server, what, after=how, error=Unreachable)
            },
        }[kind]()
        try:
            world.run(**options)
        except (Killed, LinkError, Unreachable):
            world.clock.advance(wait_s)
    world.run()
    assert_converged(world)
