"""Keys of a Molto2, which does not tell whose it obeys: the ledger remembers, and no key is tried again and again."""

from __future__ import annotations

import pytest

from provision.errors import AdminKeyIncorrect, InputError, OutcomeUnknown, Quarantined, TokenError, UsageError
from provision.model import OtpParameters, Secret
from provision.station import keys
from provision.station.retire import reset
from provision.station.states import State
from provision.wire import molto2
from tests.station.shown.people import CREDENTIAL, MASTER, MOLTO2, SEED, CutOff, Owner, run, steps_of, world_of


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
        world = world_of(make_world, MOLTO2)
        link = CutOff(cut, counts=lambda command: command[1] not in (0x41, 0xD7))
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
