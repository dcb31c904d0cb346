"""One way to lock a file against other processes, whatever the system. It lets go when the file is closed."""

from __future__ import annotations

from typing import IO

try:
    import fcntl
except ImportError:  # Windows: the byte-range lock of its own C library
    import msvcrt

    def lock(file: IO[bytes], *, wait: bool) -> None:
        """Raises OSError if another open file holds the lock, after a few seconds if `wait`."""
        file.seek(0)
        mode = msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK  # type: ignore[attr-defined]  # absent in POSIX stubs
        msvcrt.locking(file.fileno(), mode, 1)  # type: ignore[attr-defined]  # as above
else:

    def lock(file: IO[bytes], *, wait: bool) -> None:
        """Raises OSError if another open file holds the lock and we do not `wait` for it."""
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
