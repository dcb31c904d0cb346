"""Numbers that mean what they say: 2.5 is five halves, also after years in a state file."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction

from firmware_sim.seams import OscillatorError

Number = int | float | str | Decimal | Fraction
"""A float stands for the decimal that it prints as. Text is decimal ("-21.25"), or a fraction ("1/3")."""

# Far beyond what years of re-anchoring produce, far below what would take time to compute with.
_LONGEST = 4000  # characters
_LARGEST_EXPONENT = 400


def exact(value: Number) -> Fraction:
    """The rational number itself. Raises OscillatorError for what is no finite number of a reasonable size."""
    if isinstance(value, Fraction):
        return value
    try:
        text = str(value)
        numerator, slash, denominator = text.partition("/")
        if len(text) > _LONGEST:
            raise OscillatorError(f"{text[:20]}... is too long for a number")
        if slash:
            return Fraction(int(numerator), int(denominator))
        number = Decimal(text)
        if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
            raise OscillatorError(f"{text} is not a number that an oscillator can use")
        return Fraction(number)
    except (InvalidOperation, ValueError, ZeroDivisionError):
        raise OscillatorError(f"{str(value)[:40]!r} is not a number") from None


def exact_text(number: Fraction) -> str:
    """`exact`'s inverse: decimal where that is finite, else numerator/denominator."""
    rest, digits = number.denominator, 0
    for prime in (2, 5):
        power = 0
        while rest % prime == 0:
            rest //= prime
            power += 1
        digits = max(digits, power)
    if rest != 1:
        return f"{number.numerator}/{number.denominator}"
    scaled = f"{abs(number.numerator) * 10**digits // number.denominator:0{digits + 1}}"
    sign = "-" if number < 0 else ""
    return sign + (f"{scaled[:-digits]}.{scaled[-digits:]}" if digits else scaled)


def bounded(name: str, value: Number, low: int, high: int) -> Fraction:
    """`exact`, within [low, high]. Raises OscillatorError naming the parameter."""
    number = exact(value)
    if not low <= number <= high:
        raise OscillatorError(f"{name} is {exact_text(number)}, which is not within {low} and {high}")
    return number


def microseconds(name: str, seconds: Number, low: int, high: int) -> int:
    """Seconds within [low, high] as whole microseconds, rounded to the nearest."""
    return round(bounded(name, seconds, low, high) * 1_000_000)
