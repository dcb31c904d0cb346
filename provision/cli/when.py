"""Times as people give and read them, in the zone of this machine, which is said."""

from __future__ import annotations

import re
from datetime import datetime, time

from provision.errors import InputError

_DURATION = re.compile(r"([0-9]{1,6}) ?(min|m|h|d)", re.ASCII)
_CLOCK_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}", re.ASCII)
_SECONDS = {"min": 60, "m": 60, "h": 3600, "d": 86_400}
_HINT = "for example 18:00, 2027-01-15, 2027-01-15T18:00, 2027-01-15T18:00+01:00, 90min, 8h or 3d"


def moment(text: str, now_s: float) -> float:
    """The Unix time that `text` means: a clock time of today, a date (its first moment), both (ISO 8601, with or
    without an offset), or how long from now. Raises InputError for what is none, is past, or is no single moment."""
    at_s = _read(text.strip(), now_s)
    if at_s <= now_s:
        is_of_today = _CLOCK_TIME.fullmatch(text.strip()) is not None
        raise InputError(
            f"{shown(at_s)} is past: it is {shown(now_s)} now",
            hint="name the date too, if another day is meant" if is_of_today else "name a time that is to come",
        )
    return at_s


def shown(unix_s: float) -> str:
    """A moment for people to read."""
    return _local(unix_s).strftime("%Y-%m-%d %H:%M %Z")


def span(seconds: float) -> str:
    """How long something lasts, roughly."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"


def _read(text: str, now_s: float) -> float:
    if (duration := _DURATION.fullmatch(text)) is not None:
        return now_s + int(duration[1]) * _SECONDS[duration[2]]
    try:
        if _CLOCK_TIME.fullmatch(text):
            clock = time.fromisoformat(text.zfill(5))
            return _unix(datetime.combine(_local(now_s).date(), clock), text)
        return _unix(datetime.fromisoformat(text), text)
    except (ValueError, OverflowError, OSError):  # the last two: beyond what this machine's calendar knows
        raise InputError(f"{text!r} is no time", hint=_HINT) from None


def _unix(when: datetime, text: str) -> float:
    if when.tzinfo is not None:
        return when.timestamp()
    # On the day when clocks change, an hour comes twice or not at all.
    moments = {when.replace(fold=fold).timestamp() for fold in (0, 1)}
    if len(moments) > 1:
        earlier, later = map(_local, sorted(moments))
        raise InputError(
            f"{text} is not one moment here: clocks change then",
            hint=f"give the offset, as in {earlier.isoformat(timespec='minutes')} "
            f"or {later.isoformat(timespec='minutes')}",
        )
    return moments.pop()


def _local(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s).astimezone()
