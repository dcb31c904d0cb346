"""The token against its model: two channels, the keypad, an administrator, a clock, and power cuts at any operation."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace as with_changes

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware_sim.flash import Moment, PowerCut, seeded_subset
from firmware_sim.seams import PowerLost
from firmware_sim.testing.bench import START_S, Bench, make_bench
from firmware_sim.testing.host import Host
from firmware_sim.testing.model import Model, ModelCredential, visible
from provision.wire import oath, reference, reference_oath, scp03
from provision.wire.apdu import Response, Sw
from provision.wire.oath import HashKind, OathKind
from provision.wire.oath import Ins as OathIns
from provision.wire.reference import Ins as ManagementIns
from provision.wire.reference_oath import Flag, Timing

_NONCE = b"12345678"
NAMES = ("a", "15/b", "ü:ä", "x" * oath.MAX_NAME)
# Chosen among what is on the token, and then the names that need not be there.
CHOICES = st.integers(0, 4)
PINS = st.sampled_from(("123456", "0123456789012345"))
CHANNELS = st.sampled_from((0, 1))
TIMINGS = st.builds(
    Timing,
    st.sampled_from((1, 30, 3600)),
    st.sampled_from((0, 59, int(START_S) + 100)),
    st.sampled_from((Flag(0), Flag.OWN_CLOCK, Flag.OWN_CLOCK | Flag.PIN, Flag.PIN)),
)


class TokenMachine(RuleBasedStateMachine):
    """Subclass it and override `make_bench` to put another token under test."""

    def make_bench(self) -> Bench:
        return make_bench()

    @initialize()
    def unpack(self) -> None:
        self.bench = self.make_bench()
        self.token = self.bench.token
        self.hosts = [Host(self.token.open_channel()) for _ in range(2)]
        self.admin = Host(self.token.open_channel())
        self.model = Model()
        self.verified = [False, False]
        self.typed: str | None = None
        self.gone: list[bytes] = []  # secrets that were on the token and must not be in its silicon any more
        self.secrets = 0
        self.power_up()

    def power_up(self) -> None:
        self.bench.supply.restore()
        self.token.power_on()
        self.verified = [False, False]
        self.typed = None
        for host in self.hosts:
            host.select()

    def attempt(self, what: Callable[[], Response], sw: int, after: Model, *between: Model) -> Response | None:
        """Do it, expect `sw` and the state `after`; or, if power fails in it, the state before, `after`, or one of
        `between`. Returns the response, None after a power cut."""
        try:
            response = what()
        except PowerLost:
            assert not self.token.powered
            self.power_up()
            seen = visible(self.token)
            # The state that was to be comes first: if it is there, what it erased must be gone.
            for model in (after, *between, self.model):
                if model.visible() == seen and self.is_hidden_in_the_token(model):
                    self.become(model)
                    return None
            raise AssertionError(f"neither the old state nor the new one: {seen}") from None
        assert response.sw == sw, f"{response.sw:04X} instead of {sw:04X}"
        self.become(after)
        return response

    def is_hidden_in_the_token(self, model: Model) -> bool:
        """Whether the token's keys, secrets and PIN are those of `model`; costs a right PIN, which gives back the
        attempts."""
        self.admin.keys = model.keys
        if self.admin.open().sw != Sw.OK:
            return False
        for name, credential in model.credentials.items():
            answer = self.admin.secure(OathIns.CHECK_VALUE, 0, 0, reference_oath.CheckValue(name, _NONCE).encode())
            if answer.data[2:] != credential.check_value(_NONCE):
                return False
        if model.pin is None:
            return True
        self.admin.open(reference.MANAGEMENT_AID)
        assert self.admin.secure(ManagementIns.RESET_RETRY_COUNTER, 0, reference.KEEP_PIN_P2).sw == Sw.OK
        self.admin.select()
        model.attempts = reference_oath.PIN_ATTEMPTS
        return self.admin.send(OathIns.VERIFY_PIN, data=reference_oath.Pin(model.pin.encode()).encode()).sw == Sw.OK

    def choose(self, choice: int) -> str:
        """A name, seldom one that is not on the token."""
        names = [*self.model.credentials, *NAMES]
        return names[choice % len(names)]

    def has_credentials(self) -> bool:
        return bool(self.model.credentials)

    def is_worth_erasing(self) -> bool:
        """Else Hypothesis would erase the token more often than it fills it."""
        return len(self.model.credentials) > 2 or self.model.attempts < 2

    def become(self, model: Model) -> None:
        before = {c.put.secret for c in self.model.credentials.values()}
        now = {c.put.secret for c in model.credentials.values()}
        self.gone += before - now
        self.model = model
        self.admin.keys = model.keys

    def as_admin(self, aid: bytes, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Callable[[], Response]:
        def do() -> Response:
            opened = self.admin.open(aid)
            assert opened.sw == Sw.OK
            return self.admin.secure(ins, p1, p2, data)

        return do

    # Power

    @rule(
        operations=st.integers(0, 4),
        moment=st.sampled_from(Moment),
        seed=st.integers(0, 2**16),
    )
    def arm_a_power_cut(self, operations: int, moment: Moment, seed: int) -> None:
        supply = self.bench.supply
        supply.arm(PowerCut(supply.operations + operations, moment, seeded_subset(seed)))

    @rule()
    def switch_off_and_on(self) -> None:
        boot_id = self.token.boot_id
        self.token.power_off()
        assert self.token.screen() == ""
        self.power_up()
        assert self.token.boot_id != boot_id

    @rule(seconds=st.sampled_from((0.5, 1, 29, 86400)))
    def time_passes(self, seconds: float) -> None:
        self.bench.clock.advance(seconds)

    # The administrator

    @rule(
        name=st.sampled_from(NAMES),
        kind=st.sampled_from(OathKind),
        digest=st.sampled_from(HashKind),
        digits=st.integers(6, 8),
        timing=st.none() | TIMINGS,
        counter=st.none() | st.integers(0, 2**32 - 1),
    )
    def put(
        self, name: str, kind: OathKind, digest: HashKind, digits: int, timing: Timing | None, counter: int | None
    ) -> None:
        self.secrets += 1
        secret = b"secret" + self.secrets.to_bytes(14, "big")
        if kind is OathKind.HOTP:
            new = reference_oath.Put(name, kind, digest, digits, secret, counter=counter)
        else:
            new = reference_oath.Put(name, kind, digest, digits, secret, timing=timing)
        after = copy.deepcopy(self.model)
        after.credentials[name] = ModelCredential(new, new.counter or 0)
        self.attempt(self.as_admin(oath.OATH_AID, OathIns.PUT, data=new.encode()), Sw.OK, after)

    @precondition(has_credentials)
    @rule(choice=CHOICES)
    def delete(self, choice: int) -> None:
        name = self.choose(choice)
        after = copy.deepcopy(self.model)
        there = after.credentials.pop(name, None)
        do = self.as_admin(oath.OATH_AID, OathIns.DELETE, data=oath.Name(name).encode())
        self.attempt(do, Sw.OK if there else Sw.NO_SUCH_OBJECT, after)

    @precondition(has_credentials)
    @rule(choice=CHOICES, new=st.sampled_from(NAMES))
    def rename(self, choice: int, new: str) -> None:
        old = self.choose(choice)
        after, sw = copy.deepcopy(self.model), Sw.OK
        if old not in after.credentials:
            sw = Sw.NO_SUCH_OBJECT
        elif new in after.credentials:
            sw = Sw.CONDITIONS_NOT_SATISFIED
        else:
            after.credentials = {new if name == old else name: c for name, c in after.credentials.items()}
            moved = after.credentials[new]
            moved.put = with_changes(moved.put, name=new)
        self.attempt(self.as_admin(oath.OATH_AID, OathIns.RENAME, data=oath.Rename(old, new).encode()), sw, after)

    @precondition(is_worth_erasing)
    @rule()
    def reset(self) -> None:
        after = copy.deepcopy(self.model)
        after.credentials.clear()
        self.attempt(self.as_admin(oath.OATH_AID, OathIns.RESET, *oath.RESET_P1_P2), Sw.OK, after)

    @precondition(has_credentials)
    @rule(choice=CHOICES)
    def check_value(self, choice: int) -> None:
        name = self.choose(choice)
        do = self.as_admin(oath.OATH_AID, OathIns.CHECK_VALUE, data=reference_oath.CheckValue(name, _NONCE).encode())
        there = self.model.credentials.get(name)
        response = self.attempt(do, Sw.OK, self.model)
        if response:
            assert response.data[2:] == (there.check_value(_NONCE) if there else b"")

    @rule(label=st.text("aä€", max_size=8))
    def set_label(self, label: str) -> None:
        after = copy.deepcopy(self.model)
        after.label = label
        data = reference.encode_label(label)
        self.attempt(self.as_admin(reference.MANAGEMENT_AID, ManagementIns.SET_LABEL, data=data), Sw.OK, after)

    @rule(new_pin=st.none() | PINS)
    def unblock(self, new_pin: str | None) -> None:
        after, sw = copy.deepcopy(self.model), Sw.OK
        p2, data = (reference.NEW_PIN_P2, new_pin.encode()) if new_pin else (reference.KEEP_PIN_P2, b"")
        if new_pin is None and after.pin is None:
            sw = Sw.CONDITIONS_NOT_SATISFIED
        else:
            after.attempts, after.pin = reference_oath.PIN_ATTEMPTS, new_pin or after.pin
        do = self.as_admin(reference.MANAGEMENT_AID, ManagementIns.RESET_RETRY_COUNTER, 0, p2, data)
        if self.attempt(do, sw, after) and new_pin:
            self.verified = [False, False]

    @rule(kvn=st.integers(1, 3), seed=st.integers(0, 255))
    def put_key(self, kvn: int, seed: int) -> None:
        after = copy.deepcopy(self.model)
        after.kvn, after.keys = kvn, scp03.KeySet(*[bytes((seed, number)) * 8 for number in range(3)])
        data = scp03.encode_put_key(kvn, after.keys, self.model.keys.dek)
        do = self.as_admin(reference.MANAGEMENT_AID, ManagementIns.PUT_KEY, 0, 0x81, data)
        self.attempt(do, Sw.OK, after)

    @precondition(is_worth_erasing)
    @rule()
    def factory_reset(self) -> None:
        do = self.as_admin(reference.MANAGEMENT_AID, ManagementIns.FACTORY_RESET, *reference.FACTORY_RESET_P1_P2)
        if self.attempt(do, Sw.OK, Model()):
            self.verified = [False, False]
            self.typed = None

    # The user

    @rule(channel=CHANNELS)
    def select(self, channel: int) -> None:
        reply = reference_oath.SelectReply.decode(self.hosts[channel].select().data)
        assert reply.attempts_remaining == (None if self.model.pin is None else self.model.attempts)
        self.verified[channel] = False

    @rule(channel=CHANNELS, pin=PINS)
    def set_pin(self, channel: int, pin: str) -> None:
        after, sw = copy.deepcopy(self.model), Sw.CONDITIONS_NOT_SATISFIED
        if after.pin is None:
            after.pin, after.attempts, sw = pin, reference_oath.PIN_ATTEMPTS, Sw.OK
        data = reference_oath.Pin(pin.encode()).encode()
        self.attempt(lambda: self.hosts[channel].send(OathIns.SET_PIN, data=data), sw, after)

    @precondition(lambda self: self.model.pin is not None)
    @rule(channel=CHANNELS, pin=PINS, new=st.none() | PINS)
    def verify_or_change_pin(self, channel: int, pin: str, new: str | None) -> None:
        sw, after = self.presented(pin)
        if sw == Sw.OK and new:
            after.pin = new
        if new is None:
            ins, data = OathIns.VERIFY_PIN, reference_oath.Pin(pin.encode()).encode()
        else:
            ins, data = OathIns.CHANGE_PIN, reference_oath.ChangePin(pin.encode(), new.encode()).encode()
        charged = self.model.charged()
        if self.attempt(lambda: self.hosts[channel].send(ins, data=data), sw, after, charged):
            if sw == Sw.OK and new:
                self.verified = [False, False]
            self.verified[channel] = sw == Sw.OK

    def presented(self, pin: str) -> tuple[int, Model]:
        """What comes of a PIN: the status word and the state."""
        model = copy.deepcopy(self.model)
        if model.pin is None:
            return Sw.CONDITIONS_NOT_SATISFIED, model
        if not model.attempts:
            return Sw.AUTHENTICATION_BLOCKED, model
        if pin == model.pin:
            model.attempts = reference_oath.PIN_ATTEMPTS
            return Sw.OK, model
        model.attempts -= 1
        return Sw.PIN_INCORRECT | model.attempts, model

    @rule(pin=PINS)
    def type_pin(self, pin: str) -> None:
        if self.model.pin is None:
            after, sets = copy.deepcopy(self.model), self.typed == pin
            typed = pin if self.typed is None else None
            if sets:
                after.pin, after.attempts = pin, reference_oath.PIN_ATTEMPTS
            if self.attempt(self.typing(pin), Sw.OK, after):
                self.typed = typed
        else:
            _, after = self.presented(pin)
            self.attempt(self.typing(pin), Sw.OK, after, self.model.charged())
            self.typed = None

    def typing(self, pin: str) -> Callable[[], Response]:
        def do() -> Response:
            self.token.type_pin(pin)
            return Response(b"", Sw.OK)

        return do

    @precondition(has_credentials)
    @rule(
        channel=CHANNELS, choice=CHOICES, step=st.integers(0, 2**64 - 1), misled=st.sampled_from((False, False, True))
    )
    def calculate(self, channel: int, choice: int, step: int, misled: bool) -> None:
        """`misled`: a challenge where none belongs, or the other way round."""
        name = self.choose(choice)
        after = copy.deepcopy(self.model)
        credential = after.credentials.get(name)
        challenge = step if credential is None or credential.host_gives_the_time is not misled else None
        sw, factor = self.expected_factor(channel, credential, challenge)
        data = oath.Calculate(name, challenge).encode()
        response = self.attempt(lambda: self.hosts[channel].send(OathIns.CALCULATE, 0, 1, data), sw, after)
        if response and factor is not None:
            credential = after.credentials[name]
            reply = reference_oath.CalculateReply.decode(response.data)
            assert (reply.digits, reply.value) == (credential.put.digits, credential.value(factor))
            assert (reply.device_time_us is not None) == credential.own_clock

    def expected_factor(
        self, channel: int, credential: ModelCredential | None, step: int | None
    ) -> tuple[int, int | None]:
        """The status word of CALCULATE and the moving factor; a HOTP counter goes up on the way."""
        if credential is None:
            return Sw.NO_SUCH_OBJECT, None
        put = credential.put
        if credential.host_gives_the_time is (step is None):
            return Sw.CONDITIONS_NOT_SATISFIED, None
        if credential.needs_pin and not self.verified[channel]:
            return Sw.SECURITY_STATUS_NOT_SATISFIED, None
        if credential.host_gives_the_time:
            return Sw.OK, step
        if put.kind is OathKind.HOTP:
            factor = credential.counter
            if factor == 2**32 - 1:
                return Sw.CONDITIONS_NOT_SATISFIED, None
            credential.counter += 1
            return Sw.OK, factor
        assert put.timing is not None
        factor = int(self.bench.clock.now() - put.timing.t0_s) // put.timing.time_step_s
        return (Sw.OK, factor) if factor >= 0 else (Sw.CONDITIONS_NOT_SATISFIED, None)

    # What is true at every moment

    @invariant()
    def the_token_is_as_the_model_says(self) -> None:
        assert visible(self.token) == self.model.visible()

    @invariant()
    def what_was_erased_is_gone(self) -> None:
        silicon = b"".join(self.bench.flash.pages.values())
        for secret in self.gone:
            assert secret not in silicon

    def teardown(self) -> None:
        note(f"flash operations: {self.bench.supply.operations}")
