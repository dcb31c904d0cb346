"""A CCID reader's only slot, whose card is the token's chip and never leaves. Sans-IO: messages in, messages out.

Extended APDU level: an APDU in one message, or in parts joined by wLevelParameter. A command that waits for a person
makes the reader ask for time every second. Section numbers are those of the CCID specification, revision 1.1.
"""

from __future__ import annotations

import math

from firmware_sim.seams import ApduChannel, Clock, PowerLost
from provision.wire.ccid import (
    HEADER,
    WAITING_TIME_S,
    Abort,
    Chain,
    Command,
    CommandStatus,
    DataBlock,
    Escape,
    EscapeReply,
    GetParameters,
    GetSlotStatus,
    IccPowerOff,
    IccPowerOn,
    IccStatus,
    KnownCommand,
    Parameters,
    ResetParameters,
    Response,
    SetParameters,
    SlotError,
    SlotStatus,
    UnknownCommand,
    XfrBlock,
    decode_command,
    status,
)
from provision.wire.ccid_transfer import BadMessage, Decoder

_EXTENSION_INTERVAL_S = 1.0
_VOLTAGES = 4  # automatic, 5 V, 3 V, 1.8 V
# What a card starts with (6.1.7): F=372 D=1; for T=1 an LRC, waiting times BWI 4 CWI 13, blocks of 254 bytes.
_PARAMETERS = {0: bytes((0x11, 0x00, 0x00, 0x0A, 0x00)), 1: bytes((0x11, 0x10, 0x00, 0x4D, 0x00, 0xFE, 0x00))}
_FIRST_PROTOCOL = 1


