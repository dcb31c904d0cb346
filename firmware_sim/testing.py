"""For tests, ours and other people's: a bench with a token on it, an administrator, and a Hypothesis state machine.

    class MyTokenMachine(TokenMachine):
        def make_bench(self) -> Bench: ...

    TestMyToken = MyTokenMachine.TestCase

The machine compares a token with a plain model through two channels, the keypad, an administrator's secure channel,
a clock, and power cuts at any flash operation. It needs the `hypothesis` package; nothing else of ours does.
"""

from __future__ import annotations

import copy
import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as with_changes
from typing import NamedTuple

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from firmware_sim.clocks import ManualClock
from firmware_sim.core.token import Token
from firmware_sim.families.reference import REFERENCE
from firmware_sim.flash import MemoryFlash, Moment, PowerCut, Supply, seeded_subset
from firmware_sim.seams import ApduChannel, Battery, OscillatorError, PowerLost
from provision.wire import oath, reference, scp03
from provision.wire.apdu import (
    CLA_GLOBALPLATFORM,
    CLA_PLAIN,
    CLA_SECURE,
    INS_SELECT,
    P1_SELECT_BY_AID,
    Command,
    Response,
    Sw,
    decode_response,
    encode_command,
)
from provision.wire.oath import Flag, HashKind, OathKind, Timing
from provision.wire.oath import Ins as OathIns
from provision.wire.reference import Ins as ManagementIns

START_S = 1_700_000_000.0
_NONCE = b"12345678"
_ALL = 65536  # Le: as much as there is


class SteadyOscillator:
    """Implements seams.Oscillator: true time plus an offset, and a battery that a test can empty."""

    def __init__(self) -> None:
        self.offset_us = 0
        self.battery = Battery.GOOD

    def device_time_us(self, now: float) -> int | None:
        return None if self.battery is Battery.STOPPED else round(now * 1_000_000) + self.offset_us

    def set_device_time(self, now: float, device_s: int) -> None:
        if self.battery is Battery.STOPPED:
            raise OscillatorError("the battery is dead")
        self.offset_us = device_s * 1_000_000 - round(now * 1_000_000)

    def battery_status(self, now: float) -> Battery:
        return self.battery


class Bench(NamedTuple):
    """A token and the hands on everything it depends on."""

    token: Token
    flash: MemoryFlash
    clock: ManualClock
    oscillator: SteadyOscillator

    @property
    def supply(self) -> Supply:
        return self.flash.supply


def make_bench(seed: int = 0, *, wear_limit: int = 1_000_000) -> Bench:
    """A reference token out of its box, without power."""
    flash, clock, oscillator = MemoryFlash(wear_limit=wear_limit), ManualClock(START_S), SteadyOscillator()
    token = Token(
        family=REFERENCE,
        serial=f"SIM{seed:05d}",
        flash=flash,
        oscillator=oscillator,
        clock=clock,
        random=random.Random(seed),  # noqa: S311  # a test's token must repeat itself
    )
    return Bench(token, flash, clock, oscillator)


