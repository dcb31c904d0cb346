"""Tag-length-value with one-byte tags and BER lengths (ISO/IEC 7816-4 section 5.2.2.1)."""

from __future__ import annotations

from collections.abc import Iterator

from provision.wire import WireError


def encode(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    if size < 0x100:
        return bytes((tag, 0x81, size)) + value
    if size < 0x10000:
        return bytes((tag, 0x82, size >> 8, size & 0xFF)) + value
    raise WireError(f"a value of {size} bytes under tag {tag:02X}, over 65535")


def decode_one(data: bytes, position: int = 0) -> tuple[int, bytes, int]:
    """(tag, value, position after it). Raises WireError."""
    size = len(data)
    if position + 2 > size:
        raise WireError("a TLV cut short")
    tag, length = data[position], data[position + 1]
    position += 2
    if length >= 0x80:
        width = length - 0x80
        if width not in (1, 2) or position + width > size:
            raise WireError(f"a bad length under tag {tag:02X}")
        length = int.from_bytes(data[position : position + width], "big")
        position += width
    end = position + length
    if end > size:
        raise WireError(f"tag {tag:02X} announces {length} bytes, {size - position} are there")
    return tag, data[position:end], end


def decode(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Every (tag, value) in order."""
    position = 0
    while position < len(data):
        tag, value, position = decode_one(data, position)
        yield tag, value


def decode_map(data: bytes, *, required: tuple[int, ...] = ()) -> dict[int, bytes]:
    """Tags to values where each tag stands at most once. Raises WireError for a repeated or missing tag."""
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        tag, value, position = decode_one(data, position)
        if tag in found:
            raise WireError(f"tag {tag:02X} twice")
        found[tag] = value
    for tag in required:
        if tag not in found:
            raise WireError(f"tag {tag:02X} is missing")
    return found
