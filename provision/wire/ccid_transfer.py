"""USB bulk transfers to CCID messages.

A message is one transfer (USB CCID class, revision 1.1, section 4): it begins with a packet of its own and ends with a
short one, or with an empty one where its length is a multiple of the packet's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from provision.wire import WireError
from provision.wire.ccid import HEADER, MAX_MESSAGE

BULK_PACKET = 64  # bytes, full speed

_HEAD = struct.Struct("<BIBB")


class Head(NamedTuple):
    """The beginning of a message: enough to answer one that is wrong."""

    kind: int
    length: int
    slot: int
    seq: int


@dataclass(frozen=True, slots=True)
class BadMessage:
    """A bulk transfer that is no message. `reason` names the broken rule; `head`: None when not even that came."""

    reason: str
    head: Head | None


_M = TypeVar("_M")  # Command or Response


class Decoder(Generic[_M]):
    """Joins the pieces of bulk transfers to messages, however a bus or a program cut them. Never trusts a length.

    `decode`: decode_command or decode_response. `longest`: bytes of the longest message that is taken, and all that
    is ever held. `packet`: bytes of the endpoint's largest packet; a piece of any other multiple ends the transfer.
    """

    def __init__(self, decode: Callable[[bytes], _M], longest: int = MAX_MESSAGE, packet: int = BULK_PACKET) -> None:
        self._decode = decode
        self._longest = longest
        self._packet = packet
        self._buffer = bytearray()
        self._skipping = False  # until the end of a transfer that was reported as bad

    def feed(self, piece: bytes) -> Iterator[_M | BadMessage]:
        """The message or the bad one that `piece` completes, if it completes any. Empty transfers are nothing."""
        ends = len(piece) % self._packet != 0 or not piece
        if self._skipping:
            self._skipping = not ends
            return
        self._buffer += piece
        have = len(self._buffer)
        head = Head(*_HEAD.unpack_from(self._buffer)) if have >= HEADER else None
        need = HEADER + head.length if head else HEADER
        if have < need <= self._longest and not (ends and have):
            return
        raw = bytes(self._buffer[: self._longest])
        self._buffer.clear()
        if have == need and need <= self._longest:
            try:
                yield self._decode(raw)
            except WireError as error:
                yield BadMessage(str(error), head)
            return
        # A transfer that is as long as it says ends by itself; any other one goes on until its short packet.
        self._skipping = not ends
        if need > self._longest:
            yield BadMessage(f"a message of {need} bytes, over {self._longest}", head)
        else:
            yield BadMessage(f"a transfer of {have} bytes for a message of {need}", head)

    def reset(self) -> None:
        """Forget what is unfinished: the endpoint was reset."""
        self._buffer.clear()
        self._skipping = False
