"""The seam to an authentication server, and the addresses that name one."""

from __future__ import annotations

import enum
import importlib
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Protocol, Self
from uuid import UUID

from provision.clock import Clock
from provision.errors import UsageError
from provision.model import OtpParameters, Secret

USUAL = OtpParameters()


@enum.unique
class ServerCapability(enum.Enum):
    """What a server can do beyond registering, listing and deleting; each obliges the method of the same name."""

    CHECK = "check"  # proves a code without the user's own password
    RESYNC = "resync"
    SET_DRIFT = "set-drift"
    RENAME = "rename"
    ASSIGN = "assign"
    DISABLE = "disable"
    HISTORY = "history"  # tells of past logins what shows a clock
    ATTEMPTS = "attempts"  # tells of refused logins, too
    MATCH = "matching-steps"  # says where codes would fit, to who never sees a seed
    NOW = "now"  # has a clock that is not the station's own, and tells it
    ENROL = "enrol"  # gives a seed out to its person, and waits for the first code
    MIGRATE = "migrate"  # knows people who still use an older way in, and until when


@dataclass(frozen=True, slots=True)
class Registration:
    """What is handed to a server. `uuid`: the ledger's; the same uuid and seed give the same device back.

    `user`: the login name. `name`: the friendly name, unique among that person's devices. `serial`: the token's, or
    None for an app.
    """

    uuid: UUID
    user: str
    name: str
    serial: str | None
    secret: Secret
    parameters: OtpParameters


@dataclass(frozen=True, slots=True)
class Device:
    """A registered device as a server lists it; never its seed.

    `user`: None while unassigned. `drift_steps`: what the server remembers, signed steps, slow is negative.
    `last_step`: the last accepted step or counter, None before the first login. `consecutive_failures`: since then.
    `locked`: after too many of them, until `enable`. `open_from_s`: when the next attempt will be looked at, 0 if there
    was no failure. `registered_s`: Unix seconds. `pending_until_s`: until when an enrolled device waits for
    its first code, Unix seconds; None once it is proved. `last_used_s`: when a code of it was last accepted, Unix
    seconds; None: never, which says more than `last_step`: that may be spent by another way.
    """

    device_id: str
    user: str | None
    name: str
    serial: str | None
    parameters: OtpParameters
    disabled: bool
    drift_steps: int
    last_step: int | None
    consecutive_failures: int
    locked: bool
    open_from_s: float
    registered_s: float
    pending_until_s: float | None = None
    last_used_s: float | None = None

    @property
    def pending(self) -> bool:
        """Whether its person has not proved it yet: it lets nobody in."""
        return self.pending_until_s is not None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An accepted code: which device, which step or counter, and the drift it showed (signed steps)."""

    device_id: str
    step: int
    drift_steps: int


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """`at_s`: Unix seconds by the server. `step`: of the code that it accepted then; None where somebody wrote the
    remembered drift, which is done when the token's own clock is set."""

    device_id: str
    at_s: float
    step: int | None


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A device that waits for its first code. `otpauth`: the URI with its seed, in ASCII, which is told this once."""

    device: Device
    otpauth: Secret


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a server knows, with devices or without. `fallback_until_s`: until when they are sent to the old way though
    they have a device, Unix seconds; None if they are not."""

    user: str
    fallback_until_s: float | None


@enum.unique
class AttemptOutcome(enum.Enum):
    ACCEPTED = "accepted"
    MISMATCH = "mismatch"
    REPLAYED = "replayed"
    THROTTLED = "throttled"  # not looked at: too soon
    LOCKED = "locked"  # not looked at: too many failures
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Attempt:
    """A login that somebody tried. `device_id`: None for a refused one that named none. `at_s`: Unix seconds."""

    at_s: float
    user: str | None
    device_id: str | None
    outcome: AttemptOutcome


@dataclass(frozen=True, slots=True)
class SeedSide:
    """What lies beside a device's seed, where it is kept. `others`: seeds of devices that came with it, by what they
    are called. `registered_s`: Unix seconds."""

    secret: Secret
    parameters: OtpParameters
    registered_s: float
    others: Mapping[str, Secret]


@dataclass(frozen=True, slots=True)
class Fit:
    """Where codes fit: with a clock that is far off, or with another seed.

    name, what   in the words of drift.places or drift.seed_mistakes
    step         of the last code, by the token's own clock and parameters
    offset_s     of the clock then, device minus true, rounded down to its step
    odds         how many of all that was tried would fit by chance, on average
    """

    name: str
    what: str
    step: int
    offset_s: int
    odds: Fraction


@dataclass(frozen=True, slots=True)
class Fits:
    """`clock`: the likeliest one that is further off than a day, if the seed is right. `seeds`: by which codes fit
    today."""

    clock: Fit | None
    seeds: Sequence[Fit]


# (what lies beside a seed, consecutive codes, when the first of them appeared: Unix seconds) -> where they fit
SeedSearch = Callable[[SeedSide, Sequence[str], int], Fits]


def folded(name: str) -> str:
    """What the friendly names of a person's devices differ in: "Desk Token" and "desk token" are one."""
    return unicodedata.normalize("NFC", name.casefold())


