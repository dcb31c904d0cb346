"""The one way to write a new file that holds a secret: only its owner reads it, and it is on the disk or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def write_new(path: Path, content: bytes) -> None:
    """Create `path`, mode 0600, with `content`, durable (its name too) when this returns.

    Raises FileExistsError and other OSError; nothing new is left behind then.
    """
    # O_BINARY: without it Windows would put another byte before every line feed.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def sync_directory(directory: Path) -> None:
    """Make new names in it as durable as the files' bytes. Windows has no such call, and needs none."""
    if os.name != "posix":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
