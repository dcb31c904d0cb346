"""A flash whose content survives the process: it works in memory, and `sync` has it written down.

What a caller has synced is on disk before `sync` returns, so a killed simulator comes back with everything that the
token ever acknowledged. If it cannot be written (a full disk), memory goes back to the last sync: the token answers
that its memory failed, and nothing happened.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_sim.flash import MemoryFlash
from firmware_sim.seams import FlashError


class FileFlash:
    """Implements seams.Flash over `memory`.

    `save` writes down all of `memory`; it raises OSError if it could not, and is called on every sync, because there is
    more to a token than its flash (its oscillator) that the same file keeps.
    """

    def __init__(self, memory: MemoryFlash, save: Callable[[], None]) -> None:
        self.memory = memory
        self._save = save
        self._before: dict[int, tuple[bytes | None, int]] = {}

    @property
    def page_size(self) -> int:
        return self.memory.page_size

    @property
    def page_count(self) -> int:
        return self.memory.page_count

    @property
    def wear(self) -> dict[int, int]:
        return self.memory.wear

    def read(self, address: int, length: int) -> bytes:
        return self.memory.read(address, length)

    def write(self, address: int, data: bytes) -> None:
        size = self.memory.page_size
        for page in range(address // size, (address + len(data) + size - 1) // size):
            self._remember(page)
        self.memory.write(address, data)

    def erase(self, page: int) -> None:
        self._remember(page)
        self.memory.erase(page)

    def sync(self) -> None:
        self.memory.sync()
        try:
            self._save()
        except OSError as error:
            for page, (content, wear) in self._before.items():
                self.memory.put_page(page, content, wear)
            raise FlashError(f"the state file could not be written: {error.strerror}") from error
        finally:
            self._before.clear()

    def _remember(self, page: int) -> None:
        """Keep what the page was at the last sync; `memory` itself refuses pages that do not exist."""
        if page not in self._before and 0 <= page < self.page_count:
            self._before[page] = (self.memory.page(page), self.memory.wear.get(page, 0))
