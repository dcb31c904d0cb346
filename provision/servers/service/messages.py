"""What comes in. What goes out are the nouns of the seam themselves (servers/backend.py), which hold no seed.

Nothing is guessed at: a number in quotes is no number, and a field that nobody knows is a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from provision.model import Algorithm, OathType
from provision.servers.backend import Device, HistoryEntry
from provision.servers.embedded.audit import Recorded

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


class UserGiven(_Given):
    user: str


class DriftGiven(_Given):
    """Signed steps, slow is negative."""

    drift_steps: int


class RegistrationGiven(_Given):
    """A device with its seed, which no answer ever holds. `secret`: Base32 (RFC 4648), upper case, without padding.
    The same uuid and seed give the same device back."""

    uuid: Annotated[UUID, _BY_VALUE]
    user: str
    name: str
    serial: str | None = None
    secret: SecretStr
    oath_type: Annotated[OathType, _BY_VALUE] = OathType.TOTP
    algorithm: Annotated[Algorithm, _BY_VALUE] = Algorithm.SHA1
    digits: int = 6
    time_step_s: int = 30
    t0_s: int = 0
    counter: int = 0


@dataclass(frozen=True, slots=True)
class Devices:
    devices: Sequence[Device]


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
