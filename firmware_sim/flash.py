"""NOR flash in memory, and a supply that can fail it at any instant.

Three things make flash unlike a file, and all three are here: a write turns 1 bits into 0 bits only, erasing works
on whole pages and wears them out, and an operation whose power fails may have changed any subset of the bits that
it was to change. Not simulated: bits that read differently from time to time, and disturbed neighbours.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from firmware_sim.seams import FlashError, FlashWornOut, PowerLost

# The reference token's chip: 64 KiB, two banks of which hold 64 credentials with room to append.
PAGE_SIZE = 4096
PAGE_COUNT = 16
WEAR_LIMIT = 10_000  # erases of one page, the usual guarantee of a microcontroller's flash

Subset = Callable[[int, int], int]
"""(the bits that an operation would change, as a mask; how many bits the mask spans) -> those that did change."""


def no_bit(changing: int, bits: int) -> int:
    """The empty subset: the operation began and changed nothing."""
    return 0


def seeded_subset(seed: int) -> Subset:
    """A subset drawn from `seed`: each bit with a probability that is itself drawn, so that nearly whole and nearly
    untouched operations come up as often as half-done ones."""

    def draw(changing: int, bits: int) -> int:
        rng = random.Random(seed)  # noqa: S311  # a schedule of faults must repeat; it guards nothing
        # AND thins the noise, OR thickens it: probabilities from 1/16 to 15/16.
        noise = rng.getrandbits(bits)
        thin = rng.random() < 0.5
        for _ in range(rng.randrange(4)):
            more = rng.getrandbits(bits)
            noise = noise & more if thin else noise | more
        return changing & noise

    return draw


@enum.unique
class Moment(enum.Enum):
    """When, relative to an operation, the power goes."""

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class PowerCut:
    """Power fails at operation number `operation`, counted from 0 as `Supply.operations` counts.

    `subset` chooses the bits that an operation cut INSIDE still changed.
    """

    operation: int
    moment: Moment
    subset: Subset = no_bit


class Supply:
    """Power for a flash. Counts writes and erases, so that a sweep can visit each of them."""

    def __init__(self, cut: PowerCut | None = None) -> None:
        self.operations = 0
        self.on = True
        self._cut = cut

    def arm(self, cut: PowerCut | None) -> None:
        """Fail at `cut`; None disarms."""
        self._cut = cut

    def restore(self) -> None:
        """Power is back, and nothing is armed."""
        self.on = True
        self._cut = None

    def require(self) -> None:
        """Raises PowerLost while the power is off."""
        if not self.on:
            raise PowerLost("the flash has no power")

    def begin(self) -> PowerCut | None:
        """Start one operation: the cut that will hit it inside or after, or None. Raises PowerLost."""
        self.require()
        cut = self._cut
        number = self.operations
        if cut is None or cut.operation != number:
            self.operations = number + 1
            return None
        if cut.moment is Moment.BEFORE:
            self.fail()
        self.operations = number + 1
        return cut

    def fail(self) -> None:
        """Cut the power now. Raises PowerLost."""
        self.on = False
        raise PowerLost(f"the power failed at flash operation {self.operations}")


class MemoryFlash:
    """Implements seams.Flash. An erased page takes no memory.

    `wear_limit`: how often one page can be erased. `pages` and `wear` are an earlier chip's content, by page number;
    pages that are not named are erased.
    """

    def __init__(
        self,
        page_size: int = PAGE_SIZE,
        page_count: int = PAGE_COUNT,
        *,
        wear_limit: int = WEAR_LIMIT,
        supply: Supply | None = None,
        pages: Mapping[int, bytes] = MappingProxyType({}),
        wear: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._page_size = page_size
        self._page_count = page_count
        self._wear_limit = wear_limit
        self._wear = dict(wear)
        self._pages: dict[int, bytearray] = {}
        self.supply = Supply() if supply is None else supply
        for number, content in pages.items():
            self.put_page(number, content, self._wear.get(number, 0))

    @property
    def page_size(self) -> int:
        return self._page_size

    @property
    def page_count(self) -> int:
        return self._page_count

    @property
    def wear(self) -> dict[int, int]:
        """Erases so far, by page number; pages never erased are absent."""
        return {number: count for number, count in sorted(self._wear.items()) if count}

    @property
    def pages(self) -> dict[int, bytes]:
        """The content of every page that is not erased."""
        return {number: bytes(self._pages[number]) for number in sorted(self._pages)}

    def page(self, number: int) -> bytes | None:
        """One page's content, None if it is erased."""
        content = self._pages.get(number)
        return None if content is None else bytes(content)

    def put_page(self, number: int, content: bytes | None, wear: int) -> None:
        """Make a page hold `content` (None: erased) after `wear` erases with no regard to physics: to load, to undo."""
        if not 0 <= number < self._page_count or (content is not None and len(content) != self._page_size):
            raise FlashError(f"no page {number} of that size on this flash")
        if content is None or _blank(content):
            self._pages.pop(number, None)
        else:
            self._pages[number] = bytearray(content)
        self._wear[number] = wear

    def read(self, address: int, length: int) -> bytes:
        self.supply.require()
        self._check(address, length)
        size = self._page_size
        number, start = divmod(address, size)
        if start + length <= size:
            content = self._pages.get(number)
            return b"\xff" * length if content is None else bytes(content[start : start + length])
        erased = b"\xff" * size
        last = (address + length - 1) // size
        whole = b"".join([self._pages.get(n, erased) for n in range(number, last + 1)])
        return whole[start : start + length]

    def write(self, address: int, data: bytes) -> None:
        self._check(address, len(data))
        if not data:
            return
        old = int.from_bytes(self.read(address, len(data)))
        new = int.from_bytes(data)
        if new & ~old:
            raise FlashError(f"a write at {address} would turn 0 bits into 1 bits; only erasing a page does")
        cut = self.supply.begin()
        if cut is None:
            self._store(address, data)
            return
        if cut.moment is Moment.INSIDE:
            done = old ^ _checked(cut.subset, old ^ new, 8 * len(data))
            self._store(address, done.to_bytes(len(data)))
        else:
            self._store(address, data)
        self.supply.fail()

    def erase(self, page: int) -> None:
        if not 0 <= page < self._page_count:
            raise FlashError(f"no page {page}: the flash has {self._page_count}")
        self.supply.require()
        wear = self._wear.get(page, 0)
        if wear >= self._wear_limit:
            raise FlashWornOut(f"page {page} is worn out: it has been erased {wear} times")
        cut = self.supply.begin()
        self._wear[page] = wear + 1
        if cut is not None and cut.moment is Moment.INSIDE:
            bits = 8 * self._page_size
            old = int.from_bytes(self.read(page * self._page_size, self._page_size))
            done = old | _checked(cut.subset, old ^ ((1 << bits) - 1), bits)
            self.put_page(page, done.to_bytes(self._page_size), wear + 1)
        else:
            self._pages.pop(page, None)
        if cut is not None:
            self.supply.fail()

    def sync(self) -> None:
        self.supply.require()

    def _check(self, address: int, length: int) -> None:
        if address < 0 or length < 0 or address + length > self._page_size * self._page_count:
            raise FlashError(f"{length} bytes at {address} reach outside the flash")

    def _store(self, address: int, data: bytes) -> None:
        size = self._page_size
        done = 0
        while done < len(data):
            number, start = divmod(address + done, size)
            piece = data[done : done + size - start]
            content = self._pages.get(number)
            if content is None:
                content = self._pages[number] = bytearray(b"\xff" * size)
            content[start : start + len(piece)] = piece
            done += len(piece)


def _checked(subset: Subset, changing: int, bits: int) -> int:
    """A subset's choice. A choice outside the bits that were to change would be a fault of the test, not of power."""
    chosen = subset(changing, bits)
    if chosen & ~changing:
        raise FlashError("a power cut may only keep bits that the operation would change")
    return chosen


def _blank(content: bytes) -> bool:
    return content == b"\xff" * len(content)
