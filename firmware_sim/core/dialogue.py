"""A conversation with the applets of a token: selection, classes, the secure channel around a command, replies cut
to Le.

docs/PROTOCOL.md section 3, for whichever family has applets in its chip. A command is carried out by the selected
applet; whatever goes wrong in it becomes a status word here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from firmware_sim.core.chip import Waiting
from firmware_sim.core.refusal import Refused, TouchNeeded
from firmware_sim.journal import StoreFull
from firmware_sim.seams import FlashError
from provision.wire import WireError
from provision.wire.apdu import (
    CLA_GLOBALPLATFORM,
    CLA_PLAIN,
    CLA_SECURE,
    INS_SELECT,
    MAX_SHORT,
    P1_SELECT_BY_AID,
    Command,
    Sw,
    decode_command,
)
from provision.wire.globalplatform import CHALLENGE_SIZE, INS_EXTERNAL_AUTHENTICATE, INS_INITIALIZE_UPDATE
from provision.wire.oath import Ins

if TYPE_CHECKING:
    from firmware_sim.core.admin_keys import AdminKeys
    from firmware_sim.core.applet import Applet
    from firmware_sim.core.family import Family
    from firmware_sim.core.scp import Handshake, SecureSession
    from firmware_sim.seams import Random

_CHAINING = 0x10
_CLA_SECURE_ISO = 0x04  # what GlobalPlatform's 84 is to ISO/IEC 7816-4's own instructions
_MIN_AID = 5  # ISO/IEC 7816-4 section 12.2.3: an AID has at least a registered identifier of 5 bytes
_OK = b"\x90\x00"


class AppletChip(Protocol):
    """What a dialogue needs of its chip."""

    family: Family
    random: Random
    device_id: bytes

    @property
    def admin_keys(self) -> AdminKeys | None:
        """Of the secure channel; None: the chip does not speak it."""


@dataclass(frozen=True, slots=True)
class StatusWords:
    """What families have different words for. `untouched`: nobody pressed the button in time."""

    wrong_p1_p2: int = Sw.INCORRECT_P1_P2
    untouched: int = Sw.CONDITIONS_NOT_SATISFIED


class AppletDialogue:
    """Implements chip.Dialogue, applet.Caller and running.Holder. `applets`: what SELECT finds."""

    def __init__(
        self,
        chip: AppletChip,
        applets: Sequence[Applet],
        abandon: Callable[[], None],
        words: StatusWords = StatusWords(),  # frozen: no call can change what the next one gets
    ) -> None:
        self._chip = chip
        self._applets = applets
        self._abandon = abandon
        self._words = words
        self.pin_verified = False
        self.touched = False
        self._selected: Applet | None = None
        self._handshake: Handshake | None = None
        self._session: SecureSession | None = None
        self._remaining = b""  # of a reply longer than Le

    def revoke(self) -> None:
        self.pin_verified = False
        self._handshake = self._session = None
        self._abandon()

    def answer(self, apdu: bytes) -> bytes | Waiting:
        command = decode_command(apdu)
        cla = command.cla
        if cla == CLA_PLAIN:
            if command.ins == Ins.SEND_REMAINING:
                return self._send_remaining(command)
            self._remaining = b""
            if command.ins == INS_SELECT and command.p1 == P1_SELECT_BY_AID:
                return self._cut(self._select(command), command.le)
            return self._perform(command, None)
        self._remaining = b""
        if cla & _CHAINING:
            raise Refused(Sw.CHAINING_NOT_SUPPORTED)
        keys = self._chip.admin_keys
        if keys is not None and cla in (CLA_SECURE, _CLA_SECURE_ISO):
            return self._secure(command)
        if keys is not None and cla == CLA_GLOBALPLATFORM:
            return self._cut(self._initialize_update(keys, command) + _OK, command.le)
        raise Refused(Sw.CLA_NOT_SUPPORTED)

    def _select(self, command: Command) -> bytes:
        self.pin_verified = False
        self._handshake = self._session = None
        if command.p2:
            raise Refused(self._words.wrong_p1_p2)
        wanted = command.data
        if len(wanted) >= _MIN_AID:
            for applet in self._applets:
                if applet.aid.startswith(wanted):
                    self._selected = applet
                    return applet.select() + _OK
        raise Refused(Sw.FILE_NOT_FOUND)

    def _initialize_update(self, admin_keys: AdminKeys, command: Command) -> bytes:
        if command.ins != INS_INITIALIZE_UPDATE or self._selected is None:
            raise Refused(Sw.INS_NOT_SUPPORTED)
        if command.p2:
            raise Refused(self._words.wrong_p1_p2)
        if len(command.data) != CHALLENGE_SIZE:
            raise Refused(Sw.WRONG_LENGTH)
        admin_keys.require_version(command.p1)
        from firmware_sim.core.scp import Handshake

        self._session = None
        self._handshake = Handshake(
            keys=admin_keys.keys,
            version=admin_keys.version,
            device_id=self._chip.device_id,
            host_challenge=command.data,
            random=self._chip.random,
        )
        return self._handshake.reply

    def _secure(self, command: Command) -> bytes | Waiting:
        if self._handshake is not None and command.ins == INS_EXTERNAL_AUTHENTICATE:
            return self._external_authenticate(self._handshake, command)
        session = self._session
        if session is None:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        if not session.accept(command):
            self._session = None
            raise Refused(Sw.INCORRECT_SM_DATA)
        return self._perform(command, session)

    def _external_authenticate(self, handshake: Handshake, command: Command) -> bytes:
        try:
            self._session = handshake.authenticate(command)
        except Refused as refused:
            if refused.sw == Sw.AUTHENTICATION_FAILED:
                self._handshake = None
            raise
        self._handshake = None
        return _OK

    def _perform(self, command: Command, session: SecureSession | None) -> bytes | Waiting:
        """Let the selected applet carry out a command. Raises PowerLost.

        `session`: the secure channel that `command` came by and was accepted in.
        """
        sw: int = Sw.OK
        try:
            data = self._instruct(command if session is None else session.decrypt(command), session)
        except TouchNeeded as touch:
            return Waiting(touch.name, lambda: self._touched(command, session), self._words.untouched)
        except Refused as refused:
            data, sw = b"", refused.sw
        except WireError:
            data, sw = b"", Sw.WRONG_DATA
        except StoreFull:
            data, sw = b"", Sw.NO_SPACE
        except FlashError:
            data, sw = b"", Sw.MEMORY_FAILURE
        if session is not None:
            data = session.wrap(data, sw)
        if not data:
            return sw.to_bytes(2, "big")
        return self._cut(data + sw.to_bytes(2, "big"), command.le)

    def _touched(self, command: Command, session: SecureSession | None) -> bytes | Waiting:
        self.touched = True
        try:
            return self._perform(command, session)
        finally:
            self.touched = False

    def _instruct(self, command: Command, session: SecureSession | None) -> bytes:
        applet = self._selected
        instruction = None if applet is None else applet.instructions.get(command.ins)
        if instruction is None:
            raise Refused(Sw.INS_NOT_SUPPORTED)
        run, secure, p1_p2 = instruction
        if secure and session is None:
            raise Refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
        if p1_p2 and (command.p1, command.p2) not in p1_p2:
            raise Refused(self._words.wrong_p1_p2)
        return run(self, command)

    # The reply.

    def _send_remaining(self, command: Command) -> bytes:
        if command.p1 or command.p2:
            raise Refused(self._words.wrong_p1_p2)
        if command.data:
            raise Refused(Sw.WRONG_LENGTH)
        if not self._remaining:
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        return self._cut(self._remaining, command.le)

    def _cut(self, reply: bytes, le: int | None) -> bytes:
        """The part of a reply (data and status word) that Le and the longest APDU allow; the rest waits."""
        room = min(le or MAX_SHORT, self._chip.family.limits.max_apdu - 2)
        waiting = len(reply) - 2 - room
        if waiting <= 0:
            self._remaining = b""
            return reply
        self._remaining = reply[room:]
        return reply[:room] + bytes((Sw.MORE_DATA >> 8, waiting if waiting < 256 else 0))
