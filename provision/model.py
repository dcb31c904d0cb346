"""The nouns that every floor shares: secrets, credentials, what a token says of itself."""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass, field


class Secret:
    """Bytes that never print. `reveal()` is the one way out, so that every use can be searched for."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = bytes(value)

    def reveal(self) -> bytes:
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"Secret({len(self._value)} bytes)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a hash of a secret has no use and would end up in a set's repr

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a Secret is not pickled")


@enum.unique
class OathType(enum.Enum):
    HOTP = "hotp"  # RFC 4226
    TOTP = "totp"  # RFC 6238


@enum.unique
class Algorithm(enum.Enum):
    SHA1 = "SHA1"
    SHA256 = "SHA256"
    SHA512 = "SHA512"


@dataclass(frozen=True, slots=True)
class OtpParameters:
    """Everything of a credential but its secret and its name. Defaults are what every server accepts.

    `time_step_s`: seconds, 1..3600. `t0_s`: Unix seconds. `digits`: 6..8. `counter`: HOTP's next moving factor.
    """

    oath_type: OathType = OathType.TOTP
    algorithm: Algorithm = Algorithm.SHA1
    digits: int = 6
    time_step_s: int = 30
    t0_s: int = 0
    counter: int = 0

    def step_at(self, unix_s: float) -> int:
        """The step T of RFC 6238 section 4.2 at a Unix time; negative before t0_s."""
        return int((unix_s - self.t0_s) // self.time_step_s)

    def step_start(self, step: int) -> int:
        """The Unix second at which `step` begins."""
        return self.t0_s + step * self.time_step_s


@dataclass(frozen=True, slots=True)
class CredentialInfo:
    """A credential as a token lists it: never its secret.

    `own_clock`: the token's clock gives the time; otherwise the host sends it.
    """

    name: str
    parameters: OtpParameters
    own_clock: bool
    pin: bool
    touch: bool


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A credential to be written."""

    name: str
    secret: Secret
    parameters: OtpParameters = field(default_factory=OtpParameters)
    own_clock: bool = True
    pin: bool = True
    touch: bool = False


@enum.unique
class ClockKind(enum.Enum):
    """What setting a token's clock means for its seed, hence the order of programming."""

    FREE = "free"  # may be set at any time, seed unharmed
    WITH_SEED = "with-seed"  # setting it erases the seed: clock and seed are written together
    NONE = "none"  # the host sends the time


@enum.unique
class Capability(enum.Enum):
    """What a driver can do; each member obliges the methods that families.driver.Session lists beside it."""

    CLOCK_READ = "clock-read"
    CLOCK_SET = "clock-set"
    PIN = "pin"
    ADMIN_KEY = "admin-key"
    CHECK_VALUE = "check-value"
    RENAME_TOKEN = "rename-token"  # noqa: S105  # a capability's name, not a password
    FACTORY_RESET = "factory-reset"
    OWN_KEY = "own-key"
    LIST = "list"
    CODE_READ = "code-read"
    BUTTON_CONFIRMS = "button-confirms"
    SCREEN_LOCK = "screen-lock"
    KEYLESS_RESET = "keyless-reset"
    READ_LOCK = "read-lock"


@enum.unique
class PinState(enum.Enum):
    UNSET = "unset"
    LOCKED = "locked"  # not presented on this channel
    VERIFIED = "verified"
    BLOCKED = "blocked"  # attempts exhausted


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What a token says of itself to anyone.

    `attempts_remaining`: PIN attempts, None when no PIN is set. `factory_keys`: still the published ones, None when it
    does not tell. `credentials_used`: None when it does not tell. `recognised`: a model and firmware that its driver
    knows; another one is not changed unless a person names its `model`.
    """

    family: str
    serial: str
    model: str
    firmware: str
    label: str
    capabilities: frozenset[Capability]
    clock_kind: ClockKind
    pin_state: PinState
    attempts_remaining: int | None
    factory_keys: bool | None
    credentials_used: int | None
    credentials_max: int
    recognised: bool = True

    @property
    def is_read_locked(self) -> bool:
        """Whether it tells only its administrator what it holds."""
        return Capability.READ_LOCK in self.capabilities and not self.factory_keys


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One reading of a token's clock over a link.

    The clock stood at `device_s` (Unix seconds by the token, microsecond resolution) at some true instant in
    [`sent_s`, `received_s`] (Unix seconds by the station), so offset_s lies in
    [device_s - received_s, device_s + resolution_s - sent_s]. `resolution_s`: 1 where the token tells whole seconds,
    so that its clock stood at up to a second more.
    """

    device_s: float
    sent_s: float
    received_s: float
    resolution_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Code:
    """A code as a token gave it. `value` is text: leading zeros stay. `device_s`: the clock it used, if its own."""

    value: str = field(repr=False)
    device_s: float | None = None
