"""Moments as people write and read them: Unix seconds or ISO 8601; shown in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction

from provision.drift.document import exact
from provision.errors import InputError

DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(text: str, what: str) -> Fraction:
    """Unix seconds of "1767225600.5" or "2026-01-01T00:00:00Z" (UTC if it does not say). Raises InputError."""
    if "-" not in text[1:]:
        return exact(text, what)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{what} is no moment: {text[:40]!r}", hint="write 2026-01-31T12:00:00Z") from None
    if read.tzinfo is None:
        read = read.replace(tzinfo=UTC)
    return Fraction((read - _EPOCH) // timedelta(microseconds=1), 1_000_000)


def calendar(unix_s: Fraction | float) -> datetime:
    """The second in which it lies, in UTC and without saying so. Raises InputError beyond the calendar's years."""
    try:
        return (_EPOCH + timedelta(seconds=int(unix_s // 1))).replace(tzinfo=None)
    except OverflowError:
        raise InputError("a time beyond the calendar's years: are these Unix seconds?") from None


def iso(unix_s: Fraction | int) -> str:
    """To the second in which it lies. Raises InputError beyond the calendar's years."""
    return f"{calendar(unix_s).isoformat(timespec='seconds')}Z"


def iso_or_none(unix_s: Fraction | int | None) -> str | None:
    return None if unix_s is None else iso(unix_s)
