"""A token as a CCID reader with a card that never leaves: APDUs over its bulk pipes, without pcscd.

Opening the link powers the card on, so whatever it knew of an earlier conversation (applet, PIN, secure channel) is
forgotten; closing it powers it off. As in links/framed.py a session survives only a clean exchange: whatever goes
wrong, the next exchange aborts what the reader still does and powers the card anew. A command is never sent twice.

Time: the reader has `timeout_s` for its answer. Each time extension gives it what it asks for, up to MAX_PENDING_S.

The messages are in wire/ccid.py; section numbers are those of the CCID specification, revision 1.1.
"""

from __future__ import annotations

import contextlib
import math
from typing import Protocol

from provision.closing import Closing
from provision.errors import (
    Busy,
    LinkError,
    LocalProtocolError,
    NotFound,
    OutcomeUnknown,
    ProtocolError,
    RemoteProtocolError,
    Timeout,
)
from provision.links.framed import MAX_PENDING_S
from provision.links.link import LinkOptions
from provision.wire import WireError, apdu
from provision.wire.ccid import (
    HEADER,
    MAX_MESSAGE,
    WAITING_TIME_S,
    Abort,
    Chain,
    Command,
    CommandStatus,
    DataBlock,
    IccPowerOff,
    IccPowerOn,
    IccStatus,
    Response,
    SlotError,
    XfrBlock,
    decode_response,
)
from provision.wire.ccid_transfer import BadMessage, Decoder
from provision.wire.usb_descriptors import CcidDescriptor

SLOT = 0  # a token has one card
MAX_RESPONSE = 65538  # bytes: an extended APDU's longest data and its status word

_LONGEST_SHORT = 5 + 255 + 1
# dwFeatures (5.1)
_AUTOMATIC_VOLTAGE = 0x08
_SHORT_LEVEL, _EXTENDED_LEVEL = 0x20000, 0x40000
_INITIAL_CHARACTERS = (b"\x3b", b"\x3f")  # an ATR begins with one of them (ISO/IEC 7816-3 section 8.1)


class Pipe(Protocol):
    """A CCID interface: its two bulk pipes, a transfer at a time, and the control request that a slot is aborted by.

    Every method raises LinkError when the reader is gone, and Timeout when it is there but does not go along in time.
    """

    @property
    def packet(self) -> int:
        """Bytes of the largest packet that the reader sends: a shorter one ends a transfer."""

    def foretell(self, size: int) -> None:
        """Be told, once, that a read of `size` bytes follows each write, and that there are no other reads."""

    def write(self, transfer: bytes, timeout_s: float) -> None:
        """Send one transfer, with the empty packet that ends it where it needs one.

        When it raises, the reader may have got it all the same: what is lost may be the acknowledgement.
        """

    def read(self, size: int, timeout_s: float) -> bytes:
        """The next transfer, or its first `size` bytes (a multiple of `packet`). May be empty."""

    def abort(self, slot: int, seq: int, timeout_s: float) -> None:
        """Tell the reader to drop what the slot does (5.3.1). A reader that does not know the request is left alone."""

    def close(self) -> None: ...


