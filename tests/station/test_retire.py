"""`retire` over a simulated token and an embedded server: both sides closed, however often it was stopped."""

from __future__ import annotations

from uuid import uuid4

import pytest

from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    LinkError,
    Quarantined,
    Rejected,
    Timeout,
    Unreachable,
    UsageError,
)
from provision.model import NewCredential, OtpParameters, Secret
from provision.servers.backend import Registration
from provision.station.job import Escrow, SeedOrigin
from provision.station.program import Phase
from provision.station.retire import RetireStep, retire
from provision.station.states import State
from tests.station.begun import as_administrator

MASTER = Secret(bytes(range(32)))
OTHER_SEED = Secret(b"09876543210987654321")


class Killed(BaseException):
    pass


class CutLink:
    """A link that breaks at exchange number `at`, before the command left or with its reply lost."""

    def __init__(self, link, at, after):
        self.link, self.at, self.after, self.count = link, at, after, 0

    def __getattr__(self, name):
        return getattr(self.link, name)

    def exchange(self, command):
        mine = self.count == self.at
        self.count += 1
        if mine and not self.after:
            raise Timeout("the cable was pulled")
        reply = self.link.exchange(command)
        if mine:
            raise Timeout("the cable was pulled")
        return reply


def stop_after(step):
    def observer(at, phase, note):
        if (at, phase) == (step, Phase.AFTER):
            raise Killed

    return observer


def assert_closed(world, *, wiped=False):
    entry = world.entry()
    assert (entry.state, entry.sealed) == (State.RETIRED, None)
    assert world.devices() == []
    with world.session() as session:
        info = session.info()
        assert session.credentials() == []
        assert info.factory_keys == wiped


@pytest.mark.parametrize("wipe", [False, True])
def test_both_sides_are_closed(world, wipe):
    world.run(world.job(escrow=Escrow.DIAGNOSE))
    world.clock.advance(30)
    code = world.code()
    steps = []
    world.retire(wipe=wipe, observer=lambda step, note: steps.append(step))
    assert steps == list(RetireStep)
    assert_closed(world, wiped=wipe)
    with pytest.raises(Rejected):
        world.login(code)
    assert world.retire(wipe=wipe).state is State.RETIRED


def test_a_retired_token_can_be_programmed_again(world):
    world.run()
    world.retire()
    world.run(world.job(user="bob", credential="hwtoken:bob"))
    assert [device.user for device in world.devices()] == ["bob"]


@pytest.mark.parametrize("wipe", [False, True])
def test_cut_off_at_every_exchange_it_finishes_the_second_time(make_world, wipe):
    at, cut = 0, True
    while cut:
        cut = False
        for after in (False, True):
            world = make_world(seed=at)
            world.run()
            try:
                world.retire(wipe=wipe, wrap=lambda link, at=at, after=after: CutLink(link, at, after))
            except LinkError:
                cut = True
            world.retire(wipe=wipe)
            assert_closed(world, wiped=wipe)
        at += 1
    assert at > 5


@pytest.mark.parametrize("step", list(RetireStep))
def test_killed_after_every_step_it_finishes_the_second_time(world, step):
    def observer(at, note):
        if at is step:
            raise Killed

    world.run()
    with pytest.raises(Killed):
        world.retire(observer=observer)
    world.retire()
    assert_closed(world)


@pytest.mark.parametrize("step", [s for s in State if s not in (State.QUARANTINED, State.RETIRING, State.RETIRED)])
@pytest.mark.parametrize("phase", [Phase.ACTED, Phase.AFTER])
def test_a_job_that_was_never_finished(world, step, phase):
    def observer(at, when, note):
        if (at, when) == (step, phase):
            raise Killed

    with pytest.raises(Killed):
        world.run(observer=observer)
    if world.entry() is None:
        with pytest.raises(InputError, match="does not know"):
            world.retire()
        return
    if (step, phase) == (State.WRITTEN, Phase.ACTED):
        # On the token, but not on record: it might be anyone's.
        with pytest.raises(UsageError, match="not on record") as refused:
            world.retire()
        assert "`provision ledger resume`" in str(refused.value)
        world.retire(wipe=True)
    else:
        world.retire()
    assert world.entry().state is State.RETIRED
    assert world.devices() == []
    with world.session() as session:
        assert session.credentials() == []


