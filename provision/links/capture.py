"""Captures on the host's side: the file that `--capture` writes, and the taps on streams and links: docs/CAPTURE.md.

Twin: firmware_sim/control/capture.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from provision.closing import Closing
from provision.errors import InputError, ProvisionError
from provision.links.framed import ByteStream
from provision.links.link import Link
from provision.wire.capture.recorder import ApduTap, SerialTap


class CaptureFile:
    """A new file that only its owner reads. Raises InputError when it cannot be made, and nothing later.

    A capture must not break the work that it watches: when the disk is full, the file ends with its last whole block,
    `say` gets a sentence about it, and what comes after is not kept.
    """

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        self._size = 0
        try:
            # O_BINARY: without it Windows would put another byte before every line feed.
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        except FileExistsError:
            raise InputError(f"{path} (--capture) exists already", hint="it is not overwritten: name another") from None
        except OSError as error:
            raise InputError(f"{path} (--capture) cannot be written: {error.strerror}") from None
        # Unbuffered: what was told outlives a killed process.
        self._file = os.fdopen(fd, "wb", buffering=0)

    def write(self, block: bytes) -> None:
        """Append a whole block."""
        if self._file.closed:
            return
        try:
            left = memoryview(block)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            self._cut_short(error)
            return
        self._size += len(block)

    def close(self) -> None:
        """Leave the file safely on the disk."""
        if self._file.closed:
            return
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            self._cut_short(error)
        self._file.close()

    def _cut_short(self, error: OSError) -> None:
        with contextlib.suppress(OSError):
            self._file.truncate(self._size)
        self._file.close()
        self._say(f"the capture {self._path} ends here: {error.strerror}")


class RecordedStream:
    """A ByteStream around another that tells a tap what passes."""

    def __init__(self, stream: ByteStream, tap: SerialTap) -> None:
        self._stream = stream
        self._tap = tap

    def write(self, data: bytes) -> None:
        # Told first: a captured command whose answer is missing shows where a line broke.
        self._tap.to_token(data)
        self._stream.write(data)

    def read(self, deadline: float) -> bytes:
        data = self._stream.read(deadline)
        self._tap.to_host(data)
        return data

    def close(self) -> None:
        self._tap.close()
        self._stream.close()


class RecordedLink(Closing):
    """A Link around one that shows no other bytes than the APDUs, and begins anew after an error."""

    def __init__(self, link: Link, tap: ApduTap) -> None:
        self._link = link
        self._tap = tap

    @property
    def address(self) -> str:
        return self._link.address

    def exchange(self, command: bytes) -> bytes:
        self._tap.command(command)
        try:
            response = self._link.exchange(command)
        except ProvisionError:
            self._tap.reset()
            raise
        self._tap.response(response)
        return response

    def close(self) -> None:
        self._link.close()
