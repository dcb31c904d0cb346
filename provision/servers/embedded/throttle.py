"""When the next attempt may come (RFC 4226 section 7.3; NIST SP 800-63B section 5.2.2). Pure: time is an argument.

The counter belongs to the *account*, that is to the person, as NIST has it: a wrong code cannot be blamed on one of
several devices, and a counter for each device would give an attacker a hundred guesses for each. Every refused code
counts, at login and at resynchronisation, whichever device was named; every accepted one clears the counter. A device
without a person has an account to itself.

The delay is a courtesy to the person and a hindrance to a guesser; what bounds a guesser is the limit, which needs no
clock.
"""

from __future__ import annotations

from dataclasses import dataclass

DELAY_S = 5  # RFC 4226's own example: T = 5, so 5 s after the first failure, 10 s after the second...
MAX_FAILURES = 100  # NIST: "no more than 100" consecutive failures on a single account


@dataclass(frozen=True, slots=True)
class Failures:
    """Consecutive refused codes, and the Unix time of the last (0 if there was none)."""

    count: int = 0
    last_s: float = 0.0

    @property
    def locked(self) -> bool:
        """No attempt is evaluated any more until an administrator acts."""
        return self.count >= MAX_FAILURES

    @property
    def open_from_s(self) -> float:
        """From when on the next attempt is evaluated, by a clock that was not stepped back; 0: at once."""
        return self.last_s + DELAY_S * self.count if self.count else 0.0

    def one_more(self, now_s: float) -> Failures:
        return Failures(self.count + 1, now_s)

    def seen_at(self, now_s: float) -> Failures:
        """The same failures for a clock that may have been stepped back since the last of them.

        The delay then starts again at `now_s`. Left alone, it would last until the clock is where it was: a clock
        that had once been a year ahead would shut everybody out for a year.
        """
        return Failures(self.count, min(self.last_s, now_s))

    def retry_after_s(self, now_s: float) -> float:
        """Seconds from `now_s` until an attempt is evaluated again; 0 if it is now. Says nothing of `locked`."""
        return max(0.0, self.open_from_s - now_s)
