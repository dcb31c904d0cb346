"""Codes as people type them: in groups of digits, as screens show them, and mistyped."""

from __future__ import annotations

from collections.abc import Iterable

from provision.errors import InputError


def bare_code(typed: str) -> str:
    return "".join(typed.split())


def bare_codes(lines: Iterable[str]) -> list[str]:
    """One a line; lines with nothing on them do not count."""
    return [bare_code(line) for line in lines if line.strip()]


def require_codes(codes: Iterable[str]) -> None:
    """Raises InputError for what no token shows, without it in its text."""
    if not all(code.isascii() and code.isdigit() and 6 <= len(code) <= 8 for code in codes):
        raise InputError("that is not a code", hint="a code has 6 to 8 digits")
