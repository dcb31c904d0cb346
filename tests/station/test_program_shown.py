"""`program`, `retire` and `rotate` on tokens that show their codes to people only: a Molto2, and both kinds of Token2's
tokens with one profile. The person is played by the simulated button and screen."""

from __future__ import annotations

import itertools

import pytest

from firmware_sim.families.family import family
from firmware_sim.flash import Moment, PowerCut, seeded_subset
from firmware_sim.seams import PowerLost
from provision.errors import (
    AdminKeyIncorrect,
    InputError,
    OutcomeUnknown,
    PinIncorrect,
    Quarantined,
    TokenError,
    UsageError,
)
from provision.model import Algorithm, OtpParameters, Secret
from provision.otp import code_at
from provision.station import keys
from provision.station.program import Phase
from provision.station.retire import RetireStep, reset
from provision.station.states import State
from provision.wire import molto2

CREDENTIAL = "VPN"
MOLTO2, DIES, STAYS = "molto2", "miniOTP-2-i", "C302-i"
SEED = Secret(bytes(range(1, 21)))
MASTER = Secret(bytes(range(32)))


class Killed(BaseException):
    pass


class Owner:
    """Presses when asked to and reads what is there; `typos`: how many codes are typed wrongly first."""

    def __init__(self, world, *, typos: int = 0, presses: bool = True) -> None:
        self.world = world
        self.typos = typos
        self.presses = presses
        self.read = 0

    def read_code(self, wanted: str) -> str:
        self.read += 1
        if self.typos:
            self.typos -= 1
            return "12345"
        for _ in range(100):
            self.world.token.press_button()
            shown, _, code = self.world.token.screen().rpartition(" ")
            if self.world.kind.name != MOLTO2 or shown.partition(".")[2] == CREDENTIAL:
                return code
        raise AssertionError(self.world.token.screen())

    def press_button(self, wanted: str) -> None:
        if self.presses:
            self.world.token.press_button()


@pytest.fixture(params=[MOLTO2, DIES, STAYS])
def shown(request, make_world):
    return _world(make_world, request.param)


def _world(make_world, name):
    kind = family(MOLTO2) if name == MOLTO2 else family("token2", model=name)
    world = make_world(pin=False, kind=kind, serial=f"{kind.serial_prefix}0000001")
    world.owner = Owner(world)
    world.tokens_name = name
    return world


def job(world, **changes):
    return world.job(**({"pin": False, "credential": CREDENTIAL} | changes))


def run(world, *, person=None, **options):
    wanted = options.pop("job", None) or job(world)
    options.setdefault("admin_key", Secret(bytes(range(32))) if world.tokens_name == MOLTO2 else None)
    return world.run(wanted, person=person or world.owner, **options)


def admin_key(world):
    return Secret(bytes(range(32))) if world.tokens_name == MOLTO2 else None


def login(world):
    return world.login(world.owner.read_code("a code"))


def stop(step, when=Phase.AFTER):
    def observer(at, phase, note):
        if (at, phase) == (step, when):
            raise Killed

    return observer


def steps_of(world):
    with world.ledger() as ledger:
        return [event.what for event in ledger.events(world.entry().uuid)]


# Programming


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

    world = _world(make_world, name)
    person = Lazy(world)
    with pytest.raises(Killed):
        run(world, person=person, observer=stop(State.REGISTERED))
    with world.ledger() as ledger:
        ledger.log_server_step(world.entry(), OtpParameters().step_at(world.clock.now()))
    assert run(world, person=person).entry.state is State.DONE
    assert person.read == 3


def test_what_the_family_cannot_hold_is_found_out_first(make_world):
    world = _world(make_world, MOLTO2)
    with pytest.raises(InputError, match="no title"):
        run(world, job=job(world, credential="hwtoken:somebody"))
    assert world.entry() is None


def test_a_done_token_may_be_asked_whose_seed_it_has(shown):
    run(shown, job=job(shown, seed=SEED))
    assert run(shown, job=job(shown, seed=SEED)).already_done
    with pytest.raises(UsageError, match="another seed"):
        run(shown, job=job(shown, seed=Secret(b"another seed of 20 b")))


