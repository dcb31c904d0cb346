"""CCID: a smart card reader's messages over USB, both ways (USB CCID class, revision 1.1, section 6).

    message = bMessageType u8 | dwLength u32 | bSlot u8 | bSeq u8 | 3 bytes of its own | dwLength bytes of data
                                                                                          (integers little-endian)

A message is one USB bulk transfer: wire/ccid_transfer.py joins those. Section numbers are the specification's.

An APDU may be a PIN, a seed or a code, so reprs hide what is inside.
"""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass, field
from typing import ClassVar, Self

from provision.wire import WireError

HEADER = 10  # bytes before the data
MAX_MESSAGE = HEADER + 65544  # a reader at extended APDU level takes no longer one (dwMaxCCIDMessageLength, 5.1)

WAITING_TIME_S = 1.6
"""What one unit of a time extension is worth where the card names no other: ISO/IEC 7816-3's default BWI of 4."""

_HEAD = struct.Struct("<BIBB3s")
_BWI_LEVEL = struct.Struct("<BH")


@enum.unique
class IccStatus(enum.IntEnum):
    """bmICCStatus, bits 0 and 1 of bStatus (6.2.6)."""

    ACTIVE = 0
    INACTIVE = 1  # present, without power
    ABSENT = 2


@enum.unique
class CommandStatus(enum.IntEnum):
    """bmCommandStatus, bits 6 and 7 of bStatus (6.2.6)."""

    DONE = 0
    FAILED = 1  # bError says why
    TIME_EXTENSION = 2  # the card works on; bError is the multiplier of its waiting time


@enum.unique
class SlotError(enum.IntEnum):
    """bError of a failed command (6.2.6). 1 to 127: the offset of the header's byte that is wrong."""

    COMMAND_NOT_SUPPORTED = 0x00
    BAD_LENGTH = 0x01  # dwLength
    BAD_SLOT = 0x05  # bSlot: there is none of that number
    BAD_POWER_SELECT = 0x07  # the first of a message's own bytes: bPowerSelect, bProtocolNum, bBWI
    BAD_LEVEL = 0x08  # wLevelParameter
    SLOT_BUSY = 0xE0
    PIN_CANCELLED = 0xEF
    PIN_TIMEOUT = 0xF0
    BUSY_WITH_AUTO_SEQUENCE = 0xF2
    DEACTIVATED_PROTOCOL = 0xF3
    PROCEDURE_BYTE_CONFLICT = 0xF4
    ICC_CLASS_NOT_SUPPORTED = 0xF5
    ICC_PROTOCOL_NOT_SUPPORTED = 0xF6
    BAD_ATR_TCK = 0xF7
    BAD_ATR_TS = 0xF8
    HARDWARE_ERROR = 0xFB
    XFR_OVERRUN = 0xFC
    XFR_PARITY_ERROR = 0xFD
    ICC_MUTE = 0xFE
    COMMAND_ABORTED = 0xFF


@enum.unique
class Chain(enum.IntEnum):
    """Which part of an APDU a message carries: wLevelParameter (6.1.4) and bChainParameter (6.2.1)."""

    WHOLE = 0x00
    FIRST = 0x01
    LAST = 0x02
    MIDDLE = 0x03
    CONTINUE = 0x10  # no data: the sender waits for the other side's next part


def status(icc: int, command: int = CommandStatus.DONE) -> int:
    """bStatus from its two fields."""
    return icc | command << 6


