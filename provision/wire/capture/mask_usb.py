"""A USB device's transfers, masked: what describes the device stays, strings and everything unknown become filler."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Mapping

from provision.wire.capture.mask_ccid import CcidMask
from provision.wire.capture.mask_line import LineMask
from provision.wire.capture.masking import hidden

_SETUP = struct.Struct("<BBHHH")
_IN = 0x80
_GET_DESCRIPTOR, _STRING, _LANGUAGES = 6, 3, 0
# bDescriptorType to the longest bLength that is shown: USB 2.0 table 9-5, the association's ECN, CCID 1.1, CDC 1.2.
_DESCRIPTORS = {1: 18, 2: 9, 4: 9, 5: 7, 6: 10, 7: 9, 11: 8, 0x21: 54, 0x24: 5}
_LINE_CODING = {0x20, 0x21}  # SET_LINE_CODING, GET_LINE_CODING (PSTN 1.2)
_CLASS_TO_INTERFACE = 0x21  # bmRequestType without its direction
# What a device says by itself: CCID's NotifySlotChange and CDC's SERIAL_STATE, as their first byte and their length.
_NOTIFICATIONS = {(0x50, 2), (0xA1, 10)}


@enum.unique
class Function(enum.Enum):
    """What an endpoint other than 0 carries."""

    SERIAL = "frames of a serial line"
    CCID = "a reader's messages"
    NOTIFICATIONS = "a line's or a reader's"


class UsbMask:
    """One device. `endpoints`: the function behind each endpoint's address; what is not named there is hidden."""

    def __init__(self, endpoints: Mapping[int, Function]) -> None:
        self._pipes = dict(_pipes(endpoints))

    def transfer(self, endpoint: int, data: bytes) -> bytes:
        """The data of a transfer, in the order in which they were submitted (OUT) or completed (IN)."""
        return self._pipes.get(endpoint, hidden)(data)

    def control(self, setup: bytes, data: bytes) -> bytes:
        """The data stage that goes with `setup`, the 8 bytes."""
        request_type, request, value, _, _ = _SETUP.unpack(setup)
        if request_type & 0x60 == 0:
            if request_type & _IN and request == _GET_DESCRIPTOR:
                return data if value == _STRING << 8 | _LANGUAGES and len(data) <= 6 else _descriptors(data)
            return data if len(data) <= 2 else hidden(data)  # a status, a configuration, an alternate setting
        if request_type & ~_IN == _CLASS_TO_INTERFACE and request in _LINE_CODING and len(data) == 7 and not data[3]:
            return data  # bit rate (under 2^24), stop bits, parity, data bits
        return hidden(data)


def _pipes(endpoints: Mapping[int, Function]) -> Mapping[int, Callable[[bytes], bytes]]:
    line, reader = LineMask(), CcidMask()
    found: dict[int, Callable[[bytes], bytes]] = {}
    for endpoint, function in endpoints.items():
        to_host = bool(endpoint & _IN)
        if function is Function.SERIAL:
            found[endpoint] = line.piece_to_host if to_host else line.piece_to_token
        elif function is Function.CCID:
            found[endpoint] = reader.to_host if to_host else reader.to_token
        else:
            found[endpoint] = _notification
    return found


def _notification(data: bytes) -> bytes:
    return data if data and (data[0], len(data)) in _NOTIFICATIONS else hidden(data)


def _descriptors(data: bytes) -> bytes:
    """Descriptors one behind the other, the last one perhaps cut short by wLength."""
    out, position = b"", 0
    while position + 2 <= len(data):
        length, kind = data[position], data[position + 1]
        if length < 2:
            break
        one = data[position : position + length]
        out += one if length <= _DESCRIPTORS.get(kind, 0) else one[:2] + hidden(one[2:])
        position += length
    return out + hidden(data[len(out) :])