class CcidLink(Closing):
    """A Link over a CCID interface. Powers the card when constructed, so that a wrong address shows at once."""

    def __init__(self, pipe: Pipe, reader: CcidDescriptor, address: str, options: LinkOptions) -> None:
        self._pipe = pipe
        self._address = address
        self._options = options
        self._clock = options.clock
        self._longest = min(max(reader.dwMaxCCIDMessageLength, HEADER + 1), MAX_MESSAGE)
        self._decoder: Decoder[Response] = Decoder(decode_response, self._longest, pipe.packet)
        self._read_size = -(-self._longest // pipe.packet) * pipe.packet
        pipe.foretell(self._read_size)
        self._extended = bool(reader.dwFeatures & _EXTENDED_LEVEL)
        self._power_select = _power_select(reader)
        # An answer to a program before us may still be in the pipe: it is told from ours by its number.
        self._seq = options.randbytes(1)[0]
        self._powered = False
        self._unanswered = False
        try:
            if not reader.dwFeatures & (_SHORT_LEVEL | _EXTENDED_LEVEL):
                raise LinkError(
                    f"the reader at {address} exchanges TPDUs, which this tool leaves to pcscd",
                    hint="use its pcsc: address",
                )
            self._power_on()
        except BaseException:
            pipe.close()
            raise

    @property
    def address(self) -> str:
        return self._address

    def exchange(self, command: bytes) -> bytes:
        self._check(command)
        if not self._powered:
            self._power_on()
        # Restored below: an exchange that ends in any other way leaves no session behind.
        self._powered = False
        *before, last = self._blocks(command)
        for block in before:
            if self._data_block(self._send(block)).chain != Chain.CONTINUE:
                raise self._nonsense("does not wait for the rest of a command")
        try:
            response = self._response(self._send(last))
        except (OutcomeUnknown, Busy):
            raise
        except LinkError as error:
            raise self._unknown(error.message) from error
        self._powered = True
        return response

    def close(self) -> None:
        # Whoever closes has what it wanted, or knows already that it will not get it.
        with contextlib.suppress(LinkError, ProtocolError):
            if self._unanswered:
                self._abort()
            if self._powered:
                self._powered = False
                self._answer(self._send(IccPowerOff(SLOT, self._next())))
        self._pipe.close()

    def _check(self, command: bytes) -> None:
        """Raises LocalProtocolError for a command that cannot pass this reader."""
        if len(command) > MAX_MESSAGE - HEADER:
            raise LocalProtocolError(f"a command of {len(command)} bytes, over {MAX_MESSAGE - HEADER}")
        if not self._extended and (len(command) > _LONGEST_SHORT or _is_extended(command)):
            raise LocalProtocolError(f"the reader at {self._address} takes short APDUs only, this one is extended")

    def _power_on(self) -> None:
        """Begin a session. Raises LinkError, ProtocolError."""
        if self._unanswered:
            self._abort()
        answer = self._answer(self._send(IccPowerOn(SLOT, self._next(), self._power_select)))
        if (answer.command_status, answer.error) == (CommandStatus.FAILED, SlotError.SLOT_BUSY):
            # Somebody left in the middle of a command.
            self._abort()
            answer = self._answer(self._send(IccPowerOn(SLOT, self._next(), self._power_select)))
        self._refuse_failed(answer)
        if not isinstance(answer, DataBlock) or answer.data[:1] not in _INITIAL_CHARACTERS:
            raise self._nonsense("answers power with something that is no ATR")
        self._powered = True

    def _abort(self) -> None:
        """End what the slot still does (5.3.1 and 6.1.13). Raises LinkError, RemoteProtocolError."""
        self._decoder.reset()
        seq = self._next()
        self._pipe.abort(SLOT, seq, self._options.timeout_s)
        self._answer(self._send(Abort(SLOT, seq)))

    def _blocks(self, command: bytes) -> list[XfrBlock]:
        """The command in as many parts as the reader's messages need."""
        room = self._longest - HEADER
        if len(command) <= room:
            return [XfrBlock(SLOT, self._next(), data=command)]
        if not self._extended:
            raise LocalProtocolError(f"the reader at {self._address} takes {room} bytes, not {len(command)}")
        parts = [command[start : start + room] for start in range(0, len(command), room)]
        levels = [Chain.FIRST, *[Chain.MIDDLE] * (len(parts) - 2), Chain.LAST]
        return [XfrBlock(SLOT, self._next(), 0, level, part) for level, part in zip(levels, parts, strict=True)]

    def _response(self, seq: int) -> bytes:
        """The response APDU, which may come in parts."""
        block = self._data_block(seq)
        if block.chain == Chain.WHOLE:
            return block.data
        response = b""
        expected: tuple[int, ...] = (Chain.FIRST,)
        while block.chain in expected and len(response) + len(block.data) <= MAX_RESPONSE:
            response += block.data
            if block.chain == Chain.LAST:
                return response
            expected = (Chain.MIDDLE, Chain.LAST)
            block = self._data_block(self._send(XfrBlock(SLOT, self._next(), 0, Chain.CONTINUE)))
        raise self._nonsense("sends a response whose parts do not fit together")

    def _data_block(self, seq: int) -> DataBlock:
        answer = self._answer(seq)
        self._refuse_failed(answer)
        if not isinstance(answer, DataBlock):
            raise self._nonsense("answers a command with something that carries no response")
        return answer

    def _refuse_failed(self, answer: Response) -> None:
        """Raise the error for a command that the reader did not carry out to its end."""
        if answer.command_status == CommandStatus.DONE:
            return
        error = answer.error
        if answer.icc_status == IccStatus.ABSENT:
            raise NotFound(f"there is no card in the reader at {self._address}", hint="plug the token in again")
        if error == SlotError.SLOT_BUSY:
            raise Busy(f"the token at {self._address} is still at an earlier command", hint="try again in a moment")
        if error < 0x80:  # the place of a byte that it does not like, or a command that it does not have
            raise LocalProtocolError(f"the reader at {self._address} refused a message: error {error:02X}")
        if answer.icc_status == IccStatus.INACTIVE:
            raise LinkError(f"the token at {self._address} was restarted or has no power")
        raise LinkError(f"the token at {self._address} did not answer its reader: {_described(error)}")

    def _next(self) -> int:
        self._seq = (self._seq + 1) & 0xFF
        return self._seq

    def _send(self, message: Command) -> int:
        """Send a message; its number, which its answer will have."""
        self._unanswered = True
        self._pipe.write(message.encode(), self._options.timeout_s)
        return message.seq

    def _answer(self, seq: int) -> Response:
        """The answer to message `seq`; what answers something of before is passed over."""
        now = self._clock.monotonic()
        give_up = now + self._options.timeout_s + MAX_PENDING_S
        end = now + self._options.timeout_s
        while now < end:
            for message in self._decoder.feed(self._pipe.read(self._read_size, end - now)):
                if isinstance(message, BadMessage):
                    if message.head is None or message.head.seq == seq:
                        raise self._nonsense(f"sends {message.reason}")
                elif (message.slot, message.seq) != (SLOT, seq):
                    pass  # late: it answers something of before
                elif message.command_status == CommandStatus.TIME_EXTENSION:
                    seconds = max(message.error, 1) * WAITING_TIME_S
                    end = min(self._clock.monotonic() + seconds + self._options.timeout_s, give_up)
                    if self._options.on_pending:
                        self._options.on_pending(math.ceil(seconds))
                else:
                    self._unanswered = False
                    return message
            now = self._clock.monotonic()
        raise Timeout(f"the reader at {self._address} does not answer")

    def _nonsense(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError(f"the reader at {self._address} {what}")

    def _unknown(self, cause: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"{cause}; whether the token carried out the last command is unknown",
        )


def _power_select(reader: CcidDescriptor) -> int:
    """bPowerSelect (6.1.1): automatic where the reader can, else the lowest voltage class that it has, 5 V first."""
    if reader.dwFeatures & _AUTOMATIC_VOLTAGE:
        return 0
    voltages = reader.bVoltageSupport & 0x07
    return (voltages & -voltages).bit_length()


def _is_extended(command: bytes) -> bool:
    try:
        return apdu.decode_command(command).extended
    except WireError:
        return False  # no APDU at all: the token will say so


def _described(error: int) -> str:
    try:
        return SlotError(error).name.lower().replace("_", " ")
    except ValueError:
        return f"error {error:02X}"
