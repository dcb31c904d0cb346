"""The text of a state file: all that a simulated token is while no process runs it, as JSON that diffs well.

    {
     "format": "hwtoken-token", "version": 1,
     "warning": ...,                         it holds the token's secrets in the clear
     "family": "reference", "serial": "SIM00001",
     "model": "hwtoken reference", "firmware": "1.0.0",    of that family; left out: its first
     "oscillator": {...},                    see oscillator_state.to_dict; times in true time
     "flash": {"page_size": 4096, "page_count": 16,
               "wear": {"0": 3},             erases by page; pages never erased are left out
               "pages": {"0": ["48574a31...", ...]}}   32 bytes a line; erased lines at a page's end are left out
    }

Fields that this version does not know: at the top level they are kept and written back as they were (a place for
notes); inside "oscillator" and "flash" they are refused, because they would change what the token is. A higher version
is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn, TypeGuard

from firmware_sim import oscillator_state
from firmware_sim.flash import PAGE_COUNT, PAGE_SIZE
from firmware_sim.oscillator_state import OscillatorState
from firmware_sim.seams import OscillatorError

FORMAT = "hwtoken-token"
VERSION = 1
WARNING = "this file is a simulated token and contains its secrets in the clear: seeds, PIN, administrator keys"
_LARGEST_FLASH = 1024 * 1024
_DEEPEST = 20  # levels of a field that is only kept
_LINE = 32
_ERASED_LINE = "ff" * _LINE
_NEEDED = ("format", "version", "warning", "family", "serial", "oscillator", "flash")
_KNOWN = (*_NEEDED, "model", "firmware")


_REMEDY = "restore a copy, or move the file away and create a new token"


class ImageError(Exception):
    """The text is no token that this version can use. The message completes "FILE ..." and never quotes the flash.

    `problem` is its first half; the second says what to do with such a file.
    """

    def __init__(self, problem: str, remedy: str = _REMEDY) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem


@dataclass(frozen=True)
class TokenImage:
    """What a state file says, as values. `model`, `firmware`: None for the family's first.

    `extra`: top-level fields that this version does not know. `pages` and `wear` by page number; pages that are not
    named are erased, or were never erased.
    """

    family: str
    serial: str
    oscillator: OscillatorState
    model: str | None = None
    firmware: str | None = None
    page_size: int = PAGE_SIZE
    page_count: int = PAGE_COUNT
    pages: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    wear: Mapping[int, int] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)


def to_text(image: TokenImage) -> str:
    """The state file's text."""
    document = {
        "format": FORMAT,
        "version": VERSION,
        "warning": WARNING,
        "family": image.family,
        "serial": image.serial,
        **{name: text for name, text in (("model", image.model), ("firmware", image.firmware)) if text is not None},
        **image.extra,
        "oscillator": oscillator_state.to_dict(image.oscillator),
        "flash": {
            "page_size": image.page_size,
            "page_count": image.page_count,
            "wear": {str(page): count for page, count in sorted(image.wear.items())},
            "pages": {str(page): _lines(content) for page, content in sorted(image.pages.items())},
        },
    }
    return json.dumps(document, indent=1) + "\n"


def from_text(data: bytes) -> TokenImage:
    """`to_text`'s inverse. Raises ImageError."""
    document = _parse(data)
    if document.get("format") != FORMAT:
        raise ImageError("is JSON, but not a token's state file", "name another file")
    version = document.get("version")
    if not _is_count(version):
        raise ImageError("has no proper version number")
    if version > VERSION:
        raise ImageError(f"has version {version}, and this firmware-sim knows version {VERSION}", "use a newer one")
    if version < VERSION:
        raise ImageError(f"has version {version}, which never existed")
    if missing := [name for name in _NEEDED if name not in document]:
        raise ImageError(f"lacks {', '.join(missing)}")
    extra = {name: value for name, value in document.items() if name not in _KNOWN}
    if _is_deeper(extra, _DEEPEST):
        raise ImageError(f"has an unknown field nested deeper than {_DEEPEST} levels", "take that field out")
    try:
        oscillator = oscillator_state.from_dict(document["oscillator"])
    except OscillatorError as error:
        raise ImageError(f"has a wrong oscillator: {error}") from None
    page_size, page_count, wear, pages = _flash(document["flash"])
    return TokenImage(
        family=_name(document, "family"),
        serial=_name(document, "serial"),
        model=_name(document, "model") if "model" in document else None,
        firmware=_name(document, "firmware") if "firmware" in document else None,
        oscillator=oscillator,
        page_size=page_size,
        page_count=page_count,
        pages=pages,
        wear=wear,
        extra=extra,
    )


