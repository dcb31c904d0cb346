"""How far the server looks, in steps, and how long it waits.

Written into the file by `init`, so that all its processes agree.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from provision.errors import UsageError


@dataclass(frozen=True, slots=True)
class Policy:
    """`back_steps`/`forward_steps`: TOTP's acceptance window around now plus the remembered drift; one each by default
    (RFC 6238 section 5.2: at most one step for the network; the other because clocks err both ways).
    `look_ahead`: HOTP counters beyond the expected one (RFC 4226 section 7.4).
    `resync_steps`: how far resynchronisation searches to either side, a day of 30 s steps; only two consecutive codes
    may search that far, since a single code of six digits would match by chance once in 174 tries.
    `resync_look_ahead`: the same for HOTP, forward.
    `pending_s`: seconds that a device which somebody enrolled for themselves waits for its first code.
    """

    back_steps: int = 1
    forward_steps: int = 1
    look_ahead: int = 10
    resync_steps: int = 2880
    resync_look_ahead: int = 1000
    pending_s: int = 86_400

    def __post_init__(self) -> None:
        *windows, pending_s = astuple(self)
        if not all(0 <= value <= 100_000 for value in windows):
            raise UsageError("a window is between 0 and 100000 steps wide on each side")
        if not 60 <= pending_s <= 2_592_000:
            raise UsageError("a device waits for its first code between a minute and 30 days")
