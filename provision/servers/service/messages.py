"""What comes in. What goes out are the nouns of the seam themselves (servers/backend.py), which hold no seed.

Nothing is guessed at: a number in quotes is no number, and a field that nobody knows is a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from provision.model import Algorithm, OathType, OtpParameters
from provision.servers.backend import Attempt, Device, HistoryEntry, Person
from provision.servers.embedded.audit import Recorded

_FINITE = Field(allow_inf_nan=False)
_BY_VALUE = Field(strict=False)  # JSON has no UUIDs and no enumerations: these come as text


class _Given(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class CodeGiven(_Given):
    """A login. `device_id`: only this device of the user."""

    user: str
    code: str = Field(repr=False)
    device_id: str | None = None


class CodesGiven(_Given):
    """Two consecutive codes of one device."""

    first: str = Field(repr=False)
    second: str = Field(repr=False)


class NameGiven(_Given):
    name: str


class StepsGiven(_Given):
    """Two or three consecutive codes, and among which steps they are looked for: `start` <= step < `stop`."""

    codes: list[str] = Field(repr=False)
    start: int
    stop: int


class SearchGiven(_Given):
    """Likewise, anywhere. `first_s`: when the first code appeared, Unix seconds."""

    codes: list[str] = Field(repr=False)
    first_s: Annotated[int, Field(ge=0, lt=2**32)]


class UserGiven(_Given):
    user: str


class DriftGiven(_Given):
    """Signed steps, slow is negative."""

    drift_steps: int


class FirstCodeGiven(_Given):
    """What a pending device shows."""

    code: str = Field(repr=False)


class PeopleGiven(_Given):
    """Login names."""

    users: list[str]


class FallbackGiven(_Given):
    """`until_s`: Unix seconds; null ends it."""

    user: str
    until_s: Annotated[float, _FINITE] | None


class CutoverGiven(_Given):
    """`cutover_s`: Unix seconds; null closes the old way now."""

    cutover_s: Annotated[float, _FINITE] | None


class EnrolmentGiven(_Given):
    """A device to be made for a person, who proves it afterwards."""

    user: str
    name: str
    oath_type: Annotated[OathType, _BY_VALUE] = OathType.TOTP
    algorithm: Annotated[Algorithm, _BY_VALUE] = Algorithm.SHA1
    digits: int = 6
    time_step_s: int = 30
    t0_s: int = 0
    counter: int = 0

    def parameters(self) -> OtpParameters:
        return OtpParameters(self.oath_type, self.algorithm, self.digits, self.time_step_s, self.t0_s, self.counter)


class RegistrationGiven(EnrolmentGiven):
    """A device with its seed, which no answer ever holds. `secret`: Base32 (RFC 4648), upper case, without padding.
    The same uuid and seed give the same device back."""

    uuid: Annotated[UUID, _BY_VALUE]
    serial: str | None = None
    secret: SecretStr


@dataclass(frozen=True, slots=True)
class Devices:
    devices: Sequence[Device]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """`otpauth`: the URI with the seed. It is told this once, and is kept nowhere."""

    device: Device
    otpauth: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class People:
    people: Sequence[Person]


@dataclass(frozen=True, slots=True)
class NewPeople:
    """Those who were not known before."""

    new: Sequence[str]


@dataclass(frozen=True, slots=True)
class Cutover:
    """`cutover_s`: when the old way closes or closed, Unix seconds; null: there is none."""

    cutover_s: float | None


@dataclass(frozen=True, slots=True)
class Expected:
    """`now_s`: the server's clock, Unix seconds. A TOTP code may be so many steps away from the expected one."""

    now_s: float
    back_steps: int
    forward_steps: int


@dataclass(frozen=True, slots=True)
class Steps:
    steps: Sequence[int]


@dataclass(frozen=True, slots=True)
class FitTold:
    """As servers.backend.Fit. `odds`: a fraction."""

    name: str
    what: str
    step: int
    offset_s: int
    odds: str


@dataclass(frozen=True, slots=True)
class FitsTold:
    """As servers.backend.Fits."""

    clock: FitTold | None
    seeds: Sequence[FitTold]


@dataclass(frozen=True, slots=True)
class AttemptPage:
    """`next_after`: as for the history."""

    entries: Sequence[Attempt]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """`next_after`: where the next page begins; null if this is the last."""

    entries: Sequence[HistoryEntry]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class AuditPage:
    """`next_after`: as for the history."""

    entries: Sequence[Recorded]
    next_after: int | None
