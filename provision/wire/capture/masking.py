"""The language in which harmless fields are described, and the filler that takes every other field's place.

Default deny: whatever a Mask does not describe is filled, and a field that breaks its description is filled as a whole.
Nothing that is shown has room for a secret: numbers have bounds, and there is no Mask for text, which may hold
anything, and persons' names among it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from provision.wire import WireError, tlv

_FILLER = b"*"

Mask = Callable[[bytes], bytes]
"""A copy of a field, as long, in which only what is harmless is left. Raises WireError for a field of another form."""


def hidden(field: bytes) -> bytes:
    """Nothing but filler."""
    return _FILLER * len(field)


def masked(mask: Mask, field: bytes) -> bytes:
    """As `mask` has it, filler where the field is not what the mask describes."""
    try:
        return mask(field)
    except WireError:
        return hidden(field)


def nothing(field: bytes) -> bytes:
    """An empty field."""
    if field:
        raise WireError("bytes where none belong")
    return field


def number(size: int, below: int | None = None) -> Mask:
    """A big-endian number of `size` bytes, smaller than `below`. Over 4 bytes a bound is demanded."""
    if below is None:
        assert size <= 4
        below = 1 << 8 * size

    def mask(field: bytes) -> bytes:
        if len(field) != size or int.from_bytes(field, "big") >= below:
            raise WireError("not that number")
        return field

    return mask


def either(*masks: Mask) -> Mask:
    """The first of `masks` that fits."""

    def mask(field: bytes) -> bytes:
        for one in masks:
            try:
                return one(field)
            except WireError:
                continue
        raise WireError("none of what it may be")

    return mask


def parts(*layout: tuple[int, Mask]) -> Mask:
    """Fields of fixed size one behind the other; what is left after the last one is hidden."""
    least = sum(size for size, _ in layout)

    def mask(field: bytes) -> bytes:
        if len(field) < least:
            raise WireError("cut short")
        out, position = b"", 0
        for size, part in layout:
            out += part(field[position : position + size])
            position += size
        return out + hidden(field[position:])

    return mask


def tagged(fields: Mapping[int, Mask]) -> Mask:
    """TLVs, all of whose tags are in `fields`."""

    def mask(field: bytes) -> bytes:
        out, position = b"", 0
        while position < len(field):
            start = position
            tag, value, position = tlv.decode_one(field, position)
            if tag not in fields:
                raise WireError("a tag that nobody knows")
            # The length stands as it came: BER knows more than one way to write it.
            out += field[start : position - len(value)] + masked(fields[tag], value)
        return out

    return mask