class ServerBackend(Protocol):
    """One server. A context manager; methods raise ServerError and VerificationError, and InputError for a name,
    parameters or a seed that no server could take; nothing else on purpose.

    register    idempotent by uuid and seed; AlreadyRegistered for the same uuid with another seed, the same serial or
                seed under another uuid, or a name that the person already uses.
    check       accepts a code of any (or the named) enabled device of a user, each step once; raises CodeMismatch,
                CodeReplayed, Throttled, or Rejected for an unknown, disabled or pending one; and Fallback, unless a
                device is named, for a person who is sent to the old way: one without a device, or with a fallback,
                while the old way is open.
    resync      learns the drift from two consecutive codes; the clock is not set.
    set_drift   writes the remembered drift (0 after the token's own clock was set).
    enable      undoes `disable`, and lets a device in again that too many wrong codes had locked.
    delete      Rejected (locks-out) for one's own last device once the old way is closed, unless that is meant.
    history     of all devices, or one: device by device, each oldest first. As long as it is being read, the server
                is asked nothing else.
    attempts    of everybody since then, oldest first.
    matching_steps  the first steps from which a device would show these two or three codes, one after the other. All
                of `steps` lie within a day of the server's clock: InputError for others, and for a single code, since
                that could be used to guess what the token will show. Written to the audit log and charged before it
                is looked at: Throttled for who asks too often.
    beside_seed  what `search` finds for these codes, the first of which appeared at the true time `first_s` (Unix
                seconds). Charged as `matching_steps` is. It runs where the seed is, so a server on another machine
                uses its own: nothing that comes from a client.
    enrol       a fresh seed for a person, who is new or known. The device is pending: it lets nobody in before it is
                proved, and is forgotten if that takes too long.
    prove       accepts a pending device's first code, which is spent; raises as `check` does, and Rejected (proved).
    people      everybody who is known, by user; known is who was added or ever had a device, until removed.
    add_people  those who were new, in the order given. All or none.
    remove_person  with the API tokens of theirs; Rejected (has-devices, unknown-user).
    set_fallback   sends a person to the old way until then, or no more (None); what holds now. InputError for a time
                that is past or too far away, Rejected (unknown-user, no-old-way).
    cutover_s   when the old way closes or closed, Unix seconds; None: there is none.
    set_cutover    InputError for a time that is past; None closes the old way now.
    """

    @property
    def capabilities(self) -> frozenset[ServerCapability]: ...

    @property
    def window_steps(self) -> tuple[int, int]:
        """How many steps (back, forward) of the expected one a TOTP login is accepted."""

    def now(self) -> float:
        """Unix seconds by the server's clock."""

    def register(self, registration: Registration) -> Device: ...

    def check(self, user: str, code: str, *, device_id: str | None = None) -> Acceptance: ...

    def resync(self, device_id: str, first: str, second: str) -> Acceptance: ...

    def set_drift(self, device_id: str, drift_steps: int) -> None: ...

    def list(self, user: str | None = None) -> Sequence[Device]: ...

    def rename(self, device_id: str, name: str) -> None: ...

    def assign(self, device_id: str, user: str) -> None: ...

    def unassign(self, device_id: str) -> None: ...

    def disable(self, device_id: str) -> None: ...

    def enable(self, device_id: str) -> None: ...

    def delete(self, device_id: str, *, even_if_locked_out: bool = False) -> None: ...

    def history(self, device_id: str | None = None) -> Iterator[HistoryEntry]: ...

    def attempts(self, since_s: float) -> Sequence[Attempt]: ...

    def matching_steps(self, device_id: str, codes: Sequence[str], steps: range) -> Sequence[int]: ...

    def beside_seed(self, device_id: str, codes: Sequence[str], first_s: int, search: SeedSearch) -> Fits: ...

    def enrol(self, user: str, name: str, *, parameters: OtpParameters = USUAL) -> Enrolment: ...

    def prove(self, device_id: str, code: str) -> Acceptance: ...

    def people(self) -> Sequence[Person]: ...

    def add_people(self, users: Sequence[str]) -> Sequence[str]: ...

    def remove_person(self, user: str) -> None: ...

    def set_fallback(self, user: str, until_s: float | None) -> Person: ...

    @property
    def cutover_s(self) -> float | None: ...

    def set_cutover(self, at_s: float | None) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


# What lets us in, asked for only by a server that wants it. Raises UsageError or InputError if there is none.
Credential = Callable[[], Secret]

# scheme -> "module:function"; each function takes (the rest of the address, clock, credential) and returns a
# ServerBackend. Strings, so that naming a server pays only for that server.
BACKENDS = {
    "embedded": "provision.servers.embedded.backend:open_address",
    "https": "provision.servers.remote:open_https",
    "http": "provision.servers.remote:open_http",
}


def open_server(address: str, clock: Clock, credential: Credential) -> ServerBackend:
    """The server that `embedded:FILE` (or another scheme) names. Raises UsageError, Unreachable, and what
    `credential` raises."""
    scheme, _, rest = address.partition(":")
    if scheme not in BACKENDS or not rest:
        raise UsageError(f"unknown server address {address!r}", hint="for example embedded:server.db or https://HOST")
    module, _, function = BACKENDS[scheme].partition(":")
    backend: ServerBackend = getattr(importlib.import_module(module), function)(rest, clock, credential)
    return backend
