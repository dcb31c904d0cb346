"""One exclusive lock per token, so that two programs never write one token at a time.

A locked file beside the ledger; the system lets go of it when the process ends, however it ends. The file itself
stays: removing it would let a third process lock a new file of the same name while a second waits on the old one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import quote

from provision.errors import Busy, LedgerError
from provision.locking import lock


@contextlib.contextmanager
def token_lock(directory: Path, serial: str) -> Iterator[None]:
    """Hold the lock of token `serial` under `directory` (made if missing). Raises Busy if another holds it, LedgerError
    if the disk takes none."""
    with _opened(directory, serial) as file:
        try:
            lock(file, wait=False)
        except OSError:
            raise Busy(
                f"another provision process works on token {serial}", hint="wait until it ends, then try again"
            ) from None
        yield


def _opened(directory: Path, serial: str) -> IO[bytes]:
    # quote() leaves dots alone, and no serial may be a path: the suffix takes care of "." and "..".
    path = directory / f"{quote(serial, safe='')}.lock"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path.open("a+b")
    except OSError as error:
        raise LedgerError(
            f"the lock of token {serial} cannot be kept in {directory}: {error.strerror}",
            hint="it stands beside the ledger: make room there, and see that you may write",
        ) from None