class CcidSlot:
    """A DeviceLink: `receive` is given bulk-OUT transfers, its replies are bulk-IN ones.

    `atr`: what powering on shows. `max_apdu`: bytes of the longest command. Raises nothing but PowerLost.
    """

    def __init__(self, channel: ApduChannel, atr: bytes, max_apdu: int, clock: Clock) -> None:
        self._channel = channel
        self._atr = atr
        self._max_apdu = max_apdu
        self._clock = clock
        self._decoder: Decoder[Command] = Decoder(decode_command, HEADER + max_apdu)
        self._icc = IccStatus.INACTIVE
        self._protocol = _FIRST_PROTOCOL
        self._parameters = dict(_PARAMETERS)
        self._begun: bytearray | None = None  # the parts of a command that came
        self._busy: int | None = None  # bSeq of the command that the card is at
        self._extension_due = 0.0  # true time at which the reader asks for time again
        self._aborting: int | None = None  # bSeq of an ABORT by control request that waits for its message
        self._aborted: int | None = None  # of one by message that waits for its control request

    def receive(self, data: bytes) -> list[bytes]:
        replies: list[bytes] = []
        for message in self._decoder.feed(data):
            answer = self._bad(message) if isinstance(message, BadMessage) else self._answer(message)
            if answer is not None:
                replies.append(answer.encode())
        return replies

    def poll(self) -> tuple[list[bytes], float | None]:
        if self._busy is None:
            return [], None
        try:
            response = self._channel.poll()
        except PowerLost:
            self.disconnect()
            raise
        if response is not None:
            return [self._done(response).encode()], None
        replies = []
        # A clock that was set back must not silence the reader until it has caught up.
        if not 0 < self._extension_due - self._clock.now() <= _EXTENSION_INTERVAL_S:
            replies.append(self._ask_for_time(self._busy).encode())
        deadline = self._channel.deadline
        return replies, self._extension_due if deadline is None else min(deadline, self._extension_due)

    def disconnect(self) -> None:
        """The host has gone or begins anew: the card is without power."""
        self._decoder.reset()
        self._aborting = self._aborted = None
        self._reset_parameters()
        self._power_off()

    def abort(self, slot: int, seq: int) -> list[bytes] | None:
        """The control request ABORT (5.3.1): the replies that it brings. None: there is no such slot."""
        if slot:
            return None
        if self._busy is not None:
            self._drop_session()
        if self._aborted == seq:
            self._aborted = None
            return [self._slot_status(seq).encode()]
        self._aborting = seq
        return []

    def forget(self) -> None:
        """What was begun on the bulk-OUT pipe is over."""
        self._decoder.reset()

    def _answer(self, message: Command) -> Response | None:
        """None: the answer comes later."""
        seq = message.seq
        if message.slot:
            return self._failure(message, SlotError.BAD_SLOT)
        if isinstance(message, Abort):
            return self._finish_abort(seq)
        if self._aborting is not None:
            return self._failure(message, SlotError.COMMAND_ABORTED)
        if self._busy is not None:
            return self._failure(message, SlotError.SLOT_BUSY)
        match message:
            case IccPowerOn():
                return self._power_on(message)
            case IccPowerOff():
                self._power_off()
                return self._slot_status(seq)
            case GetSlotStatus():
                return self._slot_status(seq)
            case XfrBlock():
                return self._transfer(message)
            case SetParameters():
                return self._set_parameters(message)
            case ResetParameters():
                self._reset_parameters()
                return self._show_parameters(seq)
            case GetParameters():
                return self._show_parameters(seq)
            case _:
                return self._failure(message, SlotError.COMMAND_NOT_SUPPORTED)

    def _power_on(self, message: IccPowerOn) -> Response:
        if message.power_select >= _VOLTAGES:
            return self._failure(message, SlotError.BAD_POWER_SELECT)
        self._power_off()
        self._icc = IccStatus.ACTIVE
        return DataBlock(0, message.seq, self._icc, data=self._atr)

    def _power_off(self) -> None:
        self._icc = IccStatus.INACTIVE
        self._drop_session()

    def _drop_session(self) -> None:
        """What the slot does is over, and what the card knew is forgotten: it was interrupted, or lost its power."""
        self._begun = self._busy = None
        self._channel.reset()

    def _transfer(self, message: XfrBlock) -> Response | None:
        if self._icc is not IccStatus.ACTIVE:
            return self._failure(message, SlotError.ICC_MUTE)
        begun = self._begun
        level = message.level
        if level in (Chain.WHOLE, Chain.FIRST) and begun is None:
            command = bytearray(message.data)
        elif level in (Chain.MIDDLE, Chain.LAST) and begun is not None:
            # One byte over the limit is enough for the chip to refuse it.
            command = begun + message.data[: self._max_apdu + 1 - len(begun)]
        else:
            self._begun = None
            return self._failure(message, SlotError.BAD_LEVEL)
        if level in (Chain.FIRST, Chain.MIDDLE):
            self._begun = command
            return DataBlock(0, message.seq, self._icc, chain=Chain.CONTINUE)
        self._begun = None
        self._busy = message.seq
        try:
            response = self._channel.transmit(bytes(command))
        except PowerLost:
            self.disconnect()
            raise
        return self._ask_for_time(message.seq) if response is None else self._done(response)

    def _done(self, response: bytes) -> Response:
        assert self._busy is not None
        seq, self._busy = self._busy, None
        return DataBlock(0, seq, self._icc, data=response)

    def _ask_for_time(self, seq: int) -> Response:
        """6.2.6: the command needs so many more waiting times of the card: as long as the person may take."""
        now = self._clock.now()
        self._extension_due = now + _EXTENSION_INTERVAL_S
        left = 0.0 if self._channel.deadline is None else self._channel.deadline - now
        units = min(max(math.ceil(left / WAITING_TIME_S), 1), 255)
        return DataBlock(0, seq, status(self._icc, CommandStatus.TIME_EXTENSION), error=units)

    def _finish_abort(self, seq: int) -> Response | None:
        """6.1.13: done when control request and message have come with the same bSeq, in either order."""
        if self._aborting is None:
            self._aborted = seq
            return None
        if self._aborting != seq:
            return self._failure(Abort(0, seq), SlotError.COMMAND_ABORTED)
        self._aborting = None
        return self._slot_status(seq)

    def _set_parameters(self, message: SetParameters) -> Response:
        wanted = self._parameters.get(message.protocol)
        if wanted is None:
            return self._failure(message, SlotError.BAD_POWER_SELECT)
        if len(message.data) != len(wanted):
            return self._failure(message, SlotError.BAD_LENGTH)
        self._protocol = message.protocol
        self._parameters[message.protocol] = message.data
        return self._show_parameters(message.seq)

    def _reset_parameters(self) -> None:
        self._protocol = _FIRST_PROTOCOL
        self._parameters = dict(_PARAMETERS)

    def _show_parameters(self, seq: int) -> Response:
        return Parameters(0, seq, self._icc, protocol=self._protocol, data=self._parameters[self._protocol])

    def _slot_status(self, seq: int) -> Response:
        return SlotStatus(0, seq, self._icc, clock=0 if self._icc is IccStatus.ACTIVE else 1)

    def _failure(self, message: Command, error: int) -> Response:
        kind = SlotStatus if isinstance(message, UnknownCommand) else _REPLIES.get(type(message), SlotStatus)
        return _failure(message.slot, message.seq, kind, self._icc, error)

    def _bad(self, message: BadMessage) -> Response | None:
        """A transfer that is no message. One without a bSeq cannot be answered."""
        if message.head is None:
            return None
        kind = _REPLIES_BY_TYPE.get(message.head.kind, SlotStatus)
        return _failure(message.head.slot, message.head.seq, kind, self._icc, SlotError.BAD_LENGTH)


_REPLIES: dict[type[KnownCommand], type[Response]] = {
    IccPowerOn: DataBlock,
    XfrBlock: DataBlock,
    GetParameters: Parameters,
    ResetParameters: Parameters,
    SetParameters: Parameters,
    Escape: EscapeReply,
}
_REPLIES_BY_TYPE = {kind.TYPE: reply for kind, reply in _REPLIES.items()}


def _failure(slot: int, seq: int, kind: type[Response], icc: int, error: int) -> Response:
    return kind(slot, seq, status(IccStatus.ABSENT if slot else icc, CommandStatus.FAILED), error)
