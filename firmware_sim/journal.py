"""A journalled key-value store on flash: after a power cut at any bit it holds the old state or the new one.

The pages form two banks. One is live:

    bank    = header | record | record | ... | erased
    header  = "HWJ1" | generation u32 | CRC-32 u32 of the two
    record  = length u16 of the payload | CRC-32 u32 | payload
    payload = (key u16 | size u16, FFFF: deleted | value)*

A transaction is one record, appended by one write; its CRC also covers the bank's generation and the record's
address, so nothing left over from another time or place can pass for it. When the bank is full, the whole state goes
as one record into the other bank, whose header is written last: from that write on it is the live one, because the
valid header with the highest generation counts. Then the bank left behind is erased.

What a cut leaves behind is a tail that is neither a record nor erased. It is never appended to: the next transaction
moves to the other bank.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping

from firmware_sim.seams import Flash, FlashError, FlashWornOut

_MAGIC = b"HWJ1"
_HEADER = struct.Struct(">4sII")
_RECORD = struct.Struct(">HI")
_SALT = struct.Struct(">II")  # generation, address: what a record's CRC starts from
_ENTRY = struct.Struct(">HH")
_NONE = 0xFFFF  # a length that erased flash shows, and the size that means "deleted"
_LONGEST_PAYLOAD = 0xFFFE


class StoreFull(FlashError):
    """The state would not fit into one bank. The state before is intact."""


class StoreCorrupt(FlashError):
    """The flash holds data, but no bank of it is ours."""


class Store:
    """The mounted journal. Values live in memory too, so reading costs no flash access.

    One Store at a time owns a flash. After PowerLost it is useless: open a new one.
    """

    def __init__(
        self, flash: Flash, *, bank: int, generation: int, values: dict[int, bytes], end: int, tail_is_erased: bool
    ) -> None:
        """Use `Store.open`. `end`: where in the bank the next record goes."""
        self._flash = flash
        self._bank = bank
        self._generation = generation
        self._values = values
        self._end = end
        self._tail_is_erased = tail_is_erased
        self._bank_size = _bank_size(flash)

    @classmethod
    def open(cls, flash: Flash) -> Store:
        """Mount, or format an erased flash; finishes what a power cut interrupted.

        Raises StoreCorrupt on a flash that holds something else, FlashError, PowerLost.
        """
        size = _bank_size(flash)
        images = [flash.read(bank * size, size) for bank in (0, 1)]
        generations = [_generation(image) for image in images]
        bank = 0 if generations[0] > generations[1] else 1
        if not generations[bank]:
            return cls._format(flash, images)
        values, end = _replay(images[bank], generations[bank], bank * size)
        tail_is_erased = _erased(images[bank][end:])
        store = cls(
            flash, bank=bank, generation=generations[bank], values=values, end=end, tail_is_erased=tail_is_erased
        )
        if not _erased(images[1 - bank]):
            store._wipe(1 - bank)
            flash.sync()
        return store

    @classmethod
    def _format(cls, flash: Flash, images: list[bytes]) -> Store:
        """Write the first header. Cut halfway, it leaves bits in the place of bank 0's header only, and is repeated."""
        if not (_erased(images[0][_HEADER.size :]) and _erased(images[1])):
            raise StoreCorrupt("this flash holds data but no valid journal; erase it to start anew")
        store = cls(flash, bank=1, generation=0, values={}, end=0, tail_is_erased=False)
        store._move({})
        return store

    def get(self, key: int) -> bytes | None:
        """The value, None if there is none."""
        return self._values.get(key)

    def items(self) -> Iterator[tuple[int, bytes]]:
        """Keys and values by ascending key."""
        return iter(sorted(self._values.items()))

    def commit(self, changes: Mapping[int, bytes | None], *, scrub: bool = False) -> None:
        """Make all of `changes` (None deletes) or, whatever happens, none of them; return once they are safe.

        Keys are u16. `scrub`: what is replaced or deleted is also physically gone before this returns; otherwise it
        goes when the bank is full. Raises StoreFull, FlashWornOut or another FlashError (the state before is
        intact), PowerLost.
        """
        values = self._values.copy()
        for key, value in changes.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = bytes(value)
        payload = _payload(changes)
        if scrub or not self._tail_is_erased or self._end + _RECORD.size + len(payload) > self._bank_size:
            self._move(values)
        else:
            self._append(payload)
        self._values = values

    def _append(self, payload: bytes) -> None:
        address = self._bank * self._bank_size + self._end
        record = _record(payload, self._generation, address) if payload else b""
        self._flash.write(address, record)
        self._flash.sync()
        self._end += len(record)

    def _move(self, values: Mapping[int, bytes]) -> None:
        """Write `values` into the other bank, make it the live one, and erase the one left behind."""
        target, generation = 1 - self._bank, self._generation + 1
        base = target * self._bank_size
        payload = _payload(dict(sorted(values.items())))
        if _HEADER.size + _RECORD.size + len(payload) > self._bank_size or len(payload) > _LONGEST_PAYLOAD:
            raise StoreFull(f"{len(payload)} bytes of state do not fit into a bank of {self._bank_size}")
        self._erase(target)
        record = _record(payload, generation, base + _HEADER.size) if payload else b""
        self._flash.write(base + _HEADER.size, record)
        self._flash.write(base, _header(generation))
        self._wipe(self._bank)
        self._flash.sync()
        self._bank, self._generation = target, generation
        self._end = _HEADER.size + len(record)
        self._tail_is_erased = True

    def _pages(self, bank: int) -> Iterator[tuple[int, bytes]]:
        """The pages of a bank that are not erased: number and content."""
        size = self._flash.page_size
        first = bank * self._bank_size // size
        for page in range(first, first + self._bank_size // size):
            content = self._flash.read(page * size, size)
            if not _erased(content):
                yield page, content

    def _erase(self, bank: int) -> None:
        """Make a bank writable. Raises FlashWornOut."""
        for page, _ in self._pages(bank):
            self._flash.erase(page)

    def _wipe(self, bank: int) -> None:
        """Make a bank's content unreadable for good. A page that can no longer be erased can still be blacked out."""
        for page, content in self._pages(bank):
            try:
                self._flash.erase(page)
            except FlashWornOut:
                self._flash.write(page * len(content), bytes(len(content)))


def _bank_size(flash: Flash) -> int:
    return flash.page_size * (flash.page_count // 2)


def _erased(data: bytes) -> bool:
    return data == b"\xff" * len(data)


def _header(generation: int) -> bytes:
    start = _HEADER.pack(_MAGIC, generation, 0)[:-4]
    return start + zlib.crc32(start).to_bytes(4)


def _generation(image: bytes) -> int:
    """The generation of a bank, from 1; 0 if it has no valid header."""
    magic, generation, _ = _HEADER.unpack_from(image)
    return generation if magic == _MAGIC and image.startswith(_header(generation)) else 0


def _payload(changes: Mapping[int, bytes | None]) -> bytes:
    """Raises StoreFull for a value that no bank can hold."""
    parts = []
    for key, value in changes.items():
        if value is None:
            parts.append(_ENTRY.pack(key, _NONE))
        elif len(value) < _NONE:
            parts.append(_ENTRY.pack(key, len(value)) + value)
        else:
            raise StoreFull(f"a value of {len(value)} bytes is too long")
    return b"".join(parts)


def _record(payload: bytes, generation: int, address: int) -> bytes:
    return _RECORD.pack(len(payload), _record_crc(payload, generation, address)) + payload


def _record_crc(payload: bytes, generation: int, address: int) -> int:
    return zlib.crc32(payload, zlib.crc32(_SALT.pack(generation, address)))


def _replay(image: bytes, generation: int, base: int) -> tuple[dict[int, bytes], int]:
    """The values that a live bank's records add up to, and where the first thing that is no record begins."""
    values: dict[int, bytes] = {}
    position = _HEADER.size
    while position + _RECORD.size <= len(image):
        length, crc = _RECORD.unpack_from(image, position)
        start = position + _RECORD.size
        payload = image[start : start + length]
        if len(payload) < length or crc != _record_crc(payload, generation, base + position):
            break
        _apply(payload, values)
        position = start + length
    return values, position


def _apply(payload: bytes, values: dict[int, bytes]) -> None:
    position = 0
    while position < len(payload):
        try:
            key, size = _ENTRY.unpack_from(payload, position)
        except struct.error:
            raise StoreCorrupt("a journal record of a wrong form under a right checksum") from None
        position += _ENTRY.size
        if size == _NONE:
            values.pop(key, None)
            continue
        values[key] = payload[position : position + size]
        if len(values[key]) < size:
            raise StoreCorrupt("a journal record of a wrong form under a right checksum")
        position += size