class Host:
    """The other end of a channel: plain commands, and an administrator's secure channel. Checks every R-MAC."""

    def __init__(self, channel: ApduChannel, keys: scp03.KeySet = scp03.FACTORY_KEYS) -> None:
        self.channel = channel
        self.keys = keys
        self.level = scp03.Level.C_MAC_C_ENC_R_MAC_R_ENC
        self.session: scp03.SessionKeys | None = None
        self.chain = scp03.INITIAL_CHAIN
        self.counter = 0

    def exchange(self, command: Command) -> Response:
        """One command and its whole reply. A command that waits for a touch is a mistake here: use the channel."""
        raw = self.channel.transmit(encode_command(command))
        assert raw is not None, "the command waits for a touch"
        data, sw = decode_response(raw)
        while sw >> 8 == Sw.MORE_DATA >> 8:
            raw = self.channel.transmit(encode_command(Command(CLA_PLAIN, OathIns.SEND_REMAINING, 0, 0, b"", _ALL)))
            assert raw is not None
            more, sw = decode_response(raw)
            data += more
        return Response(data, sw)

    def send(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Response:
        return self.exchange(Command(CLA_PLAIN, ins, p1, p2, data, _ALL))

    def select(self, aid: bytes = oath.OATH_AID) -> Response:
        return self.send(INS_SELECT, P1_SELECT_BY_AID, 0, aid)

    def open(self, aid: bytes = oath.OATH_AID, *, level: scp03.Level | None = None, kvn: int = 0) -> Response:
        """Select and open the secure channel; the response of whichever command refused, or of the last."""
        self.select(aid)
        self.level = self.level if level is None else level
        challenge = bytes(range(scp03.CHALLENGE_SIZE))
        answer = self.exchange(Command(CLA_GLOBALPLATFORM, scp03.INS_INITIALIZE_UPDATE, kvn, 0, challenge, _ALL))
        if answer.sw != Sw.OK:
            return answer
        card = scp03.InitializeUpdateReply.decode(answer.data)
        self.session = scp03.session_keys(self.keys, challenge, card.card_challenge)
        self.chain, self.counter = scp03.INITIAL_CHAIN, 0
        cryptogram = scp03.host_cryptogram(self.session, challenge, card.card_challenge)
        return self.exchange(self.sign(Command(CLA_SECURE, scp03.INS_EXTERNAL_AUTHENTICATE, self.level, 0, cryptogram)))

    def sign(self, command: Command) -> Command:
        """The command with its C-MAC; the chain moves on."""
        assert self.session is not None
        self.chain = scp03.command_mac(self.session, self.chain, command)
        return command._replace(data=command.data + self.chain[: scp03.MAC_SIZE])

    def wrap(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Command:
        assert self.session is not None
        self.counter += 1
        body = scp03.encrypt(self.session, self.counter, data) if data else b""
        return self.sign(Command(CLA_SECURE, ins, p1, p2, body, _ALL, extended=True))

    def unwrap(self, answer: Response) -> Response:
        assert self.session is not None
        if answer.sw != Sw.OK and answer.sw >> 8 not in (0x62, 0x63):
            return answer
        body, mac = answer.data[: -scp03.MAC_SIZE], answer.data[-scp03.MAC_SIZE :]
        assert mac == scp03.response_mac(self.session, self.chain, body, answer.sw), "a wrong R-MAC"
        if body and self.level is scp03.Level.C_MAC_C_ENC_R_MAC_R_ENC:
            body = scp03.decrypt(self.session, self.counter, body, response=True)
        return Response(body, answer.sw)

    def secure(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Response:
        """Inside the secure channel opened before."""
        return self.unwrap(self.exchange(self.wrap(ins, p1, p2, data)))


@dataclass
class ModelCredential:
    put: oath.Put
    counter: int

    @property
    def own_clock(self) -> bool:
        return self.put.timing is not None and Flag.OWN_CLOCK in self.put.timing.flags

    @property
    def needs_pin(self) -> bool:
        return self.put.timing is not None and Flag.PIN in self.put.timing.flags

    def check_value(self, nonce: bytes) -> bytes:
        return hmac.digest(self.put.secret, b"check" + nonce, "sha256")[: oath.CHECK_VALUE_SIZE]

    def value(self, moving_factor: int) -> int:
        """RFC 4226's Snum."""
        digest = hmac.digest(self.put.secret, moving_factor.to_bytes(8, "big"), self.put.hash.name)
        offset = digest[-1] & 15
        return int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF


@dataclass
class Model:
    """What a token should hold: nothing of it is lost with the power."""

    credentials: dict[str, ModelCredential] = field(default_factory=dict)
    pin: str | None = None
    attempts: int = oath.PIN_ATTEMPTS
    label: str = ""
    keys: scp03.KeySet = scp03.FACTORY_KEYS
    kvn: int = scp03.FACTORY_KVN

    def charged(self) -> Model:
        """The state in the middle of a PIN's comparison."""
        model = copy.deepcopy(self)
        model.attempts -= 1
        return model

    def visible(self) -> object:
        """What `Token.inspect` should tell."""
        pin = "unset" if self.pin is None else "set" if self.attempts else "blocked"
        return (
            [
                (name, c.put.kind.name.lower(), c.put.hash.name, c.put.digits, c.own_clock, c.needs_pin)
                + ((c.counter,) if c.put.kind is OathKind.HOTP else (None,))
                for name, c in self.credentials.items()
            ],
            pin,
            None if self.pin is None else self.attempts,
            self.label,
            self.kvn,
        )


def visible(token: Token) -> object:
    view = token.inspect()
    return (
        [
            (c["name"], c["type"], c["algorithm"], c["digits"], c["own_clock"], c["pin"], c["counter"])
            for c in view["credentials"]
        ],
        view["pin"],
        view["attempts_remaining"],
        view["label"],
        view["key_version"],
    )


NAMES = st.sampled_from(("a", "15/b", "ü:ä", "x" * oath.MAX_NAME))
PINS = st.sampled_from(("123456", "654321", "0123456789012345"))
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
            answer = self.admin.secure(OathIns.CHECK_VALUE, 0, 0, oath.CheckValue(name, _NONCE).encode())
            if answer.data[2:] != credential.check_value(_NONCE):
                return False
        if model.pin is None:
            return True
        self.admin.open(reference.MANAGEMENT_AID)
        assert self.admin.secure(ManagementIns.RESET_RETRY_COUNTER, 0, reference.KEEP_PIN_P2).sw == Sw.OK
        self.admin.select()
        model.attempts = oath.PIN_ATTEMPTS
        return self.admin.send(OathIns.VERIFY_PIN, data=oath.Pin(model.pin.encode()).encode()).sw == Sw.OK

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
        name=NAMES,
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
            new = oath.Put(name, kind, digest, digits, secret, counter=counter)
        else:
            new = oath.Put(name, kind, digest, digits, secret, timing=timing)
        after = copy.deepcopy(self.model)
        after.credentials[name] = ModelCredential(new, new.counter or 0)
        self.attempt(self.as_admin(oath.OATH_AID, OathIns.PUT, data=new.encode()), Sw.OK, after)

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        after = copy.deepcopy(self.model)
        there = after.credentials.pop(name, None)
        do = self.as_admin(oath.OATH_AID, OathIns.DELETE, data=oath.Name(name).encode())
        self.attempt(do, Sw.OK if there else Sw.NO_SUCH_OBJECT, after)

    @rule(old=NAMES, new=NAMES)
    def rename(self, old: str, new: str) -> None:
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

    @rule()
    def reset(self) -> None:
        after = copy.deepcopy(self.model)
        after.credentials.clear()
        self.attempt(self.as_admin(oath.OATH_AID, OathIns.RESET, *oath.RESET_P1_P2), Sw.OK, after)

    @rule(name=NAMES)
    def check_value(self, name: str) -> None:
        do = self.as_admin(oath.OATH_AID, OathIns.CHECK_VALUE, data=oath.CheckValue(name, _NONCE).encode())
        there = self.model.credentials.get(name)
        response = self.attempt(do, Sw.OK if there else Sw.NO_SUCH_OBJECT, self.model)
        if response and there:
            assert response.data[2:] == there.check_value(_NONCE)

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
            after.attempts, after.pin = oath.PIN_ATTEMPTS, new_pin or after.pin
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

    @rule()
    def factory_reset(self) -> None:
        do = self.as_admin(reference.MANAGEMENT_AID, ManagementIns.FACTORY_RESET, *reference.FACTORY_RESET_P1_P2)
        if self.attempt(do, Sw.OK, Model()):
            self.verified = [False, False]
            self.typed = None

    # The user

    @rule(channel=CHANNELS)
    def select(self, channel: int) -> None:
        reply = oath.SelectReply.decode(self.hosts[channel].select().data)
        assert reply.attempts_remaining == (None if self.model.pin is None else self.model.attempts)
        self.verified[channel] = False

    @rule(channel=CHANNELS, pin=PINS)
    def set_pin(self, channel: int, pin: str) -> None:
        after, sw = copy.deepcopy(self.model), Sw.CONDITIONS_NOT_SATISFIED
        if after.pin is None:
            after.pin, after.attempts, sw = pin, oath.PIN_ATTEMPTS, Sw.OK
        data = oath.Pin(pin.encode()).encode()
        self.attempt(lambda: self.hosts[channel].send(OathIns.SET_PIN, data=data), sw, after)

    @rule(channel=CHANNELS, pin=PINS, new=st.none() | PINS)
    def verify_or_change_pin(self, channel: int, pin: str, new: str | None) -> None:
        sw, after = self.presented(pin)
        if sw == Sw.OK and new:
            after.pin = new
        if new is None:
            ins, data = OathIns.VERIFY_PIN, oath.Pin(pin.encode()).encode()
        else:
            ins, data = OathIns.CHANGE_PIN, oath.ChangePin(pin.encode(), new.encode()).encode()
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
            model.attempts = oath.PIN_ATTEMPTS
            return Sw.OK, model
        model.attempts -= 1
        return Sw.PIN_INCORRECT | model.attempts, model

    @rule(pin=PINS)
    def type_pin(self, pin: str) -> None:
        if self.model.pin is None:
            after, sets = copy.deepcopy(self.model), self.typed == pin
            typed = pin if self.typed is None else None
            if sets:
                after.pin, after.attempts = pin, oath.PIN_ATTEMPTS
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

    @precondition(lambda self: self.model.credentials)
    @rule(channel=CHANNELS, name=NAMES, step=st.none() | st.integers(0, 2**64 - 1))
    def calculate(self, channel: int, name: str, step: int | None) -> None:
        after = copy.deepcopy(self.model)
        sw, factor = self.expected_factor(channel, after.credentials.get(name), step)
        data = oath.Calculate(name, step).encode()
        response = self.attempt(lambda: self.hosts[channel].send(OathIns.CALCULATE, 0, 1, data), sw, after)
        if response and factor is not None:
            credential = after.credentials[name]
            reply = oath.CalculateReply.decode(response.data)
            assert (reply.digits, reply.value) == (credential.put.digits, credential.value(factor))
            assert (reply.device_time_us is not None) == credential.own_clock

    def expected_factor(
        self, channel: int, credential: ModelCredential | None, step: int | None
    ) -> tuple[int, int | None]:
        """The status word of CALCULATE and the moving factor; a HOTP counter goes up on the way."""
        if credential is None:
            return Sw.NO_SUCH_OBJECT, None
        put = credential.put
        host_gives = put.kind is OathKind.TOTP and not credential.own_clock
        if host_gives is (step is None):
            return Sw.CONDITIONS_NOT_SATISFIED, None
        if credential.needs_pin and not self.verified[channel]:
            return Sw.SECURITY_STATUS_NOT_SATISFIED, None
        if host_gives:
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