def _parse(data: bytes) -> dict[str, object]:
    if not data.strip():
        raise ImageError("is empty")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite
        )
    except UnicodeDecodeError:
        raise ImageError("is not text, so not a token's state file", "name another file") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ImageError(f"is damaged or not a state file ({where}: {error.msg})") from None
    except (RecursionError, ValueError):  # nested beyond reason; a number with thousands of digits
        raise ImageError("is not a state file") from None
    if not isinstance(document, dict):
        raise ImageError("is JSON, but not a token's state file", "name another file")
    return document


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ImageError("names a field twice")
    return result


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ImageError(f"holds {text}, which JSON does not know")
    return number


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and (levels == 0 or any(_is_deeper(item, levels - 1) for item in value))


def _name(document: Mapping[str, object], field_name: str) -> str:
    value = document[field_name]
    if not isinstance(value, str) or not 1 <= len(value) <= 32 or not value.isprintable():
        raise ImageError(f"has a wrong {field_name} (1 to 32 printable characters)")
    return value


def _flash(data: object) -> tuple[int, int, dict[int, int], dict[int, bytes]]:
    """page_size, page_count, wear, pages."""
    if not isinstance(data, dict) or set(data) != {"page_size", "page_count", "wear", "pages"}:
        _wrong_flash("it has page_size, page_count, wear and pages, and nothing else")
    page_size, page_count = data["page_size"], data["page_count"]
    if not (_is_count(page_size) and _is_count(page_count)):
        _wrong_flash("page_size and page_count are whole numbers")
    if page_size < _LINE or page_size % _LINE or page_count < 2 or page_size * page_count > _LARGEST_FLASH:
        _wrong_flash(f"{page_count} pages of {page_size} bytes")
    wear = {}
    for page, count in _by_page(data["wear"], page_count):
        if not _is_count(count):
            _wrong_flash(f"the wear of page {page}")
        wear[page] = count
    pages = {page: _content(lines, page, page_size) for page, lines in _by_page(data["pages"], page_count)}
    return page_size, page_count, wear, pages


def _by_page(data: object, page_count: int) -> Iterator[tuple[int, object]]:
    if not isinstance(data, dict):
        _wrong_flash("wear and pages go by page number")
    numbers = {str(page): page for page in range(page_count)}
    for key, value in data.items():
        if key not in numbers:
            _wrong_flash(f"it has {page_count} pages, none of them called {key[:20]!r}")
        yield numbers[key], value


def _content(lines: object, page: int, page_size: int) -> bytes:
    if not isinstance(lines, list) or len(lines) > page_size // _LINE or not all(map(_is_line, lines)):
        _wrong_flash(f"page {page} is up to {page_size // _LINE} lines of {2 * _LINE} hexadecimal digits")
    return bytes.fromhex("".join(lines)).ljust(page_size, b"\xff")


def _lines(content: bytes) -> list[str]:
    text = content.hex()
    lines = [text[start : start + 2 * _LINE] for start in range(0, len(text), 2 * _LINE)]
    while lines and lines[-1] == _ERASED_LINE:
        lines.pop()
    return lines


def _is_line(line: object) -> bool:
    return isinstance(line, str) and len(line) == 2 * _LINE and set(line) <= set("0123456789abcdef")


def _wrong_flash(problem: str) -> NoReturn:
    raise ImageError(f"has a wrong flash: {problem}")
