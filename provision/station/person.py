"""The person beside the token, for what no wire does: read its screen, press its button."""

from __future__ import annotations

from typing import Protocol

from provision.errors import UsageError


class Person(Protocol):
    """Whoever can be asked. Both methods take a sentence that says what is wanted, and wait."""

    def read_code(self, wanted: str) -> str:
        """The code as it was typed, digits only."""

    def press_button(self, wanted: str) -> None:
        """Returns when they say that it is done."""


class Nobody:
    """Implements Person. Both methods raise UsageError."""

    def read_code(self, wanted: str) -> str:
        raise UsageError(f"somebody has to be at the token: {wanted}", hint="run it where someone can be asked")

    def press_button(self, wanted: str) -> None:
        raise UsageError(f"somebody has to be at the token: {wanted}", hint="run it where someone can be asked")


NOBODY = Nobody()