def test_the_server_comes_first(world):
    world.run()

    class Refusing:
        def __init__(self, link):
            self.link = link

        def __getattr__(self, name):
            return getattr(self.link, name)

        def exchange(self, command):
            if command[1] == 0x02:  # DELETE
                raise Timeout("the cable was pulled")
            return self.link.exchange(command)

    with pytest.raises(Timeout):
        world.retire(wrap=Refusing)
    assert world.devices() == []
    assert world.entry().state is State.RETIRING
    with pytest.raises(UsageError, match="being retired"):
        world.run()
    world.retire()
    assert_closed(world)


def test_a_server_that_cannot_delete_has_disabled_it(world):
    world.run()

    class NoDelete:
        def __init__(self, server):
            self.server = server

        def __getattr__(self, name):
            return getattr(self.server, name)

        def delete(self, device_id):
            raise Unreachable("the server is gone")

    with world.session() as session, world.ledger() as ledger, world.server() as server, pytest.raises(Unreachable):
        retire(
            session=session,
            ledger=ledger,
            server=NoDelete(server),
            server_address=world.server_address,
            admin_key=MASTER,
            wipe=False,
            observer=lambda step, note: None,
        )
    assert [device.disabled for device in world.devices()] == [True]
    world.retire()
    assert_closed(world)


def test_a_renamed_credential_is_not_said_to_be_gone(world):
    world.run()
    as_administrator(world, lambda session: session.rename("hwtoken:alice", "vpn"))
    said = {}
    world.retire(observer=lambda step, note: said.update({step: note}))
    assert "still holds 'vpn'" in said[RetireStep.TOKEN_CLOSED]
    assert world.devices() == []


def test_a_quarantined_token_is_only_wiped(world):
    with world.session() as session:
        session.authenticate(None)
        session.put(NewCredential("hwtoken:alice", OTHER_SEED))
    with pytest.raises(Quarantined):
        world.run()
    with pytest.raises(UsageError, match="quarantine"):
        world.retire()
    for refused in (world.run, world.rotate):
        with pytest.raises(Quarantined, match="`provision token retire --wipe`"):
            refused()
    assert world.entry().state is State.QUARANTINED
    world.retire(wipe=True)
    assert_closed(world, wiped=True)


@pytest.mark.parametrize("name", ["desk token", "Desk Token"])
def test_a_device_that_the_server_made_is_deleted_too(world, name):
    """Also where the server spells its name otherwise, which programming takes for the same."""
    with world.server() as server:
        server.register(Registration(uuid4(), "alice", name, None, OTHER_SEED, OtpParameters()))
        server.register(Registration(uuid4(), "alice", "phone", None, MASTER, OtpParameters()))
    with pytest.raises(Killed):
        world.run(world.job(seed=OTHER_SEED, origin=SeedOrigin.SERVER), observer=stop_after(State.VERIFIED))
    world.retire()
    assert [device.name for device in world.devices()] == ["phone"]


def test_the_wrong_server_or_key_changes_nothing(world):
    world.run()
    with world.session() as session, world.ledger() as ledger, world.server() as server:
        options = {"session": session, "ledger": ledger, "server": server, "wipe": False, "observer": print}
        with pytest.raises(UsageError, match="registered at"):
            retire(server_address="embedded:/elsewhere", admin_key=MASTER, **options)
    assert world.entry().state is State.DONE
    with pytest.raises(UsageError, match="master key"):
        world.retire(admin_key=None)
    with pytest.raises(AdminKeyIncorrect):
        world.retire(admin_key=Secret(bytes(32)))
    assert (world.entry().state, len(world.devices())) == (State.DONE, 1)
    world.retire()
    assert_closed(world)
