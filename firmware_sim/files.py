"""Files that several processes share or that must survive a crash: locked, and replaced as a whole.

Portable: where fcntl does not exist, the byte-range lock of Windows' own C library does the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:
    import msvcrt

    def _lock(file: BinaryIO, wait: bool) -> None:
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]  # absent in POSIX stubs
        msvcrt.locking(file.fileno(), mode, 1)  # type: ignore[attr-defined]  # as above
else:

    def _lock(file: BinaryIO, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


class Locked(Exception):
    """Another process, or another part of this one, holds the lock."""


def lock_path(path: Path) -> Path:
    """The lock of a file is a file beside it, because the file itself is another one after each replacement."""
    return path.with_name(path.name + ".lock")


@contextlib.contextmanager
def exclusive(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of `path`; the lock file stays behind, since deleting it would let two in.

    Raises Locked if it is held and `wait` is false; OSError.
    """
    with open(lock_path(path), "a+b", opener=_private) as file:
        try:
            _lock(file, wait)
        except OSError as error:
            if not wait and isinstance(error, (BlockingIOError, PermissionError)):
                raise Locked(str(path)) from None
            raise
        yield


def replace(path: Path, text: str) -> None:
    """Put `text` into `path` so that after a crash at any instant it holds the old text or the new one, whole.

    Mode 0600 from its creation. The caller holds the lock of `path`. Raises OSError; the old text is then in place,
    unless the very last step failed (fsync of the directory, after which the new one is).
    """
    new = path.with_name(path.name + ".new")  # one name: what a killed process left behind is cleaned up by the next
    new.unlink(missing_ok=True)
    try:
        with open(new, "x", encoding="utf-8", newline="\n", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_directory(path: Path) -> None:
    if not hasattr(os, "O_DIRECTORY"):
        return  # Windows has no handle of a directory to flush
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
