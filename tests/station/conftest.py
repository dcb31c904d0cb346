"""A station on a desk: a simulated token in this process, an embedded server, a ledger, one clock for all."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from firmware_sim.core.family import CDC_ACM
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.links.framed import FramedLink
from firmware_sim.seams import Battery
from provision.clock import ManualClock
from provision.families.driver import load
from provision.links.inprocess import open_channel, open_device
from provision.links.link import LinkOptions
from provision.model import Secret
from provision.seeds.sealing import KeyPair, ScryptCost, create_key_pair
from provision.servers.embedded.backend import EmbeddedServer
from provision.station.access import Access
from provision.station.job import Job
from provision.station.ledger import Ledger
from provision.station.person import NOBODY
from provision.station.program import Outcome, Phase, program
from provision.station.retire import retire
from provision.station.rotate import rotate
from provision.station.states import State

START_S = 1_767_225_600.25  # 2026-01-01, not on a second's edge
PASSPHRASE = Secret(b"correct horse")
PIN = Secret(b"123456")
MASTER = Secret(bytes(range(32)))
CHEAP = ScryptCost(log2_n=4, r=1, p=1)
PAIR: KeyPair = create_key_pair(PASSPHRASE, Random(1).randbytes, cost=CHEAP)


class SteadyOscillator:
    """A perfect clock, `offset_s` seconds beside the truth until it is set."""

    def __init__(self, offset_s: float) -> None:
        self.offset_us = round(offset_s * 1e6)

    def device_time_us(self, now: float) -> int | None:
        return round(now * 1e6) + self.offset_us

    def set_device_time(self, now: float, device_s: int) -> None:
        self.offset_us = device_s * 1_000_000 - round(now * 1e6)

    def battery_status(self, now: float) -> Battery:
        return Battery.GOOD


class World:
    """Everything that outlives a crash of the tool. `run` is one invocation of it, with everything opened anew."""

    def __init__(
        self, path: Path, *, seed: int = 7, pin: bool = True, clock=None, kind=None, serial: str = "HT000001"
    ) -> None:
        self.path = path
        self.random = Random(seed)
        self.clock = clock or ManualClock(START_S)
        self.oscillator = SteadyOscillator(-47.3)
        self.kind = kind or family("reference")
        self.serial = serial
        self.flash = MemoryFlash(self.kind.flash.page_size, self.kind.flash.page_count)
        self.token = Token(
            family=self.kind,
            serial=serial,
            flash=self.flash,
            oscillator=self.oscillator,
            clock=self.clock,
            random=self.random,
        )
        self.channel = self.token.open_channel()
        self.device = FramedLink(self.channel, lambda: self.token.boot_id, self.kind.limits.max_apdu, self.clock)
        self.token.power_on()
        self.server_path = path / "server.sqlite"
        self.server_address = f"embedded:{self.server_path}"
        EmbeddedServer.init(self.server_path, self.clock, self.random.randbytes).close()
        self.ledger_path = path / "ledger.sqlite"
        Ledger.create(self.ledger_path, PAIR, self.clock).close()
        self.pins_asked = 0
        self.passphrases_asked = 0
        if pin:
            with self.session() as session:
                session.set_pin(PIN)

    def job(self, **changes) -> Job:
        fields = {
            "user": "alice",
            "name": "desk token",
            "server": self.server_address,
            "credential": "hwtoken:alice",
        }
        return Job(**(fields | changes))

    def ask_pin(self) -> Secret:
        self.pins_asked += 1
        return PIN

    def ask_passphrase(self) -> Secret:
        self.passphrases_asked += 1
        return PASSPHRASE

    @contextmanager
    def session(self, wrap=lambda link: link):
        options = LinkOptions(self.clock, self.random.randbytes)
        is_serial = CDC_ACM in self.kind.functions
        link = open_device(self.device, options) if is_serial else open_channel(self.channel, options)
        try:
            yield load(self.kind.name).open(wrap(link), self.clock, self.random.randbytes)
        finally:
            link.close()

    @contextmanager
    def ledger(self):
        with Ledger.open(self.ledger_path, self.clock) as ledger:
            yield ledger

    @contextmanager
    def server(self):
        with EmbeddedServer(self.server_path, self.clock, self.random.randbytes) as server:
            yield server

    def run(
        self,
        job: Job | None = None,
        *,
        observer: Callable[[State, Phase, str], None] = lambda step, phase, note: None,
        wrap=lambda link: link,
        wrap_server=lambda server: server,
        admin_key: Secret | None = MASTER,
        pin: Callable[[], Secret] | None = None,
        token_key: Secret | None = None,
        person=NOBODY,
    ) -> Outcome:
        with self.session(wrap) as session, self.ledger() as ledger, self.server() as server:
            return program(
                job or self.job(),
                session=session,
                ledger=ledger,
                server=wrap_server(server),
                clock=self.clock,
                access=Access(admin_key, pin or self.ask_pin, self.ask_passphrase, token_key, person),
                randbytes=self.random.randbytes,
                observer=observer,
            )

    def retire(
        self,
        *,
        wrap=lambda link: link,
        wipe=False,
        admin_key=MASTER,
        observer=lambda step, note: None,
        person=NOBODY,
    ):
        with self.session(wrap) as session, self.ledger() as ledger, self.server() as server:
            return retire(
                session=session,
                ledger=ledger,
                server=server,
                server_address=self.server_address,
                admin_key=admin_key,
                wipe=wipe,
                observer=observer,
                person=person,
            )

    def rotate(
        self,
        *,
        observer=lambda step, phase, note: None,
        retire_observer=lambda step, note: None,
        wrap=lambda link: link,
        wrap_server=lambda server: server,
        admin_key: Secret | None = MASTER,
        person=NOBODY,
    ) -> Outcome:
        with self.session(wrap) as session, self.ledger() as ledger, self.server() as server:
            return rotate(
                session=session,
                ledger=ledger,
                server=wrap_server(server),
                clock=self.clock,
                access=Access(admin_key, self.ask_pin, self.ask_passphrase, None, person),
                randbytes=self.random.randbytes,
                observer=observer,
                retire_observer=retire_observer,
            )

    def entry(self):
        with self.ledger() as ledger:
            return ledger.last_of_token(self.serial)

    def devices(self):
        with self.server() as server:
            return list(server.list())

    def login(self, code: str):
        with self.server() as server:
            return server.check("alice", code)

    def code(self) -> str:
        """A code, as the token's owner reads it."""
        with self.session() as session:
            session.verify_pin(PIN)
            return session.calculate("hwtoken:alice").value


@pytest.fixture
def make_world():
    """Worlds of one test, each in a directory of its own.

    In memory where the system has such a place: nobody cuts the power of this machine here, and the thousands of
    durable commits would wait for the disk.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        numbers = itertools.count()

        def make(**options) -> World:
            path = Path(directory) / str(next(numbers))
            path.mkdir()
            return World(path, **options)

        yield make


@pytest.fixture
def world(make_world):
    return make_world()
