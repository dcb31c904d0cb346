"""A whole world in one process for the crash campaigns: token, supply, links, ledger, server, and what must hold."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from firmware_sim.core import pin as device_pin
from firmware_sim.core.layout import Key
from firmware_sim.core.machine import PinState as DevicePinState
from firmware_sim.core.token import Token
from firmware_sim.families.reference import REFERENCE
from firmware_sim.flash import MemoryFlash, PowerCut, Supply
from firmware_sim.journal import Store
from firmware_sim.links.framed import FramedLink
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import PowerLost
from provision.clock import ManualClock
from provision.errors import LinkError, PinIncorrect
from provision.families.driver import Session, identify
from provision.links.inprocess import open_device
from provision.links.link import LinkOptions
from provision.model import PinState, Secret
from provision.otp import code_at
from provision.seeds.sealing import ScryptCost, create_key_pair
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.access import Access
from provision.station.job import Job
from provision.station.ledger import Ledger
from provision.station.program import Observer, Outcome, program
from provision.station.states import State

SERIAL = "CRASH-1"
PIN, WRONG_PIN = Secret(b"271828"), Secret(b"314159")
ADMIN_KEY = Secret(bytes(range(32)))
PASSPHRASE = Secret(b"correct horse")
JOB = Job(user="anna", name="desk token", server="embedded:in-process", credential="hwtoken:anna")
START_S = 1_767_250_800.0


class BrokenInvariant(AssertionError):
    """What no cut, crash or repeat may ever bring about."""


class _MortalDevice:
    """The device's end of the wire; once its power is gone nothing answers."""

    def __init__(self, link: FramedLink, before_command: Callable[[], None]) -> None:
        self._link = link
        self._before_command = before_command

    def receive(self, data: bytes) -> list[bytes]:
        self._before_command()
        try:
            return self._link.receive(data)
        except PowerLost:
            return []

    def poll(self) -> tuple[list[bytes], float | None]:
        try:
            return self._link.poll()
        except PowerLost:
            return [], None

    def disconnect(self) -> None:
        with suppress(PowerLost):
            self._link.disconnect()


def no_observer(state: State, phase: object, note: str) -> None:
    """Nobody watches."""


