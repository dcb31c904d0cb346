"""Who is signed in. In this process's memory only: a restart signs everybody out, and no file holds an id.

Durations are measured on the monotonic clock, so a calendar that is stepped back keeps nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field

from provision.clock import Clock
from provision.model import Secret
from provision.servers.embedded.api_tokens import ApiToken
from provision.servers.embedded.keys import Random

IDLE_S = 15 * 60.0
LIFE_S = 8 * 3600.0
MAX_SESSIONS = 1000  # whoever signs in then ends the one that was idle longest


@dataclass(frozen=True, slots=True)
class Notice:
    """What the next page says at its top. `field`: the form's field that it is about. `typed`: what stood there, if
    that was no code."""

    text: str
    is_problem: bool
    field: str | None = None
    typed: str = ""


@dataclass(slots=True)
class Session:
    """`holder`: whose API token signed in, as it was then; `api_token` is asked about anew at each request.

    `form_token`: what every form of this session holds. `shown_once`: (device id, otpauth URI) of a device that was
    just made, until its page has been shown.
    """

    holder: ApiToken
    api_token: Secret
    form_token: str = field(repr=False)
    begun_s: float
    seen_s: float
    notice: Notice | None = None
    shown_once: tuple[str, Secret] | None = None

    def is_own_form(self, form_token: str) -> bool:
        return hmac.compare_digest(self.form_token.encode(), form_token.encode("utf-8", "replace"))


class Sessions:
    """The table. An id is 32 random bytes, which the table knows only by their hash."""

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock, self._random = clock, random
        self._open: dict[bytes, Session] = {}  # the one that was idle longest first

    def begin(self, api_token: Secret, holder: ApiToken) -> str:
        """The new session's id, which is told this once."""
        now_s = self._clock.monotonic()
        self._sweep(now_s)
        if len(self._open) >= MAX_SESSIONS:
            del self._open[next(iter(self._open))]
        session_id = self._random(32).hex()
        self._open[_key(session_id)] = Session(holder, api_token, self._random(32).hex(), now_s, now_s)
        return session_id

    def find(self, session_id: str) -> Session | None:
        """The session with that id, which is thereby not idle; None if there is none, or none any more."""
        now_s = self._clock.monotonic()
        self._sweep(now_s)
        session = self._open.pop(_key(session_id), None)
        if session is None or _is_over(session, now_s):
            return None
        session.seen_s = now_s
        self._open[_key(session_id)] = session
        return session

    def _sweep(self, now_s: float) -> None:
        """Forget those that were left: nobody will ask for them."""
        while self._open and _is_over(next(iter(self._open.values())), now_s):
            del self._open[next(iter(self._open))]

    def end(self, session_id: str) -> None:
        self._open.pop(_key(session_id), None)


def _is_over(session: Session, now_s: float) -> bool:
    return now_s - session.seen_s >= IDLE_S or now_s - session.begun_s >= LIFE_S


def _key(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode("utf-8", "replace")).digest()
