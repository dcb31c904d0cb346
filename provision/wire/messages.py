"""What the message modules share: the registry of messages, text and integers inside them."""

from __future__ import annotations

import re
from typing import Protocol, Self, TypeVar

from provision.wire import WireError


class Message(Protocol):
    """What a registered message can do: `decode(encode(m)) == m`."""

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


MESSAGES: dict[str, type[Message]] = {}
"""Every registered message as "module.Class"; filled when its module is imported."""

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")

_M = TypeVar("_M", bound=type[Message])


def message(cls: _M) -> _M:
    """Class decorator: register a message."""
    MESSAGES[f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"] = cls
    return cls


def encode_text(text: str, most: int, what: str, *, least: int = 0) -> bytes:
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raise WireError(f"{what} has a character that UTF-8 cannot hold") from None
    decode_text(raw, most, what, least=least)
    return raw


def decode_text(raw: bytes, most: int, what: str, *, least: int = 0) -> str:
    if not least <= len(raw) <= most:
        raise WireError(f"{what} has {least} to {most} bytes of UTF-8, not {len(raw)}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise WireError(f"{what} is not UTF-8") from None
    if _CONTROL.search(text):
        raise WireError(f"{what} has a control character")
    return text


def integer(raw: bytes, size: int, what: str) -> int:
    """An unsigned big-endian integer of exactly `size` bytes. Raises WireError that names `what`."""
    if len(raw) != size:
        raise WireError(f"{what} has {size} bytes, not {len(raw)}")
    return int.from_bytes(raw, "big")
