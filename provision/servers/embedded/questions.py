"""Where codes would fit: asked by a support desk, which knows codes and no seed. How often, how far, and the answer.

What a desk could do with answers is guess: ask of every pair of codes whether the token will show it tomorrow. So only
consecutive codes are looked at, a wide question is no better than a narrow one, and no device is asked about more often
than people telephone. A pair of six digits fits one step in 10^12: at this rate, a day's steps of one device hold the
answer to one guess in some thousand years.
"""

from __future__ import annotations

import hmac
import sqlite3
from collections.abc import Sequence

from provision.errors import InputError, Throttled
from provision.model import OtpParameters
from provision.otp import code_source
from provision.servers.backend import Attempt, Fits, SeedSearch, SeedSide
from provision.servers.embedded import audit, devices
from provision.servers.embedded.audit import Action, AuditEntry, Outcome
from provision.servers.embedded.core import ServerFile, called
from provision.servers.embedded.devices import StoredDevice
from provision.servers.embedded.window import CodeAt

PER_DEVICE = 10  # questions in an hour
PER_SERVER = 300
HOUR_S = 3600
REACH_S = 86_400  # from the server's clock, either way
NEIGHBOURS = 50  # how many other devices of the box a seed may have been exchanged with


class Answering(ServerFile):
    """The part of EmbeddedServer (backend.py) that a support desk asks."""

    def attempts(self, since_s: float) -> Sequence[Attempt]:
        """Logins of people who are known, accepted or refused, oldest first."""
        return [attempt for _, attempt in self.numbered_attempts(since_s)]

    def numbered_attempts(self, since_s: float, *, after: int = 0, limit: int = -1) -> Sequence[tuple[int, Attempt]]:
        """The same with their numbers in the audit log, in pages. The rest as in audit.entries."""
        with self._storage.snapshot() as db:
            return audit.attempts(db, since_s, after=after, limit=limit)

    def matching_steps(self, device_id: str, codes: Sequence[str], steps: range) -> Sequence[int]:
        """Raises InputError, Throttled, Rejected (unknown-device)."""
        with self._storage.snapshot() as db:
            parameters = self._found(db, device_id).parameters
        require_answerable(codes, steps, parameters, self._clock.now())
        side = self.seed_side(device_id)
        usable = range(max(0, steps.start), max(0, steps.stop))
        return matching(codes, usable, code_source(side.secret, side.parameters, allow_short_seed=True))

    def beside_seed(self, device_id: str, codes: Sequence[str], first_s: int, search: SeedSearch) -> Fits:
        """Raises InputError, Throttled, Rejected (unknown-device)."""
        require_codes(codes)
        return search(self.seed_side(device_id), codes, first_s)

    def seed_side(self, device_id: str) -> SeedSide:
        """What a question needs that is answered beside the seed, which is charged for it here. For code that stays
        where the seed is. Raises Throttled, Rejected (unknown-device)."""
        with self._storage.transaction() as db:
            device = self._found(db, device_id)
            refused = charge(db, device, self._clock.now())
            neighbours = devices.registered_with(db, device, NEIGHBOURS)
        if refused is not None:
            raise refused
        # Outside the transaction, as the search is: nobody's login waits for it.
        others = {other.serial or called(other): self._secret(other) for other in neighbours}
        return SeedSide(self._secret(device), device.parameters, device.registered_s, others)


def require_answerable(codes: Sequence[str], steps: range, parameters: OtpParameters, now_s: float) -> None:
    """Raises InputError for what is no question of a support desk."""
    require_codes(codes)
    first, last = parameters.step_at(now_s - REACH_S), parameters.step_at(now_s + REACH_S)
    if steps and not (steps.step == 1 and first <= steps[0] and steps[-1] <= last):
        raise InputError("codes are looked for within a day of now", hint="ask for less")


def require_codes(codes: Sequence[str]) -> None:
    """Raises InputError for codes that nobody can have read from a token one after the other."""
    if not 2 <= len(codes) <= 3:
        raise InputError("two or three codes are looked for", hint="one alone would fit some step by chance")
    if not all(code.isascii() and code.isdigit() and 6 <= len(code) <= 8 for code in codes):
        raise InputError("that is not a code", hint="a code has 6 to 8 digits")
    if len({len(code) for code in codes}) != 1:
        raise InputError("these codes are not of one token", hint="all of a token's codes have as many digits")


def charge(db: sqlite3.Connection, device: StoredDevice, now_s: float) -> Throttled | None:
    """Count a question before it is answered; why it is not answered, if it comes too soon. Either way it is on
    record, and a refused one does not make the next one later."""
    asked = [entry for entry in audit.since(db, now_s - HOUR_S) if _counts(entry) and entry.at_s > now_s - HOUR_S]
    waits = [
        HOUR_S - (now_s - earlier[limit - 1].at_s)
        for earlier, limit in (
            ([entry for entry in asked if entry.device_id == device.device_id], PER_DEVICE),
            (asked, PER_SERVER),
        )
        if len(earlier) >= limit
    ]
    outcome = Outcome.THROTTLED if waits else Outcome.DONE
    audit.append(db, AuditEntry(now_s, Action.MATCH, device.account.user, device.device_id, outcome, None))
    if not waits:
        return None
    return Throttled(
        "codes were looked up too often within the last hour",
        retry_after_s=max(waits),
        hint=f"the codes were not looked at; ask again in {max(waits) / 60:.0f} minutes",
    )


def matching(codes: Sequence[str], steps: range, code_at: CodeAt) -> list[int]:
    """The steps from which on these codes are shown. All are compared, whatever the first ones are."""
    wanted = [code.encode("ascii") for code in codes]
    shown = [code_at(step).encode("ascii") for step in range(steps.start, steps.stop + len(codes) - 1)]
    fits = [[hmac.compare_digest(code, one) for code in shown] for one in wanted]
    return [step for i, step in enumerate(steps) if all(fit[i + n] for n, fit in enumerate(fits))]


def _counts(entry: AuditEntry) -> bool:
    return entry.action is Action.MATCH and entry.outcome is Outcome.DONE
