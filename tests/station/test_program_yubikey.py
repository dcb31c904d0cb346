"""`program` and `retire` on a YubiKey: no clock, no check value, and nothing told before its key was proved."""

from __future__ import annotations

import pytest

from provision.errors import AdminKeyIncorrect, InputError, NotSupported, Quarantined
from provision.families.yubikey_access import access_key_of_password, response_to
from provision.model import Algorithm, NewCredential, OtpParameters, Secret
from provision.station.access import Access
from provision.station.program import Phase, program
from provision.station.retire import retire
from provision.station.states import State
from provision.wire.apdu import CLA_PLAIN, Command
from provision.wire.oath import Ins
from provision.wire.oath_password import SetCode
from tests.families.targets import KINDS, InProcess

KIND = next(kind for kind in KINDS if kind.name == "yubikey 5.7.4")
MASTER = Secret(bytes(range(32)))
STEPS = [
    State.PLANNED,
    State.SEALED,
    State.KEYS_CHANGED,
    State.WRITTEN,
    State.VERIFIED,
    State.REGISTERED,
    State.SERVER_VERIFIED,
    State.DONE,
]


class Killed(BaseException):
    pass


@pytest.fixture
def target(world) -> InProcess:
    return InProcess(KIND, world.clock)


def run(world, target, observer=lambda step, phase, note: None, token_key=None, **job):
    with world.ledger() as ledger, world.server() as server:
        return program(
            world.job(pin=False, **job),
            session=target.session(),
            ledger=ledger,
            server=server,
            clock=world.clock,
            access=Access(MASTER, world.ask_pin, world.ask_passphrase, token_key),
            randbytes=world.random.randbytes,
            observer=observer,
        )


def with_password_of_its_owner(target):
    """As somebody leaves it who has used Yubico's tools."""
    session = target.session()
    session.authenticate(None)
    key = access_key_of_password(Secret(b"hunter2"), session._select_oath().device_id)
    data = SetCode(key, bytes(8), response_to(key, bytes(8))).encode()
    session._send(Command(CLA_PLAIN, Ins.SET_CODE, 0, 0, data), "change its password")


def take_back(world, target, **more):
    with world.ledger() as ledger, world.server() as server:
        return retire(
            session=target.session(),
            ledger=ledger,
            server=server,
            server_address=world.server_address,
            observer=lambda step, note: None,
            **{"wipe": False, "admin_key": MASTER, **more},
        )


def owner(target):
    session = target.session()
    session.authenticate(MASTER)
    return session


@pytest.mark.parametrize("step", [None, State.SEALED, State.KEYS_CHANGED, State.WRITTEN])
def test_a_token_with_a_password_of_its_owners_is_taken_over(world, target, step):
    """Also where a run was killed after the change of the password and before that was on record."""

    def observer(at, phase, note):
        if (at, phase) == (step, Phase.ACTED):
            raise Killed

    with_password_of_its_owner(target)
    with pytest.raises(AdminKeyIncorrect):
        run(world, target)
    if step is not None:
        with pytest.raises(Killed):
            run(world, target, observer, token_key=Secret(b"hunter2"))
    assert run(world, target, token_key=Secret(b"hunter2")).entry.state is State.DONE
    assert [credential.name for credential in owner(target).credentials()] == ["hwtoken:alice"]


def test_the_steps_of_a_token_without_clock(world, target):
    steps = []
    run(world, target, lambda step, phase, note: steps.append(step) if phase is Phase.AFTER else None)
    assert steps == STEPS
    (held,) = owner(target).credentials()
    assert (held.name, held.own_clock, held.pin) == ("hwtoken:alice", False, False)


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("step", STEPS)
def test_stopped_anywhere_the_same_call_finishes_it(world, target, step, phase):
    def kill(at, when, note):
        if (at, when) == (step, phase):
            raise Killed

    with pytest.raises(Killed):
        run(world, target, kill)
    target.restart()
    before_s = world.clock.now()
    assert run(world, target).entry.state is State.DONE
    assert len(owner(target).credentials()) == 1
    assert len(world.devices()) == 1
    # A resumed job proves its seed by two codes, for which nobody waits; only the server may want a later step.
    assert world.clock.now() - before_s <= 31


def test_another_time_step_and_hash(world, target):
    parameters = OtpParameters(algorithm=Algorithm.SHA512, digits=8, time_step_s=60)
    run(world, target, parameters=parameters)
    (held,) = owner(target).credentials()
    assert (held.name, held.parameters) == ("hwtoken:alice", parameters)


def test_somebody_elses_credential_is_not_overwritten(world, target):
    session = target.session()
    session.authenticate(None)
    session.put(NewCredential("hwtoken:alice", Secret(b"somebody else's seed"), own_clock=False, pin=False))
    with pytest.raises(Quarantined):
        run(world, target)
    assert len(owner(target).credentials()) == 1


@pytest.mark.parametrize(
    "job", [{"credential": "15/odd"}, {"parameters": OtpParameters(t0_s=1)}, {"credential": "n" * 65}]
)
def test_what_it_cannot_hold_is_found_before_anything_changes(world, target, job):
    with pytest.raises((NotSupported, InputError)):
        run(world, target, **job)
    assert target.session().info().factory_keys
    with world.ledger() as ledger:
        assert ledger.of_token(KIND.serial) is None


def test_taken_back_and_given_out_again(world, target):
    run(world, target)
    assert take_back(world, target).state is State.RETIRED
    assert owner(target).credentials() == []
    run(world, target, user="bob")
    assert take_back(world, target, wipe=True, admin_key=None).state is State.RETIRED
    assert target.session().info().factory_keys
    assert world.devices() == []
