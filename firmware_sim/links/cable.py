"""The cable between a token and a port: it carries bytes while it is whole and the token has power, and it can be
pulled at the very instruction that a test is about."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, Protocol

from firmware_sim.seams import ApduChannel, DeviceLink, PowerLost
from provision.wire import oath, reference
from provision.wire.apdu import INS_SELECT, P1_SELECT_BY_AID
from provision.wire.globalplatform import INS_EXTERNAL_AUTHENTICATE, INS_INITIALIZE_UPDATE


class Instruction(NamedTuple):
    """Which commands a trap is for. `p1` None: any."""

    ins: int
    p1: int | None = None

    def names(self, apdu: bytes) -> bool:
        return len(apdu) >= 4 and apdu[1] == self.ins and self.p1 in (None, apdu[2])


def _spelled(name: str) -> str:
    return name.upper().replace("_", " ").replace("-", " ")


# SELECT and YKOATH's CALCULATE ALL share an instruction byte; P1 tells them apart.
INSTRUCTIONS: dict[str, Instruction] = {
    **{_spelled(ins.name): Instruction(ins) for ins in (*oath.Ins, *reference.Ins)},
    "SELECT": Instruction(INS_SELECT, P1_SELECT_BY_AID),
    "CALCULATE ALL": Instruction(INS_SELECT, 0x00),
    "INITIALIZE UPDATE": Instruction(INS_INITIALIZE_UPDATE),
    "EXTERNAL AUTHENTICATE": Instruction(INS_EXTERNAL_AUTHENTICATE),
}


def parse_instruction(text: str) -> Instruction:
    """A name of docs/PROTOCOL.md (`SET TIME`, `set-time`) or two hexadecimal digits (`55`). Raises ValueError."""
    known = INSTRUCTIONS.get(_spelled(text.strip()))
    if known is not None:
        return known
    if len(text) == 2:
        try:
            return Instruction(int(text, 16))
        except ValueError:
            pass
    raise ValueError(f"no instruction {text!r}; use two hexadecimal digits or one of {', '.join(sorted(INSTRUCTIONS))}")


class TrapChannel:
    """An ApduChannel that tells when an instruction has been executed."""

    def __init__(self, channel: ApduChannel) -> None:
        self._channel = channel
        self._trap: tuple[Instruction, Callable[[], None]] | None = None
        self._trapped_waits = False  # the instruction came, and waits for a person

    def set_trap(self, instruction: Instruction, action: Callable[[], None]) -> None:
        """Call `action` once, right after the next such instruction has been executed and before its reply leaves."""
        self._trap = (instruction, action)
        self._trapped_waits = False

    def transmit(self, apdu: bytes) -> bytes | None:
        response = self._channel.transmit(apdu)
        if self._trap is not None and self._trap[0].names(apdu):
            self._trapped_waits = response is None
            if response is not None:
                self._spring()
        return response

    def poll(self) -> bytes | None:
        response = self._channel.poll()
        if response is not None and self._trapped_waits:
            self._spring()
        return response

    @property
    def deadline(self) -> float | None:
        return self._channel.deadline

    def reset(self) -> None:
        self._trapped_waits = False
        self._channel.reset()

    def _spring(self) -> None:
        assert self._trap is not None
        _, action = self._trap
        self._trap = None
        self._trapped_waits = False
        action()


class HasPower(Protocol):
    """A token, as far as its cable knows it."""

    @property
    def powered(self) -> bool: ...


@enum.unique
class _State(enum.Enum):
    WHOLE = enum.auto()
    CUT_AFTER_REPLY = enum.auto()  # what was answered up to now still goes out
    CUT = enum.auto()


class Cable:
    """A DeviceLink around another: silent without power, silent when cut. Raises nothing, not even PowerLost.

    `power_lost` is called when the power failed while the token was at work; the token is off by then.
    """

    def __init__(self, link: DeviceLink, token: HasPower, power_lost: Callable[[], None]) -> None:
        self._link = link
        self._token = token
        self._power_lost = power_lost
        self._state = _State.WHOLE

    def cut(self, *, after_reply: bool = False) -> None:
        """No byte passes from now on; with `after_reply`, once the replies under way have left."""
        self._state = _State.CUT_AFTER_REPLY if after_reply else _State.CUT

    def mend(self) -> None:
        self._state = _State.WHOLE

    def receive(self, data: bytes) -> list[bytes]:
        if not self._carries:
            return []
        try:
            replies = self._link.receive(data)
        except PowerLost:
            self._power_lost()
            return []
        return [] if self._swallows else replies

    def poll(self) -> tuple[list[bytes], float | None]:
        if not self._carries:
            return [], None
        try:
            replies, deadline = self._link.poll()
        except PowerLost:
            self._power_lost()
            return [], None
        return ([], None) if self._swallows else (replies, deadline)

    def disconnect(self) -> None:
        self._link.disconnect()

    @property
    def _carries(self) -> bool:
        return self._state is _State.WHOLE and self._token.powered

    @property
    def _swallows(self) -> bool:
        """Whether a trap cut the cable while the command ran that is being answered."""
        return self._state is _State.CUT