@dataclass(frozen=True, slots=True)
class _Message:
    """A bulk message. A subclass names its TYPE, packs its own three bytes and its data, and parses them."""

    TYPE: ClassVar[int]

    slot: int
    seq: int

    def encode(self) -> bytes:
        """Raises WireError for a number that its field does not hold."""
        data = self._data()
        if HEADER + len(data) > MAX_MESSAGE:
            raise WireError(f"{len(data)} bytes of data, over {MAX_MESSAGE - HEADER}")
        try:
            return _HEAD.pack(self.TYPE, len(data), self.slot, self.seq, self._own()) + data
        except (struct.error, ValueError):
            raise WireError(f"a field of CCID message {self.TYPE:02X} is out of range") from None

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Raises WireError, also for a message of another type."""
        kind, slot, seq, own, data = _split(raw)
        if kind != cls.TYPE:
            raise WireError(f"CCID message {kind:02X}, not {cls.TYPE:02X}")
        return cls._parse(slot, seq, own, data)

    def _own(self) -> bytes:
        return b"\0\0\0"

    def _data(self) -> bytes:
        return b""

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        _no_data(cls.TYPE, data)
        return cls(slot, seq)


# What a host sends: PC_to_RDR_*, 6.1.


@dataclass(frozen=True, slots=True)
class IccPowerOn(_Message):
    """`power_select`: 0 automatic, 1 for 5 V, 2 for 3 V, 3 for 1.8 V. Answered by DataBlock with the ATR."""

    TYPE = 0x62

    power_select: int = 0

    def _own(self) -> bytes:
        return bytes((self.power_select, 0, 0))

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        _no_data(cls.TYPE, data)
        return cls(slot, seq, own[0])


@dataclass(frozen=True, slots=True)
class IccPowerOff(_Message):
    """Answered by SlotStatus."""

    TYPE = 0x63


@dataclass(frozen=True, slots=True)
class GetSlotStatus(_Message):
    """Answered by SlotStatus."""

    TYPE = 0x65


@dataclass(frozen=True, slots=True)
class XfrBlock(_Message):
    """An APDU, or a part of one. `bwi`: extends the card's waiting time for this command. Answered by DataBlock."""

    TYPE = 0x6F

    bwi: int = 0
    level: int = Chain.WHOLE
    data: bytes = field(default=b"", repr=False)

    def _own(self) -> bytes:
        return _BWI_LEVEL.pack(self.bwi, self.level)

    def _data(self) -> bytes:
        return self.data

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        bwi, level = _BWI_LEVEL.unpack(own)
        return cls(slot, seq, bwi, level, data)


@dataclass(frozen=True, slots=True)
class GetParameters(_Message):
    """Answered by Parameters."""

    TYPE = 0x6C


@dataclass(frozen=True, slots=True)
class ResetParameters(_Message):
    """Answered by Parameters."""

    TYPE = 0x6D


@dataclass(frozen=True, slots=True)
class SetParameters(_Message):
    """`protocol`: 0 for T=0 with 5 bytes of data, 1 for T=1 with 7. Answered by Parameters."""

    TYPE = 0x61

    protocol: int
    data: bytes

    def _own(self) -> bytes:
        return bytes((self.protocol, 0, 0))

    def _data(self) -> bytes:
        return self.data

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        return cls(slot, seq, own[0], data)


@dataclass(frozen=True, slots=True)
class Escape(_Message):
    """The vendor's own. Answered by EscapeReply."""

    TYPE = 0x6B

    data: bytes = field(default=b"", repr=False)

    def _data(self) -> bytes:
        return self.data

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        return cls(slot, seq, data)


@dataclass(frozen=True, slots=True)
class Abort(_Message):
    """Together with the control request ABORT of the same bSeq it ends what the slot is doing. Answered by
    SlotStatus."""

    TYPE = 0x72


@dataclass(frozen=True, slots=True)
class UnknownCommand:
    """A command of another type: it must survive to be answered with COMMAND_NOT_SUPPORTED."""

    kind: int
    slot: int
    seq: int
    own: bytes = field(repr=False)
    data: bytes = field(repr=False)

    def encode(self) -> bytes:
        return _HEAD.pack(self.kind, len(self.data), self.slot, self.seq, self.own) + self.data


# What a reader answers: RDR_to_PC_*, 6.2.


@dataclass(frozen=True, slots=True)
class _Response(_Message):
    """`status`: bStatus, see IccStatus and CommandStatus. `error`: bError, a SlotError or a time multiplier."""

    status: int = 0
    error: int = 0

    @property
    def icc_status(self) -> int:
        return self.status & 0x03

    @property
    def command_status(self) -> int:
        return self.status >> 6


@dataclass(frozen=True, slots=True)
class DataBlock(_Response):
    """A response APDU or a part of one, or an ATR. Without data when the command failed or asks for time."""

    TYPE = 0x80

    chain: int = Chain.WHOLE
    data: bytes = field(default=b"", repr=False)

    def _own(self) -> bytes:
        return bytes((self.status, self.error, self.chain))

    def _data(self) -> bytes:
        return self.data

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        return cls(slot, seq, own[0], own[1], own[2], data)


@dataclass(frozen=True, slots=True)
class SlotStatus(_Response):
    """`clock`: bClockStatus, 0 running, 1 to 3 stopped."""

    TYPE = 0x81

    clock: int = 0

    def _own(self) -> bytes:
        return bytes((self.status, self.error, self.clock))

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        _no_data(cls.TYPE, data)
        return cls(slot, seq, own[0], own[1], own[2])


