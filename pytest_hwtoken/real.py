"""A token of hardware under the same tests: the one whose serial was named, and only read unless it may be erased."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import Any, cast

import pytest

from provision.clock import SystemClock
from provision.families.driver import Session, identify
from provision.links.link import Link, LinkOptions, open_link
from provision.model import Capability, OtpParameters, TokenInfo
from pytest_hwtoken.clocks import TokenClock
from pytest_hwtoken.declared import Declared
from pytest_hwtoken.token import Bench, BenchError, BenchToken, Pending

# What leaves a token as it was, whatever its family, and spends none of its attempts. A code may be one of HOTP, whose
# counter it would move.
_READING = frozenset({"info", "credentials", "read_clock", "require_storable", "assume"})


@dataclass(frozen=True, slots=True)
class RealToken:
    """`--token`, `--token-serial` and `--token-erase`."""

    address: str
    serial: str
    erase: bool

    def __str__(self) -> str:
        return f"token {self.serial} at {self.address}, {'erased before each test' if self.erase else 'only read'}"

    def require_present(self) -> TokenInfo:
        """Raises BenchError, LinkError, RemoteProtocolError."""
        with open_link(self.address, LinkOptions(SystemClock(), os.urandom)) as link:
            _, info = identify(link)
        if info.serial != self.serial:
            raise BenchError(f"the token at {self.address} is {info.serial}, not {self.serial}: nothing was done to it")
        return info

    def borrow(self, wanted: Declared, clock: TokenClock) -> BenchToken:
        """The token for one test, erased if it may be. Skips the test if it cannot be what the test declares.

        Raises BenchError, LinkError, ProtocolError, TokenError.
        """
        info = self.require_present()
        for what, is_, should_be in (
            ("family", info.family, wanted.family),
            ("model", info.model, wanted.model),
            ("firmware", info.firmware, wanted.firmware),
            ("serial", info.serial, wanted.serial),
        ):
            if should_be not in (None, is_):
                pytest.skip(f"wants a token of {what} {should_be}; {self.serial} is of {is_}")
        if wanted.clock_is_wrong:
            pytest.skip("needs the simulator: the clock of a real token cannot be made wrong")
        token = BenchToken(RealBench(self), info.family, info.serial, clock, SystemRandom())
        if self.erase:
            with contextlib.closing(token):
                _erase(token, info, clock)
        return token


class RealBench(Bench):
    """With the token of hardware on it."""

    def __init__(self, real: RealToken) -> None:
        self._real = real

    @property
    def address(self) -> str:
        self._require_erase("hands its address on")
        return self._real.address

    def open(self, clock: TokenClock, randbytes: Callable[[int], bytes], on_pending: Pending | None) -> Link:
        return open_link(self._real.address, LinkOptions(clock, randbytes, on_pending=on_pending))

    def control(self, op: str, **fields: object) -> dict[str, Any]:
        pytest.skip(f"needs the simulator: `{op}` takes a hand at the token")

    def bare(self, link: Link) -> Link:
        self._require_erase("sends APDUs of its own")
        return link

    def session(self, session: Session) -> Session:
        return session if self._real.erase else cast("Session", ReadingSession(session, self._require_erase))

    def _require_erase(self, what: str) -> None:
        if not self._real.erase:
            pytest.skip(f"needs --token-erase: it {what}, and {self._real.serial} is only read")


class ReadingSession:
    """A Session of which only what changes nothing on the token is left; the rest ends the test."""

    def __init__(self, session: Session, refuse: Callable[[str], None]) -> None:
        self._session = session
        self._refuse = refuse

    def __getattr__(self, name: str) -> Any:
        if name not in _READING:
            self._refuse(f"uses {name}")
        return getattr(self._session, name)


def _erase(token: BenchToken, info: TokenInfo, clock: TokenClock) -> None:
    """As out of its box, with its clock set. Raises AdminKeyIncorrect if its keys are no longer the factory's."""
    can = info.capabilities
    if Capability.BUTTON_CONFIRMS in can:
        pytest.skip(f"needs the simulator: {info.serial} is erased only by a hand on its button")
    session = token.session()
    if Capability.KEYLESS_RESET not in can:
        session.authenticate(None)
    if Capability.FACTORY_RESET in can:
        session.factory_reset()
    else:
        session.reset()
    if Capability.CLOCK_SET in can:
        session = token.session()
        session.authenticate(None)
        session.assume(OtpParameters())
        session.write_clock(int(clock.now()))
