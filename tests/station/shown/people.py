"""Tokens that show their codes to people only (a Molto2, and both kinds of Token2's tokens with one profile), and the
person at the token, played by the simulated button and screen."""

from __future__ import annotations

from firmware_sim.families.family import family
from provision.errors import OutcomeUnknown
from provision.model import Secret
from provision.station.program import Phase

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


def world_of(make_world, name):
    kind = family(MOLTO2) if name == MOLTO2 else family("token2", model=name)
    world = make_world(pin=False, kind=kind, serial=f"{kind.serial_prefix}0000001")
    world.owner = Owner(world)
    world.tokens_name = name
    return world


def job(world, **changes):
    return world.job(**({"pin": False, "credential": CREDENTIAL} | changes))


def run(world, *, person=None, **options):
    wanted = options.pop("job", None) or job(world)
    options.setdefault("admin_key", MASTER if world.tokens_name == MOLTO2 else None)
    return world.run(wanted, person=person or world.owner, **options)


def admin_key(world):
    return MASTER if world.tokens_name == MOLTO2 else None


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


class CutOff:
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
