"""The fields of one request, taken one by one; what is missing, wrong or left over is named."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar

from firmware_sim.control.durations import parse_duration
from firmware_sim.control.errors import ControlError

_E = TypeVar("_E", bound=Enum)
_LARGEST_EXPONENT = 30  # written out, 1e999999999 would fill the memory


class Fields:
    """Raises ControlError everywhere. Values are never repeated in errors: one of them may be a PIN."""

    def __init__(self, op: str, given: dict[str, Any]) -> None:
        self._op = op
        self._given = given

    def text(self, name: str) -> str:
        value = self._take(name, "a text")
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def flag(self, name: str) -> bool:
        """False when absent."""
        value = self._given.pop(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        value = self._given.pop(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(name, f"a whole number from {least} to {most}")
        return value

    def number(self, name: str) -> Decimal | None:
        """A number, or its decimal text, as an exact decimal; None when absent."""
        if name not in self._given:
            return None
        value = self._given.pop(name)
        if isinstance(value, int | float | str) and not isinstance(value, bool):
            try:
                number = Decimal(str(value))
            except ArithmeticError:
                raise self._wrong(name, "a number") from None
            if number.is_finite() and abs(number.adjusted()) <= _LARGEST_EXPONENT:
                return number
            raise self._wrong(name, f"a number of at most {_LARGEST_EXPONENT} digits")
        raise self._wrong(name, "a number")

    def choice(self, name: str, kind: type[_E]) -> _E:
        words = ", ".join(str(member.value) for member in kind)
        value = self._take(name, f"one of {words}")
        try:
            return kind(value)
        except ValueError:
            raise self._wrong(name, f"one of {words}") from None

    def duration(self) -> Decimal:
        """Seconds, from `seconds` (a number) or `duration` (`18 months`)."""
        if "seconds" in self._given:
            seconds = self.number("seconds")
            if seconds is None or seconds < 0:
                raise self._wrong("seconds", "a number, 0 or more")
            return parse_duration(f"{seconds:f}")
        return parse_duration(self.text("duration"))

    def has(self, name: str) -> bool:
        return name in self._given

    def end(self) -> None:
        """Refuse what nobody took."""
        if self._given:
            names = ", ".join(sorted(self._given))
            raise ControlError(f"{self._op}: unknown field {names}; docs/CONTROL.md lists the fields of each op")

    def _take(self, name: str, what: str) -> Any:
        if name not in self._given:
            raise ControlError(f"{self._op}: the field {name!r} is missing; it is {what}")
        return self._given.pop(name)

    def _wrong(self, name: str, what: str) -> ControlError:
        return ControlError(f"{self._op}: the field {name!r} has to be {what}")