# Keys of a Molto2, which does not tell whose it obeys


@pytest.fixture
def molto(make_world):
    return _world(make_world, MOLTO2)


def test_a_key_that_nobody_confirmed_stays_the_factorys(molto):
    with pytest.raises(AdminKeyIncorrect):
        run(molto, person=Owner(molto, presses=False))
    assert steps_of(molto)[-2:] == [keys.CHANGING, keys.UNCHANGED]
    molto.clock.advance(60)
    assert run(molto).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8


@pytest.mark.parametrize("pressed", [True, False])
def test_cut_off_while_it_takes_its_key(molto, pressed):
    """Whether somebody pressed the button meanwhile is found out with one try at most, and given back."""

    class CutAtTheKey:
        def around(self, link):
            exchange = link.exchange

            def cut(command):
                reply = exchange(command)
                if command[1] == molto2.Ins.CUSTOMER_KEY:
                    raise OutcomeUnknown("the cable was pulled")
                return reply

            link.exchange = cut
            return link

    with pytest.raises(OutcomeUnknown):
        run(molto, wrap=CutAtTheKey().around)
    if pressed:
        molto.token.press_button()
    else:
        molto.clock.advance(60)
        with pytest.raises(AdminKeyIncorrect, match="the same command again") as caught:
            run(molto)
        assert caught.value.attempts_remaining == 7
    assert run(molto).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8


def test_cut_off_at_every_command_that_is_more_than_a_question_it_converges(make_world):
    cut, more = 0, True
    while more:
        world = _world(make_world, MOLTO2)
        link = _Cut(cut, counts=lambda command: command[1] not in (0x41, 0xD7))
        try:
            run(world, wrap=link.around)
            more = False
        except OutcomeUnknown:
            assert run(world).entry.state is State.DONE
        assert len(world.devices()) == 1
        assert len(world.token.inspect()["credentials"]) == 1
        assert world.token.inspect()["attempts_remaining"] == 8
        cut += 1
    assert cut > 8


def test_the_organisations_key_is_remembered_over_jobs(molto):
    run(molto)
    molto.retire()
    assert run(molto).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8


def test_a_wipe_brings_the_factorys_key_back(molto):
    run(molto)
    molto.retire(wipe=True, person=molto.owner)
    assert molto.token.inspect()["lifecycle"] == "factory"
    assert run(molto).entry.state is State.DONE


def test_a_wipe_that_nobody_confirmed_is_told(molto):
    run(molto)
    with pytest.raises(TokenError, match="not pressed"):
        molto.retire(wipe=True, person=Owner(molto, presses=False))
    assert molto.entry().state is State.RETIRING
    molto.retire(wipe=True, person=molto.owner)
    assert molto.entry().state is State.RETIRED


def test_a_token_with_a_key_of_its_own(molto):
    own = molto2.sm4_key(b"somebody's key")
    molto.token._chip.change_key(own)
    assert run(molto, token_key=Secret(b"somebody's key")).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8


def test_a_wrong_key_costs_one_try_and_no_more(molto):
    molto.token._chip.change_key(molto2.sm4_key(b"somebody's key"))
    with pytest.raises(AdminKeyIncorrect) as caught:
        run(molto, token_key=Secret(b"another one's key"))
    assert caught.value.attempts_remaining == 7
    assert molto.entry() is None


def test_a_key_of_the_organisations_from_before_the_first_job(molto):
    with molto.session() as session:
        session.authenticate(None)
        keys.take_over(session, session.info(), MASTER, molto.owner)
    assert run(molto).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8
    assert keys.CHANGING not in steps_of(molto), "there was nothing to change"
    molto.clock.advance(31)
    assert molto.retire().state is State.RETIRED


def test_a_key_that_is_nobodys_here_leaves_tries(molto):
    """Two keys are presented while there are tries to spare, then one."""
    molto.token._chip.change_key(molto2.sm4_key(b"somebody's key"))
    left = []
    for _ in range(3):
        with pytest.raises(AdminKeyIncorrect) as caught:
            run(molto)
        left.append(caught.value.attempts_remaining)
    assert left == [6, 5, 4]
    assert molto.entry() is None


