"""Bad input, power that fails, and whole lives of a YubiKey."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_sim.flash import Moment, PowerCut, seeded_subset
from firmware_sim.seams import PowerLost
from provision.errors import ProvisionError
from provision.families.driver import identify
from provision.links.inprocess import open_channel
from provision.links.link import LinkOptions
from provision.wire import oath
from provision.wire.apdu import Response, Sw
from provision.wire.oath import Ins, OathKind
from tests.families.yubikey.card import ACCESS_KEY, MASTER, Card, credential, kinds, yubikey_of


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.booleans())
def test_no_bytes_do_more_than_a_refusal(apdus, locked):
    card = Card()
    if locked:
        card.locked()
    for apdu in apdus:
        reply = card.target.channel.transmit(apdu)
        assert reply is None or len(reply) >= 2
    card.target.restart()
    assert card.select().sw == Sw.OK


@given(st.data())
def test_an_answer_altered_anywhere_is_never_more_than_an_error_of_ours(data):
    target = yubikey_of()
    session = target.session()
    session.authenticate(None)
    session.put(credential())
    session.change_admin_key(MASTER)
    transmit = target.channel.transmit

    class Noisy:
        deadline = None

        def transmit(self, apdu):
            reply = bytearray(transmit(apdu))
            if data.draw(st.booleans()):
                reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
            return bytes(reply)

        def reset(self):
            pass

    link = open_channel(Noisy(), LinkOptions(target.clock, target.random.randbytes))
    try:
        driver, _ = identify(link)
        session = driver.open(link, target.clock, target.random.randbytes)
        session.authenticate(MASTER)
        session.credentials()
        session.calculate("vpn", step=1)
    except ProvisionError:
        pass


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("act", ["set", "clear", "reset"])
def test_the_password_survives_a_power_cut_whole(moment, act):
    """The old state or the new one at any operation of the flash, never a mixture."""
    for operation in range(40):
        card = Card()
        card.put("a")
        if act != "set":
            card.locked()
            card.validate()
        supply = card.target.flash.supply
        supply.arm(PowerCut(supply.operations + operation, moment, seeded_subset(operation)))
        try:
            if act == "reset":
                card.send(Ins.RESET, p1=0xDE, p2=0xAD)
            else:
                card.set_code(ACCESS_KEY if act == "set" else None)
        except PowerLost:
            supply.restore()
            card.target.restart()
        else:
            assert operation >= 2
            return
        locked = oath.SelectReply.decode(card.select().data).challenge is not None
        if locked:
            assert card.validate().sw == Sw.OK
        held = len(oath.Listing.decode(card.send(Ins.LIST).data).entries)
        assert (locked, held) in {
            "set": {(False, 1), (True, 1)},
            "clear": {(True, 1), (False, 1)},
            "reset": {(True, 1), (False, 0)},
        }[act]
    raise AssertionError("it never came to its end")


class Life(RuleBasedStateMachine):
    """A locked or open token against a model of three lines: what it holds, its key, and whether we proved it."""

    def __init__(self) -> None:
        super().__init__()
        self.card = Card()
        self.held: dict[str, OathKind] = {}
        self.key: bytes | None = None
        self.open = True

    def expect(self, answer: Response, word: int = Sw.OK) -> bool:
        """Whether it was carried out."""
        if self.key is not None and not self.open:
            word = Sw.SECURITY_STATUS_NOT_SATISFIED
        assert answer.sw == word
        return answer.sw == Sw.OK

    @rule(name=st.sampled_from("abc"), kind=kinds)
    def put(self, name: str, kind: OathKind) -> None:
        if self.expect(self.card.put(name, kind)):
            self.held[name] = kind

    @rule(name=st.sampled_from("abc"))
    def delete(self, name: str) -> None:
        word = Sw.OK if name in self.held else Sw.NO_SUCH_OBJECT
        if self.expect(self.card.send(Ins.DELETE, oath.Name(name).encode()), word):
            del self.held[name]

    @rule(key=st.sampled_from((None, bytes(16), ACCESS_KEY)))
    def set_code(self, key: bytes | None) -> None:
        if self.expect(self.card.set_code(key)):
            self.key, self.open = key, True

    @rule(key=st.sampled_from((bytes(16), ACCESS_KEY)))
    def validate(self, key: bytes) -> None:
        word = self.card.validate(key).sw  # selects first
        assert word == (Sw.NO_SUCH_OBJECT if self.key is None else Sw.OK if key == self.key else Sw.WRONG_DATA)
        self.open = key == self.key

    @rule()
    def select(self) -> None:
        self.card.select()
        self.open = False

    @rule()
    def reset(self) -> None:
        assert self.card.send(Ins.RESET, p1=0xDE, p2=0xAD).sw == Sw.OK
        self.held, self.key = {}, None

    @rule()
    def restart(self) -> None:
        self.card.target.restart()
        self.select()

    @invariant()
    def tells_what_it_holds_to_whom_it_may(self) -> None:
        answer = self.card.send(Ins.LIST)
        if self.expect(answer):
            entries = oath.Listing.decode(answer.data).entries
            assert {name: kind for kind, _, name in entries} == self.held


TestLife = Life.TestCase
