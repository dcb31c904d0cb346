"""`program` on tokens that show their codes to people only."""

from __future__ import annotations

import pytest

from provision.errors import InputError, Quarantined, UsageError
from provision.model import Algorithm, OtpParameters, Secret
from provision.otp import code_at
from provision.station.program import Phase
from provision.station.states import State
from tests.station.shown.people import (
    DIES,
    MOLTO2,
    SEED,
    STAYS,
    Killed,
    Owner,
    admin_key,
    job,
    login,
    run,
    steps_of,
    stop,
    world_of,
)


def test_programmed_and_proven(shown):
    outcome = run(shown)
    assert outcome.entry.state is State.DONE
    assert shown.owner.read == 1  # the same code proves the token here and at the server
    assert abs(shown.oscillator.offset_us) < 1_000_000
    shown.clock.advance(31)
    assert login(shown).drift_steps == 0


def test_the_order_is_the_familys(shown):
    run(shown)
    order = [step for step in steps_of(shown) if step in ("TIME_SET", "WRITTEN")]
    assert order == (["TIME_SET", "WRITTEN"] if shown.tokens_name == DIES else ["WRITTEN", "TIME_SET"])


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("step", [s for s in State if s not in (State.QUARANTINED, State.RETIRING, State.RETIRED)])
def test_killed_anywhere_it_converges(shown, step, phase):
    try:
        run(shown, observer=stop(step, phase))
    except Killed:
        shown.clock.advance(5)
    assert run(shown).entry.state is State.DONE
    assert len(shown.devices()) == 1
    shown.clock.advance(31)
    assert login(shown).drift_steps == 0
    if shown.tokens_name == MOLTO2:
        assert shown.token.inspect()["attempts_remaining"] == 8
        assert len(shown.token.inspect()["credentials"]) == 1


def test_parameters_reach_the_token(shown):
    parameters = OtpParameters(algorithm=Algorithm.SHA256, time_step_s=60)
    run(shown, job=job(shown, parameters=parameters, seed=SEED))
    expected = code_at(SEED, parameters, parameters.step_at(shown.clock.now()))
    assert shown.owner.read_code("") == expected


def test_a_slip_of_the_finger_is_forgiven_twice(shown):
    assert run(shown, person=Owner(shown, typos=2)).entry.state is State.DONE


def test_three_wrong_codes_are_another_seed(shown):
    with pytest.raises(Quarantined):
        run(shown, person=Owner(shown, typos=3))
    assert shown.entry().cause == "3 wrong codes read from its screen"


def test_nobody_there_is_found_out_first(shown):
    with pytest.raises(UsageError, match="nobody can be asked"):
        shown.run(job(shown), admin_key=admin_key(shown))
    assert shown.entry() is None
    assert shown.token.inspect()["credentials"] == []


def test_a_code_of_the_last_step_is_not_used_twice(shown):
    """The server's check was lost: a later code has to be read."""
    with pytest.raises(Killed):
        run(shown, observer=stop(State.SERVER_VERIFIED, Phase.ACTED))
    before = shown.clock.now()
    run(shown)
    assert shown.clock.now() > before


@pytest.mark.parametrize("name", [DIES, STAYS])
def test_an_earlier_code_does_not_do_where_a_later_one_is_wanted(make_world, name):
    """Somebody wrote the code down that proved the token, and types it again for the server's check."""

    class Lazy(Owner):
        noted = ""

        def read_code(self, wanted):
            code = super().read_code(wanted)
            if self.noted and "earlier" not in wanted:
                return self.noted
            self.noted = code
            return code

    world = world_of(make_world, name)
    person = Lazy(world)
    with pytest.raises(Killed):
        run(world, person=person, observer=stop(State.REGISTERED))
    with world.ledger() as ledger:
        ledger.log_server_step(world.entry(), OtpParameters().step_at(world.clock.now()))
    assert run(world, person=person).entry.state is State.DONE
    assert person.read == 3


def test_what_the_family_cannot_hold_is_found_out_first(make_world):
    world = world_of(make_world, MOLTO2)
    with pytest.raises(InputError, match="no title"):
        run(world, job=job(world, credential="hwtoken:somebody"))
    assert world.entry() is None


def test_a_done_token_may_be_asked_whose_seed_it_has(shown):
    run(shown, job=job(shown, seed=SEED))
    assert run(shown, job=job(shown, seed=SEED)).already_done
    with pytest.raises(UsageError, match="another seed"):
        run(shown, job=job(shown, seed=Secret(b"another seed of 20 b")))
