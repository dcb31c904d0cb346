"""A seed as people hand it over: one line of hex or base32 (RFC 4648), however it was grouped, padded or cased.

A seed read the wrong way gives a token whose codes are refused months later, so nothing is guessed: text that reads
as both encodings is refused unless its length leaves one, and every refusal names the line and the rule. No message
ever holds a part of the seed.
"""

from __future__ import annotations

import base64
import enum
import re

from provision.errors import SeedSyntax
from provision.model import Secret
from provision.otp import MIN_SECRET_BYTES

MAX_SECRET_BYTES = 128  # the longest that RFC 6030 examples and vendors use is 64; past this it is another file
MAX_FILE_BYTES = 16 * 1024

_HEX = frozenset("0123456789ABCDEF")
_BASE32_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"  # by value (RFC 4648 table 3)
_BASE32 = frozenset(_BASE32_DIGITS)
_SPARE_BITS = {0: 0, 2: 2, 4: 4, 5: 1, 7: 3}  # characters mod 8 -> bits of the last one that hold nothing
_GROUPING = re.compile(r"[\s\-]+")
_TYPED = "type it again from where the seed came from"
_COUNTED = "a digit is missing or one too many: compare with where the seed came from"


@enum.unique
class SeedFormat(enum.Enum):
    HEX = "hex"
    BASE32 = "base32"
    AUTO = "auto"


def parse_seed_file(data: bytes, encoding: SeedFormat = SeedFormat.AUTO, *, allow_short_seed: bool = False) -> Secret:
    """The one seed in a file: blank lines and lines starting with `#` aside, exactly one line. Raises SeedSyntax."""
    if len(data) > MAX_FILE_BYTES:
        raise SeedSyntax(
            f"the seed file has {len(data)} bytes, over {MAX_FILE_BYTES}", hint="give a file with one seed in it"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SeedSyntax(
            "the seed file is not text", hint="give the seed as one line of hex or base32, not as raw bytes"
        ) from None
    found = [
        (number, line)
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not found:
        raise SeedSyntax("the seed file is empty", hint="give the seed as one line of hex or base32")
    if len(found) > 1:
        raise SeedSyntax(
            f"line {found[1][0]}: a second seed", line=found[1][0], hint="a token takes one seed: keep one line"
        )
    number, line = found[0]
    return parse_seed(line, encoding, allow_short_seed=allow_short_seed, line=number)


def parse_seed(
    text: str, encoding: SeedFormat = SeedFormat.AUTO, *, allow_short_seed: bool = False, line: int = 1
) -> Secret:
    """The seed that `text` spells. Raises SeedSyntax; its `line` is the one given here."""
    if not text.isascii():  # before upper(), which would turn other scripts' letters into base32 digits
        raise SeedSyntax(f"line {line}: a character that is no digit of hex or base32", line=line, hint=_TYPED)
    compact = _GROUPING.sub("", text).upper()
    if not compact.rstrip("="):
        raise SeedSyntax(f"line {line}: no seed", line=line)
    if encoding is SeedFormat.AUTO:
        encoding = _recognise(compact, allow_short_seed, line)
    fault = _faults(compact, allow_short_seed)[encoding]
    if fault:
        raise SeedSyntax(f"line {line}: {fault[0]}", line=line, hint=fault[1])
    if encoding is SeedFormat.HEX:
        return Secret(bytes.fromhex(compact))
    digits = compact.rstrip("=")
    return Secret(base64.b32decode(digits + "=" * (-len(digits) % 8)))


Fault = tuple[str, str]  # what is wrong, and what to do about it


def _faults(compact: str, allow_short_seed: bool) -> dict[SeedFormat, Fault | None]:
    """What keeps `compact` (no grouping, upper case) from being read as each encoding."""
    return {
        SeedFormat.HEX: _hex_fault(compact) or _size_fault(len(compact) // 2, allow_short_seed),
        SeedFormat.BASE32: _base32_fault(compact) or _size_fault(len(compact.rstrip("=")) * 5 // 8, allow_short_seed),
    }


def _recognise(compact: str, allow_short_seed: bool, line: int) -> SeedFormat:
    faults = _faults(compact, allow_short_seed)
    readable = [encoding for encoding, fault in faults.items() if fault is None]
    if len(readable) == 2:
        raise SeedSyntax(
            f"line {line}: the seed reads as hex and as base32", line=line, hint="say which with --seed-format"
        )
    if readable:
        return readable[0]
    # Neither: report the fault of the encoding that its characters belong to.
    return SeedFormat.HEX if set(compact) <= _HEX else SeedFormat.BASE32


def _hex_fault(compact: str) -> Fault | None:
    if not set(compact) <= _HEX:
        digits = compact.rstrip("=")
        if set(digits) <= _BASE32:
            return "hex expected, but this is base32", "use --seed-format base32"
        return f"character {_first_foreign(compact, _HEX)} is no hex digit", "hex has 0 to 9 and A to F"
    if len(compact) % 2:
        return (
            f"hex of odd length ({len(compact)} digits)",
            _COUNTED,
        )
    return None


def _base32_fault(compact: str) -> Fault | None:
    digits = compact.rstrip("=")
    padding = len(compact) - len(digits)
    if not set(digits) <= _BASE32:
        if set(digits) <= _HEX and not padding:
            return "base32 expected, but this is hex", "use --seed-format hex"
        where = _first_foreign(digits, _BASE32)
        return f"character {where} is no base32 digit", "base32 has A to Z and 2 to 7: no 0, 1, 8, 9"
    if len(digits) % 8 not in _SPARE_BITS:
        return (
            f"base32 of {len(digits)} digits, which no whole number of bytes has",
            _COUNTED,
        )
    if padding not in (0, -len(digits) % 8):
        return (
            f"{padding} characters of padding where there are {-len(digits) % 8} or none",
            "leave the = signs out, or copy all of them",
        )
    value = _BASE32_DIGITS.index(digits[-1])
    if value & ((1 << _SPARE_BITS[len(digits) % 8]) - 1):
        return (
            "the last base32 digit holds bits that belong to no byte",
            "a digit is missing or mistyped: compare with where the seed came from",
        )
    return None


def _size_fault(size: int, allow_short_seed: bool) -> Fault | None:
    if size > MAX_SECRET_BYTES:
        return f"a seed of {size} bytes, over {MAX_SECRET_BYTES}", "give one seed"
    if size == 0:
        return "no whole byte", "give the whole seed"
    if size < MIN_SECRET_BYTES and not allow_short_seed:
        return (
            f"a seed of {size * 8} bits, under the {MIN_SECRET_BYTES * 8} that RFC 4226 and NIST demand",
            "use a longer seed, or --allow-short-seed for an old token",
        )
    return None


def _first_foreign(text: str, alphabet: frozenset[str]) -> int:
    """The position, counted from 1 without the grouping, of the first character outside `alphabet`."""
    return next(at for at, character in enumerate(text, 1) if character not in alphabet)