class Absent(Owner):
    """Whoever is asked goes away instead: with Ctrl-C, or because the file of codes has no more lines."""

    def press_button(self, wanted):
        raise InputError("no more lines")


def test_a_change_of_keys_that_was_left_open_is_finished_by_the_same_command_again(molto):
    """However often it is left: no key is presented until the token locks itself."""
    for _ in range(8):
        with pytest.raises(InputError):
            run(molto, person=Absent(molto))
        molto.clock.advance(60)
        with pytest.raises(AdminKeyIncorrect) as caught:
            run(molto)
        assert caught.value.attempts_remaining == 7
        assert "the one it had before" in caught.value.hint
        molto.clock.advance(60)
    assert run(molto).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8


def test_a_button_that_was_pressed_too_late_is_found_out(molto):
    """The ledger says that the key is unchanged, and the token has changed it after all."""
    with pytest.raises(AdminKeyIncorrect):
        run(molto, person=Owner(molto, presses=False))
    molto.token._chip.change_key(_customer_key_of(molto))
    with pytest.raises(AdminKeyIncorrect) as caught:
        run(molto)
    assert "the same command again presents that one" in caught.value.hint
    assert run(molto).entry.state is State.DONE


def _customer_key_of(world):
    from provision.families.derivation import derive

    return molto2.sm4_key(derive(MASTER, "hwtoken molto2 customer key v1", world.serial, 16))


def test_a_wrong_master_key_turns_no_proven_word_round(molto):
    run(molto)
    molto.clock.advance(60)
    with pytest.raises(AdminKeyIncorrect):
        molto.retire(admin_key=Secret(bytes(32)))
    assert molto.retire().state is State.RETIRED


def test_a_wipe_behind_the_jobs_back_can_be_put_on_record(molto):
    run(molto)
    with molto.session() as session, molto.ledger() as ledger:
        reset(session, session.info(), molto.owner, ledger)
    with pytest.raises(UsageError, match="no longer on it"):
        run(molto)
    molto.retire()
    assert run(molto).entry.state is State.DONE
    assert molto.token.inspect()["attempts_remaining"] == 8


def test_another_ones_credential_is_not_touched(molto):
    with molto.session() as session:
        session.authenticate(None)
        from provision.model import NewCredential

        session.put(NewCredential(CREDENTIAL, SEED, OtpParameters(), pin=False))
    with pytest.raises(Quarantined, match="another seed"):
        run(molto)


# Taking back


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
    world = _world(make_world, DIES)
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
            world = _world(make_world, name)
            run(world)
            world.clock.advance(86400)
            link = _Cut(cut)
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
        world = _world(make_world, name)
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


class _Cut:
    def __init__(self, at: int, counts=lambda command: True) -> None:
        self.left = at
        self.counts = counts

    def around(self, link):
        exchange = link.exchange

        def cut(command):
            reply = exchange(command)
            self.left -= self.counts(command)
            if self.left == -1 and self.counts(command):
                raise OutcomeUnknown("the cable was pulled")
            return reply

        link.exchange = cut
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


def test_a_wrong_pin_is_found_out_before_the_old_seed_is_gone(world):
    world.run()
    world.clock.advance(86400)
    world.ask_pin = lambda: Secret(b"999999")
    with pytest.raises(PinIncorrect) as caught:
        world.rotate()
    assert caught.value.attempts_remaining == 7
    assert world.entry().state is State.DONE
    assert world.login(world.code()).drift_steps == 0


def test_a_rotation_asks_for_the_pin_once(world):
    world.run()
    world.clock.advance(86400)
    asked = world.pins_asked
    world.rotate()
    assert world.pins_asked == asked + 1


def test_the_reference_token_rotates_too(world):
    world.run()
    first = world.code()
    world.clock.advance(86400)
    assert world.rotate().entry.state is State.DONE
    world.clock.advance(31)
    assert world.login(world.code()).drift_steps == 0
    assert first
