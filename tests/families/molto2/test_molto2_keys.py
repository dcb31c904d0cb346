"""The customer key: taken over by a press, charged before it is compared, whole after any power cut."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_sim.flash import Moment, PowerCut
from firmware_sim.seams import PowerLost
from provision.errors import AdminKeyIncorrect, LocalProtocolError
from provision.families.molto2 import tries_left
from provision.model import Algorithm, OtpParameters, Secret
from provision.otp import code_at
from provision.wire import molto2, sm4_secure
from provision.wire.apdu import Sw
from tests.families.molto2.bench import KEY, MASTER, SEED, Bench, credential


def test_the_organisations_key_is_taken_over_by_a_press(bench, admin):
    admin.change_admin_key(MASTER)
    assert "▲" in bench.token.screen()
    assert bench.prove() == Sw.OK  # not yet
    bench.token.press_button()
    session = bench.session()
    session.authenticate(MASTER)
    session.put(credential())
    with pytest.raises(AdminKeyIncorrect):
        session.authenticate(None)
    assert bench.tries == 7


@pytest.mark.parametrize("ends", ["another challenge", "a new key", "a new key by another host", "a factory reset"])
def test_what_ends_a_session(bench, ends):
    lock = molto2.screen_command(locked=True)
    assert (bench.prove(), bench.sw(lock)) == (Sw.OK, Sw.OK)
    first = bench.channel
    if ends == "another challenge":
        bench.say(molto2.challenge_command())
    elif ends == "a factory reset":
        bench.say(molto2.factory_reset_command())
    else:
        if ends == "a new key by another host":
            bench.channel = bench.token.open_channel()
            assert bench.prove() == Sw.OK
        bench.say(molto2.customer_key_command(KEY, bytes(16)))
    bench.token.press_button()
    bench.channel = first
    assert bench.sw(lock) == Sw.SECURITY_STATUS_NOT_SATISFIED


def test_what_is_overwritten_is_gone_from_the_silicon(bench):
    def in_silicon(secret: bytes) -> bool:
        return secret in b"".join(bench.flash.pages.values())

    key, seed = b"the customer key", b"the profile's seed"
    bench.prove()
    bench.say(sm4_secure.seed_command(KEY, 3, seed))
    bench.say(molto2.customer_key_command(KEY, key))
    bench.token.press_button()
    assert in_silicon(key) and in_silicon(seed)
    challenge, _ = bench.say(molto2.challenge_command())
    assert bench.sw(molto2.authenticate_command(key, challenge)) == Sw.OK
    bench.say(sm4_secure.seed_command(key, 3, b"another seed"))
    assert not in_silicon(seed)
    bench.say(molto2.customer_key_command(key, b"another key, 16b"))
    bench.token.press_button()
    assert not in_silicon(key)


def test_a_press_that_never_comes_changes_nothing(bench, admin):
    admin.change_admin_key(MASTER)
    bench.clock.wait_until(bench.clock.now() + 31)
    bench.token.press_button()
    assert bench.prove() == Sw.OK


def test_another_serial_has_another_key(bench):
    session = bench.session()
    session.info()
    first = session._derived(MASTER)
    session._serial = "826658719844498"
    assert session._derived(MASTER) != first


@pytest.mark.parametrize(
    "text", [b"TOKEN2MOLTO1-KEY", b"544F4B454E324D4F4C544F312D4B4559", b"544f4b454e324d4f4c544f312d4b4559"]
)
def test_its_own_key_as_the_vendors_tool_takes_it(session, text):
    session.authenticate_own(Secret(text))
    session.put(credential())


def test_commands_before_the_key_are_our_own_mistake(session):
    for act in (
        lambda: session.put(credential()),
        lambda: session.write_clock(1_700_000_000),
        lambda: session.lock_screen(True),
        lambda: session.change_admin_key(MASTER),
    ):
        with pytest.raises(LocalProtocolError):
            act()


@pytest.mark.parametrize(("word", "left"), [(0x63C7, 7), (0x63C0, 0), (0x6307, 7), (0x6300, 0)])
def test_tries_in_either_spelling(word, left):
    assert tries_left(word) == left


def test_the_counter_counts_down_and_locks(bench):
    for left in range(7, -1, -1):
        session = bench.session()
        with pytest.raises(AdminKeyIncorrect) as caught:
            session.authenticate(MASTER)
        assert caught.value.attempts_remaining == bench.tries == left
    with pytest.raises(AdminKeyIncorrect, match="locked") as caught:
        bench.session().authenticate(None)
    assert caught.value.attempts_remaining == 0
    assert bench.prove() == Sw.AUTHENTICATION_BLOCKED
    bench.session().factory_reset()
    bench.token.press_button()
    bench.session().authenticate(None)
    assert bench.tries == 8


@pytest.mark.parametrize("moment", Moment)
@pytest.mark.parametrize("right", [True, False])
def test_a_try_is_charged_before_it_is_compared(moment, right):
    """Power fails at each flash operation in turn: whoever got an answer has paid for it."""
    for operation in range(100):
        bench = Bench()
        for _ in range(3):
            bench.prove(b"wrong")
        bench.flash.supply.arm(PowerCut(bench.flash.supply.operations + operation, moment))
        answer = None
        try:
            answer = bench.prove(molto2.DEFAULT_CUSTOMER_KEY if right else b"wrong")
        except PowerLost:
            bench.token.power_off()
        survived = answer is not None and bench.flash.supply.on
        bench.flash.supply.restore()
        bench.token.power_off()
        bench.token.power_on()
        if answer is None:
            assert bench.tries in ({4, 5, 8} if right else {4, 5})
        else:
            assert bench.tries == (8 if right else 4)
        if survived:
            return
    raise AssertionError("a try takes more than a hundred flash operations")


def swept(act, *, before=lambda session: None):
    """The benches on which power failed in `act` at each flash operation in turn, at each moment, and came back."""
    for moment in Moment:
        for operation in range(1000):
            bench = Bench()
            session = bench.session()
            session.authenticate(None)
            before(session)
            bench.flash.supply.arm(PowerCut(bench.flash.supply.operations + operation, moment))
            finished = False
            try:
                act(bench, session)
                finished = bench.flash.supply.on
            except PowerLost:
                bench.token.power_off()
            bench.flash.supply.restore()
            bench.token.power_off()
            bench.token.power_on()
            yield bench
            if finished:
                break
        else:
            raise AssertionError("it takes more than a thousand flash operations")


def test_a_credential_is_listed_whole_or_not_at_all():
    """Replaced by one with other parameters: at no moment is it a mixture of both."""
    old, new = OtpParameters(), OtpParameters(algorithm=Algorithm.SHA256, digits=8, time_step_s=60)
    other = Secret(b"another seed of 20 b")
    seen = set()
    for bench in swept(
        lambda bench, session: session.put(credential(secret=other, parameters=new)),
        before=lambda session: session.put(credential(parameters=old)),
    ):
        for found in bench.session().credentials():
            secret = SEED if found.parameters == old else other
            seen.add(found.parameters)
            now = found.parameters.step_at(bench.clock.now())
            assert bench.code_of("VPN") == code_at(secret, found.parameters, now)
    assert seen == {old, new}


def test_a_key_is_the_old_or_the_new_one():
    def change(bench, session):
        session.change_admin_key(MASTER)
        bench.token.press_button()

    obeyed = set()
    for bench in swept(change):
        factory = bench.prove() == Sw.OK
        if not factory:
            bench.session().authenticate(MASTER)
        obeyed.add(factory)
        assert bench.tries == 8
    assert obeyed == {True, False}


def test_a_factory_reset_is_whole():
    def reset(bench, session):
        session.factory_reset()
        bench.token.press_button()

    def fill(session):
        session.put(credential("a"))
        session.put(credential("b"))
        session.lock_screen(True)

    left = {
        (len(view["credentials"]), bench.token._chip.screen_locked)
        for bench in swept(reset, before=fill)
        for view in [bench.token.inspect()]
    }
    assert left == {(2, True), (0, False)}


class Guesser(RuleBasedStateMachine):
    """Right keys, wrong keys, old challenges, power cuts between: the counter is what the rules say, always."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.left = 8

    @rule()
    def right(self) -> None:
        expected = Sw.OK if self.left else Sw.AUTHENTICATION_BLOCKED
        assert self.bench.prove() == expected
        self.left = 8 if self.left else 0

    @rule(key=st.binary(min_size=1, max_size=20).filter(lambda key: key != molto2.DEFAULT_CUSTOMER_KEY))
    def wrong(self, key: bytes) -> None:
        self.left = max(self.left - 1, -1)
        expected = Sw.AUTHENTICATION_BLOCKED if self.left < 0 else Sw.PIN_INCORRECT | self.left
        assert self.bench.prove(key) == expected
        self.left = max(self.left, 0)

    @rule()
    def replayed_response(self) -> None:
        command = molto2.authenticate_command(KEY, bytes(8))
        self.bench.channel.reset()
        assert self.bench.sw(command) == Sw.CONDITIONS_NOT_SATISFIED

    @rule(noise=st.binary(max_size=40))
    def noise(self, noise: bytes) -> None:
        if noise[1:2] not in (b"\xce", b"\x56"):
            self.bench.channel.transmit(noise)

    @rule()
    def power(self) -> None:
        self.bench.token.power_off()
        self.bench.token.power_on()

    @rule()
    def driver_with_a_wrong_key(self) -> None:
        """One call, one try: never a retry."""
        with pytest.raises(AdminKeyIncorrect):
            self.bench.session().authenticate(MASTER)
        self.left = max(self.left - 1, 0)

    @invariant()
    def counted(self) -> None:
        assert self.bench.tries == self.left


Guesser.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestGuesser = Guesser.TestCase