@dataclass
class World:
    """`prefill`: commits made before the story begins, so that its operations meet the end of a flash bank.

    Everything random comes from `seed`.
    """

    folder: Path
    seed: int
    prefill: int = 0
    clock: ManualClock = field(default_factory=lambda: ManualClock(START_S))
    supply: Supply = field(default_factory=Supply)
    wrong_answers: int = 0
    attempts_before_command: int = 8

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.random = random.Random(self.seed)
        self.flash = MemoryFlash(supply=self.supply)
        store = Store.open(self.flash)
        for i in range(self.prefill):
            store.commit({Key.LABEL: bytes((97 + i % 26,)) * 32})
        self.token = Token(
            family=REFERENCE,
            serial=SERIAL,
            flash=self.flash,
            oscillator=QuartzOscillator(OscillatorState.start(START_S, offset_s=-40, rate_error_ppm=-4)),
            clock=self.clock,
            random=self.random,
        )
        self._link = FramedLink(
            self.token.open_channel(), lambda: self.token.boot_id, REFERENCE.limits.max_apdu, self.clock
        )
        self.server = EmbeddedServer.init(self.folder / "server.db", self.clock, self.random.randbytes)
        pair = create_key_pair(PASSPHRASE, self.random.randbytes, cost=ScryptCost(log2_n=1, r=1, p=1))
        self.ledger = Ledger.create(self.folder / "ledger.db", pair, self.clock)
        self.token.power_on()

    def close(self) -> None:
        self.ledger.close()
        self.server.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        options = LinkOptions(self.clock, self.random.randbytes)
        with open_device(_MortalDevice(self._link, self._before_command), options) as link:
            driver, _ = identify(link)
            yield driver.open(link, self.clock, self.random.randbytes)

    def story(self, observer: Observer = no_observer) -> Outcome:
        """The dialogue whose every storage operation is cut: first PIN, a slip of the finger, programming.

        Told again after a cut it goes on where it stopped.
        """
        with self.session() as session:
            if session.info().pin_state is PinState.UNSET:
                session.set_pin(PIN)
            if not self.wrong_answers:
                try:
                    session.verify_pin(WRONG_PIN)
                except PinIncorrect:
                    self.wrong_answers += 1
            session.authenticate(ADMIN_KEY if not session.info().factory_keys else None)
            session.set_label("front desk")
        with self.session() as session:
            return program(
                JOB,
                session=session,
                ledger=self.ledger,
                server=self.server,
                clock=self.clock,
                access=Access(ADMIN_KEY, lambda: PIN, lambda: PASSPHRASE),
                randbytes=self.random.randbytes,
                observer=observer,
            )

    def attempts_in_flash(self) -> int:
        """What a power cut at this instant would leave; 8 while no PIN is set."""
        stored = Store.open(MemoryFlash(pages=self.flash.pages, wear=self.flash.wear)).get(Key.PIN_ATTEMPTS)
        return stored[0] if stored else 8

    def _before_command(self) -> None:
        self.attempts_before_command = self.attempts_in_flash()

    def restore_power(self) -> None:
        """The power comes back; the token must mount."""
        self.token.power_off()
        self.supply.restore()
        self.token.power_on()

    def require_sound_token(self) -> None:
        """After a power cut: old state or new state, and no attempt given back that was not earned."""
        view = self.token.inspect()
        attempts = view["attempts_remaining"]
        if view["pin"] == DevicePinState.BLOCKED.value:
            raise BrokenInvariant("the PIN is blocked, though one wrong one was typed")
        if attempts is not None and not 8 - 3 <= attempts <= 8:
            raise BrokenInvariant(f"{attempts} attempts are neither the old nor a new count")
        if [credential["name"] for credential in view["credentials"]] not in ([], [JOB.credential]):
            raise BrokenInvariant("the token holds a credential that nobody wrote")

    def require_convergence(self, outcome: Outcome) -> None:
        """DONE, one credential, one registration, and its codes are the server's."""
        if outcome.entry.state is not State.DONE:
            raise BrokenInvariant(f"the ledger says {outcome.entry.state}")
        devices = self.server.list()
        if len(devices) != 1 or devices[0].serial != SERIAL:
            raise BrokenInvariant(f"{len(devices)} devices are registered")
        view = self.token.inspect()
        if [credential["name"] for credential in view["credentials"]] != [JOB.credential]:
            raise BrokenInvariant("the token does not hold exactly the one credential")
        if view["attempts_remaining"] != 8:
            raise BrokenInvariant(f"{view['attempts_remaining']} attempts after a right PIN")
        self.clock.advance(60)
        with self.session() as session:
            session.verify_pin(PIN)
            code = session.calculate(JOB.credential)
        self.server.check(JOB.user, code.value)

    def survive(self, cut: PowerCut) -> bool:
        """Tell the story with one power cut in it, then again until it ends. Whether the cut came at all.

        Raises BrokenInvariant, and whatever error keeps the second telling from its end.
        """
        self.supply.arm(cut)
        try:
            outcome = self.story()
        except LinkError:
            self.restore_power()
            self.require_sound_token()
            outcome = self.story()
        else:
            if not self.supply.on:
                # Cut after the last write: the answer was on its way, or the device died with nothing left to say.
                self.restore_power()
                self.require_sound_token()
        self.require_convergence(outcome)
        return self.supply.operations > cut.operation


@contextmanager
def charged_before_compared(world: World) -> Iterator[list[int]]:
    """While it lasts, whenever the token compares a PIN, a power cut at that very instant must leave it charged.

    Yields the attempts that each comparison would have left. Raises BrokenInvariant from inside the comparison.
    """
    seen: list[int] = []
    true_hmac = device_pin.hmac

    def compare(one: bytes, other: bytes) -> bool:
        attempts = world.attempts_in_flash()
        seen.append(attempts)
        if attempts != world.attempts_before_command - 1:
            raise BrokenInvariant(
                f"a PIN is compared with {attempts} attempts in flash, {world.attempts_before_command} before"
            )
        return true_hmac.compare_digest(one, other)

    # The module's own name for hmac, not hmac itself: the host compares too.
    device_pin.hmac = SimpleNamespace(compare_digest=compare)
    try:
        yield seen
    finally:
        device_pin.hmac = true_hmac


def expected_code(secret: Secret, at_s: float) -> str:
    """The code of the job's credential at a true time."""
    return code_at(secret, JOB.parameters, JOB.parameters.step_at(at_s))
