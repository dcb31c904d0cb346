"""What authentication servers accept and remember: window, memory, and the value that they store of a clock.

A server judges a code by the steps between the token's and its own, the remembered shift included. How it writes that
shift down differs: in steps or seconds, after every login or only on request, and what it stores may lean to one side.
Windows are those of an installation that nobody has changed; whoever has changed one says so with --back-steps and
--forward-steps.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from provision.drift.prediction import Window
from provision.errors import UsageError

Reach = Callable[[int], tuple[int, int]]  # time step in seconds -> (back_steps, forward_steps)
Shift = Callable[[Fraction, Fraction, int], Fraction]  # (received_s, the code's first second, time step) -> shift_s


@enum.unique
class Memory(enum.Enum):
    """When the middle of the window moves."""

    NONE = "none"  # never: the token has to stay near the true time
    FOLLOWS = "follows"  # at every accepted login: the token has to stay near its last login
    LEARNS = "learns"  # after some refused logins that agree with each other
    RESYNC = "resync"  # when somebody resynchronises the token, or writes the value


@enum.unique
class Unit(enum.Enum):
    STEPS = "steps"
    SECONDS = "seconds"


def _steps(back: int, forward: int) -> Reach:
    return lambda time_step_s: (back, forward)


def _within_s(seconds: int) -> Reach:
    """As many whole steps as fit, on both sides."""
    return lambda time_step_s: (seconds // time_step_s, seconds // time_step_s)


def _below_s(seconds: int) -> Reach:
    """Steps whose distance is less than so many seconds, on both sides."""
    return lambda time_step_s: ((seconds - 1) // time_step_s, (seconds - 1) // time_step_s)


def _half_open_s(seconds: int) -> Reach:
    """A half-open range around now: one step more behind than ahead. Under one step it holds nothing."""

    def reach(time_step_s: int) -> tuple[int, int]:
        steps = seconds // time_step_s
        if steps == 0:
            raise UsageError(f"a window of {seconds} s accepts no code of {time_step_s} s at all")
        return steps, steps - 1

    return reach


def _whole_steps(received_s: Fraction, code_s: Fraction, time_step_s: int) -> Fraction:
    """The step of the code minus the one of the server."""
    return Fraction(floor(code_s / time_step_s) - floor(received_s / time_step_s)) * time_step_s


def _since_code_began(received_s: Fraction, code_s: Fraction, time_step_s: int) -> Fraction:
    """The code's first second minus now: up to one step too low, so that a perfect clock seems slow."""
    return code_s - floor(received_s)


@dataclass(frozen=True, slots=True)
class Profile:
    """`reach`: None where nobody publishes it. `shift`: what it remembers after a login, None unless it follows.
    `unit`: of what it stores, positive for a token that is fast; None if it stores nothing. `where`: that value's
    name. `remedy`: what mends a drifted token for good. `caveat`: what one would not guess. `source`: who says so.
    """

    name: str
    title: str
    reach: Reach | None
    memory: Memory
    unit: Unit | None
    where: str
    remedy: str
    source: str
    caveat: str = ""
    shift: Shift | None = None

    def window(
        self,
        time_step_s: int,
        *,
        shift_s: Fraction = Fraction(0),
        delay_s: Fraction = Fraction(0),
        steps: tuple[int, int] | None = None,
    ) -> Window:
        """What it accepts; `steps` (back, forward) where the installation's differ. Raises UsageError if unknown."""
        if steps is None:
            if self.reach is None:
                raise UsageError(
                    f"{self.title} does not publish what it accepts", hint="give --back-steps and --forward-steps"
                )
            steps = self.reach(time_step_s)
        return Window(*steps, time_step_s, shift_s, delay_s)

    def __reduce__(self) -> tuple[Callable[[str], Profile], tuple[str]]:
        """Between processes by name: a function of a function does not travel."""
        return _by_name, (self.name,)

    def value(self, offset_s: Fraction, time_step_s: int) -> int | None:
        """What to write for a clock that is so far off, in its unit; None if it stores nothing."""
        if self.unit is None:
            return None
        return round(offset_s) if self.unit is Unit.SECONDS else round(offset_s / time_step_s)


