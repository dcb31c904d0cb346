"""The state file is the silicon: what a simulated token is lives in it, from one process to the next.

Written as a whole (new file, fsync, rename, fsync of the directory), mode 0600 from its creation, and locked by
FILE.lock for as long as a simulator runs on it. A file that cannot be used is refused and not touched.
"""

from __future__ import annotations

import contextlib
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from firmware_sim.fileflash import FileFlash
from firmware_sim.files import Locked, exclusive, lock_path, replace
from firmware_sim.flash import WEAR_LIMIT, MemoryFlash, Supply
from firmware_sim.oscillator import QuartzOscillator
from firmware_sim.oscillator_state import true_us
from firmware_sim.tokenimage import ImageError, TokenImage, from_text, to_text

_LARGEST_FILE = 16 * 1024 * 1024


class StateFileError(Exception):
    """The state file cannot be used: names the file, what is wrong, and what to do. Nothing was written."""


class StateFile:
    """An open state file: the silicon in memory, and a lock on the file.

    `flash.sync()` writes everything down, the oscillator's state included; if it fails both are again as they were at
    the last sync. Use `open` or `create`, then `close` (or with).
    """

    def __init__(
        self, path: Path, image: TokenImage, lock: contextlib.ExitStack, *, supply: Supply | None, wear_limit: int
    ) -> None:
        """Use `open` or `create`."""
        memory = MemoryFlash(
            image.page_size,
            image.page_count,
            wear_limit=wear_limit,
            supply=supply,
            pages=image.pages,
            wear=image.wear,
        )
        self.path = path
        self.family = image.family
        self.serial = image.serial
        self.model = image.model
        self.firmware = image.firmware
        self.flash = FileFlash(memory, self._save)
        self.oscillator = QuartzOscillator(image.oscillator)
        self._extra = image.extra
        self._saved_oscillator = image.oscillator
        self._lock = lock

    @classmethod
    def create(
        cls, path: Path, image: TokenImage, *, supply: Supply | None = None, wear_limit: int = WEAR_LIMIT
    ) -> StateFile:
        """A new token. Raises StateFileError if the file exists, is locked, or could not be written or read again."""
        path = Path(os.path.realpath(path))
        try:
            from_text(to_text(image).encode())
        except ImageError as error:
            raise StateFileError(f"{path} is not created, because the token {error.problem}") from None
        lock = _lock(path)
        try:
            if path.exists():
                raise StateFileError(f"{path} exists already; choose another name, or run the token that is in it")
            state = cls(path, image, lock, supply=supply, wear_limit=wear_limit)
            state._save()
        except OSError as error:
            lock.close()
            raise StateFileError(f"{path} cannot be written: {error.strerror}") from error
        except BaseException:
            lock.close()
            raise
        return state

    @classmethod
    def open(cls, path: Path, now: float, *, supply: Supply | None = None, wear_limit: int = WEAR_LIMIT) -> StateFile:
        """The token in `path`, at true time `now` (Unix seconds).

        Raises StateFileError if the file is missing, no state file, used by another simulator, or if the token's clock
        was anchored after `now`: it would have to run backwards.
        """
        path = Path(os.path.realpath(path))
        _read(path)  # judged before anything is created beside it, and again once nobody else can write it
        lock = _lock(path)
        try:
            image = _read(path)
            if true_us(now) < image.oscillator.anchor_us:
                raise StateFileError(
                    f"{path} has lived until {_date(image.oscillator.anchor_s)}, but the clock says {_date(now)}, and "
                    "true time does not go backwards; use a later clock, or an older copy of the file"
                )
            path.chmod(stat.S_IRUSR | stat.S_IWUSR)
            return cls(path, image, lock, supply=supply, wear_limit=wear_limit)
        except OSError as error:
            lock.close()
            raise StateFileError(f"{path} holds secrets and cannot be made private: {error.strerror}") from error
        except BaseException:
            lock.close()
            raise

    def close(self) -> None:
        """Let go of the lock. Writes nothing: what mattered was synced."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _save(self) -> None:
        """Write everything down. Raises OSError; the oscillator is then as it was last saved."""
        memory = self.flash.memory
        image = TokenImage(
            family=self.family,
            serial=self.serial,
            model=self.model,
            firmware=self.firmware,
            oscillator=self.oscillator.state,
            page_size=memory.page_size,
            page_count=memory.page_count,
            pages=memory.pages,
            wear=memory.wear,
            extra=self._extra,
        )
        try:
            replace(self.path, to_text(image))
        except OSError:
            self.oscillator.state = self._saved_oscillator
            raise
        self._saved_oscillator = image.oscillator


def _lock(path: Path) -> contextlib.ExitStack:
    """Hold the lock of a state file until the stack is closed."""
    stack = contextlib.ExitStack()
    try:
        stack.enter_context(exclusive(path, wait=False))
    except Locked:
        raise StateFileError(
            f"{path} is in use by another simulator; stop that one, or use a copy of the file under another name"
        ) from None
    except OSError as error:
        raise StateFileError(f"{lock_path(path)} cannot be locked: {error.strerror}") from error
    return stack


def _read(path: Path) -> TokenImage:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StateFileError(f"{path} is not a regular file; name another one")
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise StateFileError(f"{path} does not exist; check the name, or create a token there") from None
    except OSError as error:
        raise StateFileError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _LARGEST_FILE:
        raise StateFileError(f"{path} is too large for a state file; name another one")
    try:
        return from_text(data)
    except ImageError as error:
        raise StateFileError(f"{path} {error}") from None


def _date(unix_s: float) -> str:
    """Both for people and for --clock."""
    try:
        return f"{unix_s:.6f} ({datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (OverflowError, ValueError, OSError):  # beyond the calendar
        return f"{unix_s:.6f}"
