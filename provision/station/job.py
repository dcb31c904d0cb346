"""What an administrator asks for: one credential on one token, for one user, at one server."""

from __future__ import annotations

import enum
import unicodedata
from dataclasses import dataclass, field, fields
from typing import Any

from provision.errors import InputError, SeedError
from provision.model import OathType, OtpParameters, Secret
from provision.otp import MIN_SECRET_BYTES

MAX_NAME_BYTES = 64  # of UTF-8: what an OATH token has room for, and enough for a login name


@enum.unique
class SeedOrigin(enum.Enum):
    GENERATED = "generated"  # by this tool
    IMPORTED = "imported"  # from a seed file
    SERVER = "server"  # given by the server, which therefore knows the device already


@enum.unique
class Escrow(enum.Enum):
    NONE = "none"  # the sealed seed is destroyed when the token is DONE
    DIAGNOSE = "diagnose"  # it is kept, sealed, for the support desk


@dataclass(frozen=True, slots=True)
class Job:
    """`name`: the friendly name at the server. `credential`: the name on the token. `server`: its address.

    `seed`: None where it is generated, or where a resumed job has it sealed. `pin`, `touch`: what a code demands.
    """

    user: str
    name: str
    server: str
    credential: str
    parameters: OtpParameters = field(default_factory=OtpParameters)
    origin: SeedOrigin = SeedOrigin.GENERATED
    seed: Secret | None = None
    allow_short_seed: bool = False
    pin: bool = True
    touch: bool = False
    escrow: Escrow = Escrow.NONE

    def __post_init__(self) -> None:
        """Raises InputError or SeedError for what no token or server would take."""
        check_name(self.user, "the user")
        check_name(self.name, "the device's name")
        check_name(self.credential, "the credential's name")
        check_parameters(self.parameters)
        if self.parameters.oath_type is not OathType.TOTP:
            raise InputError(
                "only TOTP credentials are programmed", hint="this seed is for HOTP: have the server make one for TOTP"
            )
        if self.seed is not None and len(self.seed) < MIN_SECRET_BYTES and not self.allow_short_seed:
            raise SeedError(
                f"the seed has only {len(self.seed) * 8} bits, under the {MIN_SECRET_BYTES * 8} of RFC 4226 and NIST",
                hint="use a longer seed, or --allow-short-seed for an old token",
            )

    def differs_from(self, other: Job) -> list[str]:
        """What is not the same in two jobs, one phrase a field; the seed is compared elsewhere."""
        return [
            f"{name}: {_shown(mine)}, on record {_shown(theirs)}"
            for name, mine, theirs in (
                *((f.name, getattr(self, f.name), getattr(other, f.name)) for f in fields(Job) if f.name in _COMPARED),
                *(
                    (f.name, getattr(self.parameters, f.name), getattr(other.parameters, f.name))
                    for f in fields(OtpParameters)
                ),
            )
            if mine != theirs
        ]


_COMPARED = frozenset({"user", "name", "server", "credential", "origin", "pin", "touch", "escrow"})


def check_name(text: str, what: str) -> None:
    """Raises InputError unless `text` is 1 to 64 bytes of UTF-8 in NFC, without control characters or outer spaces."""
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise InputError(f"{what} is not valid Unicode text") from None
    if not size:
        raise InputError(f"{what} is empty", hint="give it a name")
    if size > MAX_NAME_BYTES:
        raise InputError(f"{what} has {size} bytes of UTF-8, over {MAX_NAME_BYTES}", hint="use a shorter name")
    if any(unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp") for character in text):
        raise InputError(f"{what} holds an invisible or control character", hint="type it again")
    if text != text.strip():
        raise InputError(f"{what} starts or ends with a space", hint="type it again")
    if not unicodedata.is_normalized("NFC", text):
        raise InputError(f"{what} is not in Unicode's composed form (NFC)", hint="type it rather than paste it")


def check_parameters(parameters: OtpParameters) -> None:
    """Raises InputError for digits, steps or times outside what RFC 6238 tokens know."""
    if not 6 <= parameters.digits <= 8:
        raise InputError(f"{parameters.digits} digits", hint="codes have 6, 7 or 8 digits")
    if not 1 <= parameters.time_step_s <= 3600:
        raise InputError(f"a time step of {parameters.time_step_s} s", hint="steps last 1 to 3600 s")
    if not 0 <= parameters.t0_s < 1 << 40:
        raise InputError(f"t0 at {parameters.t0_s} s", hint="t0 is in Unix seconds, below 2^40")


def _shown(value: Any) -> str:
    return str(value.value) if isinstance(value, enum.Enum) else repr(value)
