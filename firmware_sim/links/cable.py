"""The cable between a token and its port: one or several lines in one sheath, which carry bytes while the cable is
whole and the token has power, and which can be pulled at the very instruction that a test is about."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple

from firmware_sim.core.family import CDC_ACM, Family
from firmware_sim.core.token import Token
from firmware_sim.links.framed import FramedLink
from firmware_sim.links.port import PortError
from firmware_sim.seams import ApduChannel, Clock, DeviceLink, PowerLost
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
_INSTRUCTIONS = {
    "SELECT": Instruction(INS_SELECT, P1_SELECT_BY_AID),
    "CALCULATE ALL": Instruction(INS_SELECT, 0x00),
    "INITIALIZE UPDATE": Instruction(INS_INITIALIZE_UPDATE),
    "EXTERNAL AUTHENTICATE": Instruction(INS_EXTERNAL_AUTHENTICATE),
}


def parse_instruction(text: str, family: Family) -> Instruction:
    """A name that the family's documents use (`SET TIME`, `set-time`) or two hexadecimal digits (`55`).

    Raises ValueError.
    """
    names = {_spelled(ins.name): Instruction(ins) for table in family.instructions for ins in table} | _INSTRUCTIONS
    known = names.get(_spelled(text.strip()))
    if known is not None:
        return known
    if len(text) == 2:
        try:
            return Instruction(int(text, 16))
        except ValueError:
            pass
    raise ValueError(f"no instruction {text!r}; use two hexadecimal digits or one of {', '.join(sorted(names))}")


class Trap:
    """Waits for one instruction, on whichever line it comes."""

    def __init__(self) -> None:
        self._armed: tuple[Instruction, Callable[[], None]] | None = None

    def set(self, instruction: Instruction, action: Callable[[], None]) -> None:
        """Call `action` once, right after the next such instruction has been executed and before its reply leaves."""
        self._armed = (instruction, action)

    def is_for(self, apdu: bytes) -> bool:
        return self._armed is not None and self._armed[0].names(apdu)

    def spring(self) -> None:
        assert self._armed is not None
        _, action = self._armed
        self._armed = None
        action()


class _TrapChannel:
    """An ApduChannel that springs the trap."""

    def __init__(self, channel: ApduChannel, trap: Trap) -> None:
        self._channel = channel
        self._trap = trap
        self._waiting: bytes | None = None  # the instruction that the trap is for came, and waits for a person

    def transmit(self, apdu: bytes) -> bytes | None:
        response = self._channel.transmit(apdu)
        self._waiting = None
        if self._trap.is_for(apdu):
            if response is None:
                self._waiting = apdu
            else:
                self._trap.spring()
        return response

    def poll(self) -> bytes | None:
        response = self._channel.poll()
        if response is not None and self._waiting is not None and self._trap.is_for(self._waiting):
            self._waiting = None
            self._trap.spring()
        return response

    @property
    def deadline(self) -> float | None:
        return self._channel.deadline

    def reset(self) -> None:
        self._waiting = None
        self._channel.reset()


@enum.unique
class _State(enum.Enum):
    WHOLE = enum.auto()
    CUT_AFTER_REPLY = enum.auto()  # what was answered up to now still goes out
    CUT = enum.auto()


class Cable:
    """What a port is made from: every line of the token that it serves. `line` and `framed` open them, once each.

    `power_lost` is called when the power failed while the token was at work; the token is off by then.
    """

    def __init__(self, token: Token, clock: Clock, power_lost: Callable[[], None]) -> None:
        self._token = token
        self._clock = clock
        self._lines: list[_Line] = []
        self._state = _State.WHOLE
        self._power_lost = power_lost
        self.trap = Trap()

    @property
    def family(self) -> Family:
        return self._token.family

    @property
    def serial(self) -> str:
        return self._token.serial

    @property
    def clock(self) -> Clock:
        """True time."""
        return self._clock

    def line(self, make: Callable[[ApduChannel], DeviceLink]) -> DeviceLink:
        """One more line, with a channel of its own. `make` gives what is spoken on it. The line is silent without
        power, silent when cut, and raises nothing, not even PowerLost."""
        line = _Line(self, make(_TrapChannel(self._token.open_channel(), self.trap)))
        self._lines.append(line)
        return line

    def framed(self) -> DeviceLink:
        """One more line, which speaks the frames of docs/PROTOCOL.md section 2. Raises PortError."""
        if CDC_ACM not in self.family.functions:
            raise PortError(f"a {self.family.model} has no serial line; give it another --link")
        boot_id, longest = lambda: self._token.boot_id, self.family.limits.max_apdu
        return self.line(lambda channel: FramedLink(channel, boot_id, longest, self._clock))

    def cut(self, *, after_reply: bool = False) -> None:
        """No byte passes from now on; with `after_reply`, once the replies under way have left."""
        self._state = _State.CUT_AFTER_REPLY if after_reply else _State.CUT

    def mend(self) -> None:
        self._state = _State.WHOLE

    def disconnect(self) -> None:
        """Close the channels of all lines."""
        for line in self._lines:
            line.disconnect()

    def lose_power(self) -> None:
        """The supply failed while the token was at work: no line remembers what was said on it before."""
        self.disconnect()
        self._power_lost()

    @property
    def whole(self) -> bool:
        return self._state is _State.WHOLE

    @property
    def carries(self) -> bool:
        return self.whole and self._token.powered

    @property
    def swallows(self) -> bool:
        """Whether a trap cut the cable while the command ran that is being answered."""
        return self._state is _State.CUT


class _Line:
    """A DeviceLink around another, inside a cable."""

    def __init__(self, cable: Cable, link: DeviceLink) -> None:
        self._cable = cable
        self._link = link

    def receive(self, data: bytes) -> list[bytes]:
        if not self._cable.carries:
            return []
        try:
            replies = self._link.receive(data)
        except PowerLost:
            self._cable.lose_power()
            return []
        return [] if self._cable.swallows else replies

    def poll(self) -> tuple[list[bytes], float | None]:
        if not self._cable.carries:
            return [], None
        try:
            replies, deadline = self._link.poll()
        except PowerLost:
            self._cable.lose_power()
            return [], None
        return ([], None) if self._cable.swallows else (replies, deadline)

    def disconnect(self) -> None:
        self._link.disconnect()
