"""Numbers as they stand in a document: JSON numbers, decimals or fractions as text, exact either way."""

from __future__ import annotations

from fractions import Fraction

from provision.errors import InputError

_LONGEST = 200  # characters; a number of more is a mistake, or an attempt to keep us busy


def exact(value: object, what: str) -> Fraction:
    """`what`: names the field in the error. JSON must have been read with parse_float=str, or a decimal is not exact.

    Raises InputError.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"{what} is no number: give a JSON number, or text as 1.5 or 3/2")
    if isinstance(value, int):
        return Fraction(value)
    try:
        if len(value) > _LONGEST or ("e" in value.lower() and abs(int(value.lower().partition("e")[2])) > _LONGEST):
            raise ValueError
        return Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise InputError(f"{what} is no number: {value[:20]!r}") from None


def text(value: Fraction) -> str:
    """A fraction in lowest terms: `3/2`, or `3`."""
    return str(value)
