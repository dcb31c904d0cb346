"""The file that `run --capture` writes. What is in it, and what never is: docs/CAPTURE.md.

Twin: provision/links/capture.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from firmware_sim.control.errors import ControlError
from firmware_sim.seams import Clock
from provision.wire.capture.recorder import Recorder


@contextlib.contextmanager
def capture(path: Path, clock: Clock, say: Callable[[str], None]) -> Iterator[Recorder]:
    """A Recorder into a new file that only its owner reads. Raises ControlError when it cannot be made, nothing later.

    A capture must not break the simulation that it watches: when the disk is full, the file ends with its last whole
    block, `say` gets a sentence about it, and what comes after is not kept.
    """
    try:
        # O_BINARY: without it Windows would put another byte before every line feed.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    except FileExistsError:
        raise ControlError(
            f"--capture {path} exists already and is not overwritten; name another", exit_code=9
        ) from None
    except OSError as error:
        raise ControlError(f"--capture {path} cannot be written: {error.strerror}", exit_code=9) from None
    file = _File(fd, lambda error: say(f"the capture {path} ends here: {error.strerror}"))
    try:
        yield Recorder(file.write, clock.now, "firmware-sim")
    finally:
        file.close()


class _File:
    """Whole blocks, unbuffered: what was told outlives a killed process. `cut_short` is called at most once."""

    def __init__(self, fd: int, cut_short: Callable[[OSError], None]) -> None:
        self._file = os.fdopen(fd, "wb", buffering=0)
        self._cut_short = cut_short
        self._size = 0

    def write(self, block: bytes) -> None:
        if self._file.closed:
            return
        try:
            left = memoryview(block)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(self._size)
            self._file.close()
            self._cut_short(error)
            return
        self._size += len(block)

    def close(self) -> None:
        self._file.close()
