"""USB/IP as a stream of bytes: the messages of provision/wire/usbip.py cut out of it, in either role.

No length that the other side names is believed before it is bounded. After a WireError there is nothing to find the
next message by: the connection is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from provision.wire import WireError
from provision.wire.usbip import (
    BUSID_SIZE,
    HEADER_SIZE,
    IN,
    MAX_TRANSFER,
    OPERATION_SIZE,
    Command,
    Device,
    DevlistReply,
    DevlistRequest,
    ImportReply,
    ImportRequest,
    Operation,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)


class DeviceDecoder:
    """What a host sends, cut into messages, however it was split.

    Set `imported` when an import was granted, before asking for the next message: commands follow. Holds at most one
    unfinished message beside what it was fed.
    """

    def __init__(self, max_transfer: int = MAX_TRANSFER) -> None:
        self.imported = False
        self._max_transfer = max_transfer
        self._buffer = bytearray()
        self._needed = OPERATION_SIZE

    def feed(self, data: bytes) -> Iterator[DevlistRequest | ImportRequest | Submit | Unlink]:
        """Every message that `data` completes, in order. Raises WireError."""
        buffer = self._buffer
        # A whole command in one read is the rule; spare it the buffer.
        if not buffer and self.imported and _command_size(data, self._max_transfer) == len(data):
            yield _command(data)
            return
        buffer += data
        while len(buffer) >= self._needed:
            size = _command_size(buffer, self._max_transfer) if self.imported else _request_size(buffer)
            if len(buffer) < size:
                self._needed = size
                return
            raw = bytes(buffer[:size])
            del buffer[:size]
            self._needed = OPERATION_SIZE
            yield _command(raw) if self.imported else _request(raw)


class HostDecoder:
    """What a device's end sends, cut into messages, however it was split.

    `asked(seqnum)`: how many bytes the host asked for by that IN transfer, 0 for an OUT transfer, None if it has no
    such transfer under way. Holds at most one unfinished message beside what it was fed.
    """

    def __init__(self, asked: Callable[[int], int | None]) -> None:
        self._asked = asked
        self._imported = False
        self._buffer = bytearray()
        self._needed = OPERATION_SIZE

    def feed(self, data: bytes) -> Iterator[DevlistReply | ImportReply | SubmitReply | UnlinkReply]:
        """Every message that `data` completes, in order. Raises WireError."""
        buffer = self._buffer
        # As above: a whole answer in one read.
        if not buffer and self._imported and self._answer_size(data) == len(data):
            yield _answer(data)
            return
        buffer += data
        while len(buffer) >= self._needed:
            size = self._answer_size(buffer) if self._imported else _reply_size(buffer)
            if len(buffer) < size:
                self._needed = size
                return
            raw = bytes(buffer[:size])
            del buffer[:size]
            self._needed = OPERATION_SIZE
            yield _answer(raw) if self._imported else self._reply(raw)

    def _answer_size(self, buffer: bytes | bytearray) -> int:
        if len(buffer) < HEADER_SIZE or buffer[3] != Command.RET_SUBMIT:
            return HEADER_SIZE
        asked, actual = self._asked(int.from_bytes(buffer[4:8], "big")), int.from_bytes(buffer[24:28], "big")
        if asked is None:
            raise WireError("an answer to a transfer that nobody asked for")
        if asked and actual > asked:
            raise WireError(f"a transfer of {actual} bytes where {asked} were asked for")
        return HEADER_SIZE + (actual if asked else 0)

    def _reply(self, raw: bytes) -> DevlistReply | ImportReply:
        if _code(raw) == Operation.REP_DEVLIST:
            return DevlistReply.decode(raw)
        reply = ImportReply.decode(raw)
        self._imported = reply.device is not None
        return reply


def _request_size(buffer: bytearray) -> int:
    return OPERATION_SIZE + (BUSID_SIZE if _code(buffer) == Operation.REQ_IMPORT else 0)


def _request(raw: bytes) -> DevlistRequest | ImportRequest:
    return (ImportRequest if _code(raw) == Operation.REQ_IMPORT else DevlistRequest).decode(raw)


def _reply_size(buffer: bytearray) -> int:
    """Of the reply that `buffer` begins with, or of as much of it as tells more."""
    if any(buffer[4:8]):  # a status: no body
        return OPERATION_SIZE
    if _code(buffer) == Operation.REP_DEVLIST:
        return DevlistReply.size(buffer)
    return OPERATION_SIZE + (Device.SIZE if _code(buffer) == Operation.REP_IMPORT else 0)


def _command_size(buffer: bytes | bytearray, max_transfer: int) -> int:
    if len(buffer) < HEADER_SIZE or buffer[3] != Command.SUBMIT or buffer[15] == IN:
        return HEADER_SIZE
    length = int.from_bytes(buffer[24:28], "big")
    if length > max_transfer:
        raise WireError(f"a transfer of {length} bytes, over {max_transfer}")
    return HEADER_SIZE + length


def _command(raw: bytes) -> Submit | Unlink:
    return Unlink.decode(raw) if raw[3] == Command.UNLINK else Submit.decode(raw)


def _answer(raw: bytes) -> SubmitReply | UnlinkReply:
    return UnlinkReply.decode(raw) if raw[3] == Command.RET_UNLINK else SubmitReply.decode(raw)


def _code(data: bytes | bytearray) -> int:
    return int.from_bytes(data[2:4], "big")
