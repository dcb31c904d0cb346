"""A Link that tells what passes, without the contents: a log may be sent to anybody.

Default deny. Of a command only the header and the lengths are told, of a response its length and status word: no data
ever, because a PIN, a code and a seed look like any other data.
"""

from __future__ import annotations

from collections.abc import Callable

from provision.closing import Closing
from provision.errors import ProvisionError
from provision.links.link import Link
from provision.wire import WireError
from provision.wire.apdu import decode_command


class SpyLink(Closing):
    """Wraps a Link; `log` gets one line per command and per response."""

    def __init__(self, link: Link, log: Callable[[str], None]) -> None:
        self._link = link
        self._log = log

    @property
    def address(self) -> str:
        return self._link.address

    def exchange(self, command: bytes) -> bytes:
        self._log(f"{self.address} > {describe_command(command)}")
        try:
            response = self._link.exchange(command)
        except ProvisionError as error:
            self._log(f"{self.address} ! {type(error).__name__}")
            raise
        self._log(f"{self.address} < {describe_response(response)}")
        return response

    def close(self) -> None:
        self._link.close()


def describe_command(raw: bytes) -> str:
    """Class, instruction, P1 P2 and the lengths."""
    try:
        cla, ins, p1, p2, data, le, _ = decode_command(raw)
    except WireError:
        return f"{len(raw)} bytes that are no APDU"
    return f"{cla:02X} {ins:02X} {p1:02X} {p2:02X} Lc={len(data)} Le={'-' if le is None else le}"


def describe_response(raw: bytes) -> str:
    """The status word and how much came before it."""
    if len(raw) < 2:
        return f"{len(raw)} bytes that are no response"
    return f"{raw[-2:].hex().upper()} and {len(raw) - 2} bytes"
