"""What a support desk is given of a server: it may look and ask. It changes nothing, and never sees a seed.

Questions about codes are answered beside the seed, within the rate that the server allows, and each is on its record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby

from provision.clock import Clock
from provision.drift.search import Shown
from provision.model import OathType, OtpParameters
from provision.servers.backend import Attempt, Device, ServerBackend, ServerCapability
from provision.servers.backend import Fit as Fit  # of what this module speaks
from provision.station import seed_search

NEAR_S = 86_000  # as far as a server answers, with room for two more codes
Login = tuple[Fraction, int]  # when it was received, Unix seconds by the server; the code's step


@dataclass(frozen=True, slots=True)
class Asked:
    """The codes that somebody read out. `at_s`: when the last one was, Unix seconds. `changed_s`: when the first one
    was seen to appear, None if nobody looked."""

    codes: tuple[str, ...] = field(repr=False)
    at_s: float
    changed_s: float | None = None

    def first_s(self, parameters: OtpParameters) -> int:
        """When the first one appeared, if each was read out at once."""
        if self.changed_s is not None:
            return int(self.changed_s)
        return int(self.at_s) - (len(self.codes) - 1) * parameters.time_step_s


class Desk:
    """Everything that it may do. `clock`: the station's."""

    def __init__(self, server: ServerBackend, clock: Clock) -> None:
        self._server = server
        self._clock = clock

    def now(self) -> float:
        """Unix seconds by the server's clock: what codes are compared with."""
        return self._server.now()

    def server_ahead_s(self) -> tuple[Fraction, Fraction] | None:
        """By how much the server's clock is ahead of this station's, at the least and at the most; None if it is the
        same clock."""
        if ServerCapability.NOW not in self._server.capabilities:
            return None
        before_s = Fraction(self._clock.now())
        server_s = Fraction(self._server.now())
        return server_s - Fraction(self._clock.now()), server_s - before_s

    @property
    def window_steps(self) -> tuple[int, int]:
        """How many steps (back, forward) of the expected one the server accepts."""
        return self._server.window_steps

    @property
    def can_match(self) -> bool:
        """Whether somebody with the seeds answers."""
        return ServerCapability.MATCH in self._server.capabilities

    def devices(self) -> Sequence[Device]:
        """Of everybody, those whose codes come from a clock."""
        return [device for device in self._server.list() if device.parameters.oath_type is OathType.TOTP]

    def counters(self) -> Sequence[Device]:
        """Of everybody, those whose codes come from a counter."""
        return [device for device in self._server.list() if device.parameters.oath_type is OathType.HOTP]

    def knows(self, user: str) -> bool:
        """Whether this is a person of the server's, with devices or without."""
        if ServerCapability.MIGRATE not in self._server.capabilities:
            return False
        return any(person.user == user for person in self._server.people())

    def fallback_until_s(self, user: str) -> float | None:
        """Until when the server sends this person to the old way and looks at no code; None if it does not."""
        if ServerCapability.MIGRATE not in self._server.capabilities:
            return None
        return next((person.fallback_until_s for person in self._server.people() if person.user == user), None)

    def logins(self, device: Device) -> list[Login]:
        """Accepted codes, oldest first, since the token's clock was last set."""
        return next((logins for _, logins in self._logins(device.device_id)), [])

    def logins_of_all(self) -> Iterator[tuple[str, list[Login]]]:
        """The same of every device that somebody has logged in with, by its id."""
        return self._logins(None)

    def attempts(self, since_s: float) -> Sequence[Attempt]:
        """Everybody's logins since then, refused ones too, oldest first; none if the server does not tell."""
        if ServerCapability.ATTEMPTS not in self._server.capabilities:
            return ()
        return self._server.attempts(since_s)

    def near(self, device: Device, asked: Asked) -> list[Fit]:
        """Where the codes fit with the seed on record, within a day of now. A question. Raises Throttled."""
        parameters = device.parameters
        first_s = asked.first_s(parameters)
        steps = range(parameters.step_at(first_s - NEAR_S), parameters.step_at(first_s + NEAR_S) + 1)
        if len(asked.codes[0]) != parameters.digits:
            return []
        odds = Shown(asked.codes, first_s).odds(len(steps))
        more = len(asked.codes) - 1
        return [
            Fit("near-now", "it is only slow or fast", step + more, parameters.step_start(step) - first_s, odds)
            for step in self._server.matching_steps(device.device_id, asked.codes, steps)
        ]

    def elsewhere(self, device: Device, asked: Asked) -> tuple[Fit | None, list[Fit]]:
        """The likeliest clock that is further off, and every seed by which the codes fit today. A question. Raises
        Throttled."""
        first_s = asked.first_s(device.parameters)
        fits = self._server.beside_seed(device.device_id, asked.codes, first_s, seed_search.find)
        return fits.clock, list(fits.seeds)

    def _logins(self, device_id: str | None) -> Iterator[tuple[str, list[Login]]]:
        if ServerCapability.HISTORY not in self._server.capabilities:
            return
        for one, entries in groupby(self._server.history(device_id), lambda entry: entry.device_id):
            logins: list[Login] = []
            for entry in entries:
                if entry.step is None:
                    logins.clear()  # what the clock showed before it was set says nothing of what it shows now
                else:
                    logins.append((Fraction(entry.at_s), entry.step))
            if logins:
                yield one, logins
