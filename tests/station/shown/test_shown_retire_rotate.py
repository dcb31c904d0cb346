"""`retire` and `rotate` on tokens that show their codes to people only."""

from __future__ import annotations

import itertools

import pytest

from firmware_sim.flash import Moment, PowerCut, seeded_subset
from firmware_sim.seams import PowerLost
from provision.errors import InputError, OutcomeUnknown, UsageError
from provision.station.program import Phase
from provision.station.retire import RetireStep
from provision.station.states import State
from tests.station.shown.people import DIES, MOLTO2, STAYS, CutOff, Killed, admin_key, login, run, world_of


def test_retired_on_both_sides(shown):
    run(shown)
    code_before = shown.owner.read_code("")
    shown.retire(admin_key=admin_key(shown))
    assert shown.entry().state is State.RETIRED
    assert shown.devices() == []
    if shown.tokens_name == STAYS:  # a random seed has replaced it
        assert shown.owner.read_code("") != code_before
    else:
        assert shown.token.inspect()["credentials"] == []


def test_wiped_where_there_is_no_factory_reset(make_world):
    world = world_of(make_world, DIES)
    run(world)
    world.retire(wipe=True, admin_key=None)
    assert world.token.inspect()["credentials"] == []


# Rotating


def test_rotated(shown):
    run(shown)
    first = shown.entry()
    shown.clock.advance(86400)
    shown.oscillator.offset_us -= 100_000_000
    outcome = shown.rotate(admin_key=admin_key(shown), person=shown.owner)
    assert outcome.entry.state is State.DONE
    assert outcome.entry.uuid != first.uuid
    assert outcome.entry.job == first.job
    assert [device.serial for device in shown.devices()] == [shown.serial]
    assert abs(shown.oscillator.offset_us) < 1_000_000
    shown.clock.advance(31)
    assert login(shown).drift_steps == 0
    with shown.ledger() as ledger:
        assert ledger.get(first.uuid).state is State.RETIRED
        assert [e.what for e in ledger.history(shown.serial)].count("DONE") == 2


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("step", [s for s in State if s not in (State.QUARANTINED, State.RETIRING, State.RETIRED)])
def test_a_rotation_killed_while_it_programs_converges(shown, step, phase):
    run(shown)
    shown.clock.advance(86400)
    with pytest.raises(Killed):
        shown.rotate(admin_key=admin_key(shown), person=shown.owner, observer=_or_killed(step, phase, shown))
    shown.clock.advance(5)
    if shown.entry().state is not State.DONE:
        shown.rotate(admin_key=admin_key(shown), person=shown.owner)
    _assert_rotated_once(shown)


def _or_killed(step, phase, world):
    """Not every family passes every step: those that it has not are killed at the end."""

    def observer(at, when, note):
        absent = step is State.KEYS_CHANGED and world.tokens_name != MOLTO2
        if (at, when) == ((State.DONE, Phase.AFTER) if absent or step is State.PLANNED else (step, phase)):
            raise Killed

    return observer


@pytest.mark.parametrize("step", [RetireStep.RETIRING, RetireStep.SERVER_CLOSED, RetireStep.TOKEN_CLOSED])
def test_a_rotation_killed_while_it_retires_converges(shown, step):
    run(shown)
    shown.clock.advance(86400)

    def killer(at, note):
        if at is step:
            raise Killed

    with pytest.raises(Killed):
        shown.rotate(admin_key=admin_key(shown), person=shown.owner, retire_observer=killer)
    assert shown.entry().state is State.RETIRING
    shown.rotate(admin_key=admin_key(shown), person=shown.owner)
    _assert_rotated_once(shown)


def _assert_rotated_once(world):
    with world.ledger() as ledger:
        assert [entry.state for entry in ledger.entries()] == [State.RETIRED, State.DONE]
    assert len(world.devices()) == 1
    world.clock.advance(31)
    assert login(world).drift_steps == 0


def test_cut_off_at_every_exchange_a_rotation_converges(make_world):
    """The cable, rather than the tool: at each exchange in turn, before and after it reached the token."""
    for name in (DIES, STAYS):
        cut, more = 0, True
        while more:
            world = world_of(make_world, name)
            run(world)
            world.clock.advance(86400)
            link = CutOff(cut)
            try:
                world.rotate(admin_key=None, person=world.owner, wrap=link.around)
                more = False
            except OutcomeUnknown:
                if world.entry().state is not State.DONE:
                    world.rotate(admin_key=None, person=world.owner)
            assert world.entry().state is State.DONE
            assert len(world.devices()) == 1
            cut += 1
        assert cut > 10


@pytest.mark.parametrize("name", [MOLTO2, DIES, STAYS])
def test_power_cut_at_every_flash_operation_a_rotation_converges(make_world, name):
    """The token's supply: any bits of the operation may have come through."""
    for operation in itertools.count():
        world = world_of(make_world, name)
        run(world)
        world.clock.advance(86400)
        supply = world.flash.supply
        supply.arm(PowerCut(supply.operations + operation, Moment.INSIDE, seeded_subset(operation)))
        try:
            world.rotate(admin_key=admin_key(world), person=world.owner, wrap=_without_power)
        except OutcomeUnknown:
            supply.restore()
            world.token.power_off()
            world.token.power_on()
            world.rotate(admin_key=admin_key(world), person=world.owner)
        else:
            if supply.on:
                break
        _assert_rotated_once(world)
    assert operation > 8


def _without_power(link):
    """What a host sees of a token whose supply failed."""
    exchange = link.exchange

    def unanswered(command):
        try:
            return exchange(command)
        except PowerLost:
            raise OutcomeUnknown("the token is gone") from None

    link.exchange = unanswered
    return link


def test_only_what_is_in_use_is_rotated(shown):
    with pytest.raises(InputError, match="does not know"):
        shown.rotate(admin_key=admin_key(shown), person=shown.owner)
    run(shown)
    shown.retire(admin_key=admin_key(shown))
    with pytest.raises(UsageError, match="RETIRED"):
        shown.rotate(admin_key=admin_key(shown), person=shown.owner)


def test_a_retirement_is_no_rotation(shown):
    run(shown)

    def killer(at, note):
        raise Killed

    with pytest.raises(Killed):
        shown.retire(admin_key=admin_key(shown), observer=killer)
    with pytest.raises(UsageError, match="being retired"):
        shown.rotate(admin_key=admin_key(shown), person=shown.owner)


def test_nobody_at_the_screen_is_found_out_before_the_old_seed_is_gone(shown):
    run(shown)
    shown.clock.advance(86400)
    with pytest.raises(UsageError, match="nobody can be asked"):
        shown.rotate(admin_key=admin_key(shown))
    assert shown.entry().state is State.DONE
    assert login(shown).drift_steps == 0