_SET_CLOCK = "set the token's clock, where it can be set (provision token set-time), or replace the token"

_ALL = (
    Profile(
        "embedded",
        "the embedded server",
        _steps(1, 1),
        Memory.FOLLOWS,
        Unit.STEPS,
        "drift_steps",
        "provision server resync DEVICE",
        "provision/servers/embedded/policy.py",
        "its window was chosen when it was made",
        _whole_steps,
    ),
    Profile(
        "keycloak",
        "Keycloak",
        _steps(1, 1),
        Memory.NONE,
        None,
        "",
        f"{_SET_CLOCK}; or raise the realm's Look Around Window",
        "Keycloak's source: look-around window, default 1, since PR #8383",
    ),
    Profile(
        "privacyidea",
        "privacyIDEA",
        _half_open_s(180),
        Memory.FOLLOWS,
        Unit.SECONDS,
        "timeShift, at token/init",
        "POST /token/resync with two consecutive codes",
        "observed with 3.14: timeWindow 180 s accepts -6 to +5 steps of 30 s",
        "what it stores itself is up to one step too low",
        _since_code_began,
    ),
    Profile(
        "linotp",
        "LinOTP",
        _half_open_s(180),
        Memory.FOLLOWS,
        Unit.SECONDS,
        "timeShift in the token's info",
        "POST /admin/resync with two consecutive codes",
        "LinOTP's source, lib/HMAC.py and tokens/totptoken: range(counter - window, counter + window)",
        "it moves by whole steps, written in seconds",
        _whole_steps,
    ),
    Profile(
        "entra",
        "Microsoft Entra ID",
        _within_s(120),
        Memory.FOLLOWS,
        None,
        "",
        "delete the token and activate it anew, or set its clock",
        "Token2's report of 2025-03: about 2 minutes, adjusted for every token",
        "approximate: Microsoft publishes neither the window nor what it remembers",
        _whole_steps,
    ),
    Profile(
        "freeipa",
        "FreeIPA",
        _below_s(300),
        Memory.RESYNC,
        Unit.SECONDS,
        "ipatokenTOTPclockOffset",
        "ipa otptoken-sync with two consecutive codes",
        "FreeIPA's source, ipa-slapi-plugins/libotp: steps with i * step < 300",
        "otptoken-sync itself stores one or two steps more",
    ),
    Profile(
        "pam-oath",
        "pam_oath",
        _steps(2, 2),
        Memory.NONE,
        None,
        "",
        f"{_SET_CLOCK}; or raise window= in the PAM file",
        "observed with 2.6.7, without window=",
        "the number in users.oath is no drift: nothing is learnt from it",
    ),
    Profile(
        "google-authenticator",
        "the Google Authenticator PAM module",
        _steps(1, 1),
        Memory.LEARNS,
        Unit.STEPS,
        "TIME_SKEW",
        "three logins in a row, of which it refuses the first two; or write TIME_SKEW into the user's file",
        "its source and a run with 20191231: WINDOW_SIZE 3, searches 1499 steps",
        "noskewadj turns learning off",
    ),
    Profile(
        "slapd-otp",
        "OpenLDAP's otp overlay",
        _steps(0, 0),
        Memory.RESYNC,
        Unit.STEPS,
        "oathTOTPTimeStepDrift",
        "write the value, and set oathTOTPTimeStepWindow to 1 or more",
        "observed with 2.5.13: without oathTOTPTimeStepWindow only the present step",
        "the drift is only applied where the token's entry is its own oathTOTPParams; there it follows each login",
    ),
    Profile(
        "duo",
        "Duo",
        None,
        Memory.NONE,
        None,
        "",
        f"{_SET_CLOCK}: Duo cannot resynchronise TOTP",
        "the vendors' pages",
    ),
)
PROFILES = {profile.name: profile for profile in _ALL}


def _by_name(name: str) -> Profile:
    return PROFILES[name]