@dataclass(frozen=True, slots=True)
class Parameters(_Response):
    """The protocol in use and its parameters, as in SetParameters."""

    TYPE = 0x82

    protocol: int = 0
    data: bytes = b""

    def _own(self) -> bytes:
        return bytes((self.status, self.error, self.protocol))

    def _data(self) -> bytes:
        return self.data

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        return cls(slot, seq, own[0], own[1], own[2], data)


@dataclass(frozen=True, slots=True)
class EscapeReply(_Response):
    """The vendor's own."""

    TYPE = 0x83

    data: bytes = field(default=b"", repr=False)

    def _own(self) -> bytes:
        return bytes((self.status, self.error, 0))

    def _data(self) -> bytes:
        return self.data

    @classmethod
    def _parse(cls, slot: int, seq: int, own: bytes, data: bytes) -> Self:
        return cls(slot, seq, own[0], own[1], data)


KnownCommand = (
    IccPowerOn
    | IccPowerOff
    | GetSlotStatus
    | XfrBlock
    | GetParameters
    | ResetParameters
    | SetParameters
    | Escape
    | Abort
)
Command = KnownCommand | UnknownCommand
Response = DataBlock | SlotStatus | Parameters | EscapeReply

_COMMANDS: dict[int, type[KnownCommand]] = {
    kind.TYPE: kind
    for kind in (
        IccPowerOn,
        IccPowerOff,
        GetSlotStatus,
        XfrBlock,
        GetParameters,
        ResetParameters,
        SetParameters,
        Escape,
        Abort,
    )
}
_RESPONSES: dict[int, type[Response]] = {kind.TYPE: kind for kind in (DataBlock, SlotStatus, Parameters, EscapeReply)}


def decode_command(raw: bytes) -> Command:
    """A whole message from a host. Raises WireError."""
    kind, slot, seq, own, data = _split(raw)
    known = _COMMANDS.get(kind)
    if known is None:
        return UnknownCommand(kind, slot, seq, own, data)
    return known._parse(slot, seq, own, data)


def decode_response(raw: bytes) -> Response:
    """A whole message from a reader. Raises WireError, also for a type that is no response."""
    kind, slot, seq, own, data = _split(raw)
    known = _RESPONSES.get(kind)
    if known is None:
        raise WireError(f"a CCID message of type {kind:02X} is no response")
    return known._parse(slot, seq, own, data)


# What a reader says by itself on its interrupt pipe: 6.3.


@dataclass(frozen=True, slots=True)
class NotifySlotChange:
    """One pair (card present, changed since the last one) for each slot."""

    TYPE: ClassVar[int] = 0x50

    slots: tuple[tuple[bool, bool], ...]

    def encode(self) -> bytes:
        bits = 0
        for number, (present, changed) in enumerate(self.slots):
            bits |= (present | changed << 1) << 2 * number
        return bytes((self.TYPE,)) + bits.to_bytes((len(self.slots) + 3) // 4, "little")

    @classmethod
    def decode(cls, raw: bytes, slots: int = 1) -> Self:
        """`slots`: how many the reader has (bMaxSlotIndex + 1). Raises WireError."""
        if len(raw) != 1 + (slots + 3) // 4 or raw[0] != cls.TYPE:
            raise WireError(f"{len(raw)} bytes that are no NotifySlotChange of {slots} slots")
        bits = int.from_bytes(raw[1:], "little")
        return cls(tuple((bool(bits >> 2 * n & 1), bool(bits >> 2 * n & 2)) for n in range(slots)))


# Control requests to the interface: 5.3. Abort carries bSlot in the low byte of wValue and bSeq in the high one.
REQUEST_ABORT = 0x01


def _split(raw: bytes) -> tuple[int, int, int, bytes, bytes]:
    """(bMessageType, bSlot, bSeq, the three own bytes, data)."""
    if len(raw) < HEADER:
        raise WireError(f"a CCID message of {len(raw)} bytes, under {HEADER}")
    kind, length, slot, seq, own = _HEAD.unpack_from(raw)
    if HEADER + length != len(raw):
        raise WireError(f"a CCID message says {length} bytes of data, {len(raw) - HEADER} are there")
    return kind, slot, seq, own, raw[HEADER:]


def _no_data(kind: int, data: bytes) -> None:
    if data:
        raise WireError(f"CCID message {kind:02X} carries no data, {len(data)} bytes are there")
