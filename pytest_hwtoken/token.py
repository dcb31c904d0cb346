"""A token on the bench of one test: the host's end of its wire, and the hands that hold it.

The host's side is loaded by the first test that uses it: a fixture pays for the token alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from pytest_hwtoken.clocks import TokenClock, spelled

if TYPE_CHECKING:
    from provision.families.driver import Session
    from provision.links.link import Link

Pending = Callable[[int], None]
"""Called with the seconds left while the token waits for its button."""


class BenchError(Exception):
    """There is no such token to be had, or it came to a bad end. The message is the test's failure."""


class Bench(ABC):
    """What a token stands on."""

    @property
    @abstractmethod
    def address(self) -> str:
        """What `provision --token` takes, while it is plugged in."""

    @abstractmethod
    def open(self, clock: TokenClock, randbytes: Callable[[int], bytes], on_pending: Pending | None) -> Link:
        """Raises LinkError."""

    @abstractmethod
    def control(self, op: str, **fields: object) -> dict[str, Any]:
        """One operation of docs/CONTROL.md. Raises ControlError; where no hand reaches, ends the test."""

    def bare(self, link: Link) -> Link:
        """The link as a test may have it."""
        return link

    def session(self, session: Session) -> Session:
        """The session as a test may have it."""
        return session


class BenchToken:
    """`clock`: true time. One link at a time: opening another one closes the one of before, as on a real port."""

    def __init__(self, bench: Bench, family: str, serial: str, clock: TokenClock, random: Random) -> None:
        self.family = family
        self.serial = serial
        self.clock = clock
        self._bench = bench
        self._random = random
        self._link: Link | None = None

    def __repr__(self) -> str:
        return f"<{self.family} token {self.serial}>"

    # The host

    @property
    def address(self) -> str:
        """What `provision --token` takes."""
        return self._bench.address

    def open(self, *, on_pending: Pending | None = None) -> Link:
        """A link for APDUs. Raises LinkError."""
        return self._bench.bare(self._opened(on_pending))

    def session(self, *, on_pending: Pending | None = None) -> Session:
        """A conversation with the token, by the driver of its family, over a link of its own. Raises LinkError."""
        from provision.families.driver import load

        link = self._opened(on_pending)
        return self._bench.session(load(self.family).open(link, self.clock, self._random.randbytes))

    def close(self) -> None:
        """Close the link that is open, if any: `address` is then free for another program."""
        if self._link is not None:
            self._link.close()
            self._link = None

    # The hands: nothing that a real token's host could do

    def control(self, op: str, **fields: object) -> dict[str, Any]:
        """One operation of docs/CONTROL.md, and its reply. Raises ControlError."""
        return self._bench.control(op, **fields)

    def press(self) -> str:
        """The button; what the screen shows then."""
        return self._screen("press")

    def type_pin(self, pin: str) -> str:
        """Digits and enter on the keypad; what the screen shows then."""
        return self._screen("type-pin", pin=pin)

    def screen(self) -> str:
        return self._screen("screen")

    def age(self, duration: str | float) -> None:
        """Let its clock err as if `18 months` had gone by, while true time stands still."""
        self.control("age", duration=spelled(duration))

    def inspect(self) -> dict[str, Any]:
        """The truth about it, without its secrets."""
        return self.control("inspect")

    def unplug(self) -> None:
        """Pull its cable, which is its supply."""
        self.control("cable", action="unplug")

    def plug(self) -> None:
        self.control("cable", action="plug")

    def _opened(self, on_pending: Pending | None) -> Link:
        self.close()
        self._link = self._bench.open(self.clock, self._random.randbytes, on_pending)
        return self._link

    def _screen(self, op: str, **fields: object) -> str:
        shown: str = self.control(op, **fields)["screen"]
        return shown


def set_pin(token: BenchToken, pin: str) -> None:
    """Of a token that has none. Raises NotSupported, InputError."""
    from provision.model import Secret

    token.session().set_pin(Secret(pin.encode()))
    token.close()
