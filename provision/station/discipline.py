"""Whether the station's own clock may set another: what the kernel says of it (Linux adjtimex(2), read only)."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

from provision.clock import Clock, SystemClock
from provision.errors import ClockUndisciplined

MAX_ERROR_S = 1.0  # the kernel itself waits for 16 s before it calls a clock unsynchronised: half a TOTP step

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


@dataclass(frozen=True, slots=True)
class Discipline:
    """`max_error_s`: the kernel's own bound of the error, None where there is none. `why`: one clause for people."""

    disciplined: bool
    max_error_s: float | None
    why: str


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>."""

    _fields_ = [  # ctypes reads a plain list
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),  # more than any libc has
    ]


def discipline(clock: Clock) -> Discipline:
    """What is known of `clock`. One that is not the system's is true by definition."""
    if not isinstance(clock, SystemClock):
        return Discipline(True, 0.0, "a clock of its own")
    if sys.platform != "linux":
        return Discipline(False, None, f"nobody can be asked on {sys.platform}")
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    return judged(state, timex.status, timex.maxerror)


def judged(state: int, status: int, max_error_us: int) -> Discipline:
    """The verdict on what adjtimex returned (`state`) and filled in."""
    if state < 0:
        return Discipline(False, None, "the kernel does not tell")
    max_error_s = max_error_us / 1e6
    if state == _TIME_ERROR or status & _STA_UNSYNC:
        return Discipline(False, max_error_s, "the kernel says that nothing synchronises it")
    if max_error_s > MAX_ERROR_S:
        return Discipline(False, max_error_s, f"the kernel says that it may be {max_error_s:.1f} s off")
    return Discipline(True, max_error_s, f"synchronised, at most {max_error_s * 1000:.0f} ms off")


def require_discipline(clock: Clock, *, undisciplined_ok: bool, to: str = "set") -> Discipline:
    """Raises ClockUndisciplined for a clock that must not set (or measure: `to`) another one, unless
    `undisciplined_ok`."""
    verdict = discipline(clock)
    if not verdict.disciplined and not undisciplined_ok:
        raise ClockUndisciplined(
            f"this station's clock cannot be trusted to {to} a token's: {verdict.why}",
            hint="start chrony, ntpd or systemd-timesyncd, or pass --undisciplined-clock-ok",
        )
    return verdict
