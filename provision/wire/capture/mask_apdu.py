"""One channel's APDUs, masked: a command's header, a response's status word, and what shown.py lets through."""

from __future__ import annotations

from provision.wire import WireError
from provision.wire.apdu import CLA_PLAIN, INS_SELECT, P1_SELECT_BY_AID, Sw, decode_command, encode_command
from provision.wire.capture.masking import Mask, hidden, masked
from provision.wire.capture.shown import APPLETS, WITHOUT_APPLET, Applet, Instruction

_SHORTEST_AID = 5  # ISO/IEC 7816-4: SELECT takes the first bytes of one as well
_NOTHING_KNOWN = Instruction()


class ApduMask:
    """Follows which applet is selected. Lengths stay, and what was an APDU is one afterwards."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The channel was opened anew: nothing is selected."""
        self._applet: Applet | None = None
        self._selecting: Applet | None = None
        self._reply: Mask = hidden

    def command(self, raw: bytes) -> bytes:
        self._selecting, self._reply = None, hidden
        try:
            command = decode_command(raw)
        except WireError:
            return hidden(raw)
        if (command.cla, command.ins, command.p1) == (CLA_PLAIN, INS_SELECT, P1_SELECT_BY_AID):
            self._selecting = _named(command.data)
            data = hidden(command.data) if self._selecting is None else command.data
        else:
            known = self._applet.instructions if self._applet else WITHOUT_APPLET
            instruction = known.get((command.cla, command.ins), _NOTHING_KNOWN)
            self._reply = instruction.reply
            data = masked(instruction.command, command.data)
        return encode_command(command._replace(data=data))

    def response(self, raw: bytes) -> bytes:
        """The response to the last command. A piece of a longer one has no form of its own and is hidden."""
        data, status = raw[:-2], raw[-2:]
        if len(status) < 2 or status[0] >> 4 not in (0x6, 0x9):
            return hidden(raw)
        if status != Sw.OK.to_bytes(2, "big"):
            return hidden(data) + status
        reply = self._reply
        if self._selecting is not None:
            self._applet, reply = self._selecting, self._selecting.select
        return masked(reply, data) + status


def _named(aid: bytes) -> Applet | None:
    """The applet of that AID, or of one that begins so."""
    if len(aid) < _SHORTEST_AID:
        return None
    return next((applet for applet in APPLETS if applet.aid.startswith(aid)), None)
