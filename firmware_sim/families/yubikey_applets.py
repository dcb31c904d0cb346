"""A YubiKey's applets, as one channel finds them: who has proved the password on it, and to which challenge.

Sources: developers.yubico.com/OATH/YKOATH_Protocol.html; for the status words also the protocol of the applet in
YubiKey NEOs, github.com/Yubico/ykneo-oath; yubikit of yubikey-manager 5.9.2.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

from firmware_sim.core.applet import Caller, Instruction, Run, no_data
from firmware_sim.core.refusal import Refused, TouchNeeded
from provision.wire import WireError, oath, oath_password, tlv, yubikey
from provision.wire.apdu import Command, Sw
from provision.wire.oath import HashKind, Ins, OathKind, Tag

if TYPE_CHECKING:
    from firmware_sim.families.yubikey import YubikeyChip

_FULL, _TRUNCATED = (0, 0), (0, 1)  # P1 P2: the whole HMAC, or its 31 bits


class OathApplet:
    """Implements applet.Applet."""

    aid = oath.OATH_AID

    def __init__(self, chip: YubikeyChip) -> None:
        self._chip = chip
        self._challenge: bytes | None = None  # of the last SELECT
        self._unlocked = False
        guarded = self._guarded
        instructions: dict[int, Instruction] = {
            Ins.PUT: Instruction(guarded(self._put)),
            Ins.DELETE: Instruction(guarded(self._delete)),
            Ins.SET_CODE: Instruction(guarded(self._set_code)),
            Ins.RESET: Instruction(self._reset, p1_p2=(oath.RESET_P1_P2,)),
            Ins.LIST: Instruction(guarded(self._list)),
            Ins.CALCULATE: Instruction(guarded(self._calculate), p1_p2=(_FULL, _TRUNCATED)),
            Ins.VALIDATE: Instruction(self._validate),
            Ins.CALCULATE_ALL: Instruction(guarded(self._calculate_all), p1_p2=(_FULL, _TRUNCATED)),
        }
        if chip.release.rename:
            instructions[Ins.RENAME] = Instruction(guarded(self._rename))
        self.instructions: Mapping[int, Instruction] = instructions

    def select(self) -> bytes:
        chip = self._chip
        self._unlocked = False
        self._challenge = None if chip.access_key is None else chip.random.randbytes(oath.CHALLENGE_SIZE)
        return oath.SelectReply(chip.family.firmware, chip.oath_id, self._challenge).encode()

    def _guarded(self, run: Run) -> Run:
        """Only for whoever has proved the password, if there is one (6982)."""

        def guarded(caller: Caller, command: Command) -> bytes:
            if self._chip.access_key is not None and not self._unlocked:
                raise Refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
            return run(caller, command)

        return guarded

    # The password. There is no counter: it may be guessed as often as anybody likes.

    def _set_code(self, caller: Caller, command: Command) -> bytes:
        new = oath_password.SetCode.decode(command.data)
        if new.access_key is not None and not _answers(new.access_key, new.challenge, new.response):
            raise Refused(Sw.NO_SUCH_OBJECT)
        self._chip.set_access_key(new.access_key)
        self._unlocked = True
        return b""

    def _validate(self, caller: Caller, command: Command) -> bytes:
        key, challenge = self._chip.access_key, self._challenge
        if key is None:
            raise Refused(Sw.NO_SUCH_OBJECT)
        proof = oath_password.Validate.decode(command.data)
        if challenge is None or not _answers(key, challenge, proof.response):
            raise Refused(Sw.WRONG_DATA)
        self._unlocked = True
        return tlv.encode(Tag.FULL_CODE, hmac.digest(key, proof.challenge, "sha1"))

    def _reset(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        self._chip.reset_oath()
        return b""

    # Credentials.

    def _put(self, caller: Caller, command: Command) -> bytes:
        new = oath.Put.decode(command.data)
        if new.hash is HashKind.SHA512 and not self._chip.release.sha512:
            raise Refused(Sw.WRONG_DATA)
        self._chip.credentials.put(new)
        return b""

    def _delete(self, caller: Caller, command: Command) -> bytes:
        self._chip.credentials.delete(oath.Name.decode(command.data).name)
        return b""

    def _rename(self, caller: Caller, command: Command) -> bytes:
        names = oath.Rename.decode(command.data)
        self._chip.credentials.rename(names.old, names.new)
        return b""

    def _list(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        return oath.Listing(tuple((c.kind, c.hash, c.name) for c in self._chip.credentials)).encode()

    def _calculate(self, caller: Caller, command: Command) -> bytes:
        asked = oath.Calculate.decode(command.data)
        found = self._chip.credentials.find(asked.name)
        is_hotp = found.kind is OathKind.HOTP
        if asked.step is None and not is_hotp:
            raise WireError("a code of TOTP needs a challenge: there is no clock")
        if found.touch and not caller.touched:
            raise TouchNeeded(found.name)
        step = self._chip.credentials.count(found) if is_hotp or asked.step is None else asked.step
        return found.answer(step, truncated=bool(command.p2)).encode_code()

    def _calculate_all(self, caller: Caller, command: Command) -> bytes:
        step = oath.AllChallenge.decode(command.data).step
        answers = []
        for found in self._chip.credentials:
            if found.kind is OathKind.HOTP:
                answers.append(oath.Answer(found.name, Tag.NO_CODE, found.digits))
            elif found.touch:
                answers.append(oath.Answer(found.name, Tag.TOUCH_NEEDED, found.digits))
            else:
                answers.append(found.answer(step, truncated=bool(command.p2)))
        return oath.AllAnswers(tuple(answers)).encode()


def _answers(key: bytes, challenge: bytes, response: bytes) -> bool:
    return hmac.compare_digest(hmac.digest(key, challenge, "sha1"), response)


class ManagementApplet:
    """Implements applet.Applet."""

    aid = yubikey.MANAGEMENT_AID

    def __init__(self, chip: YubikeyChip) -> None:
        self._chip = chip
        self.instructions: Mapping[int, Instruction] = {yubikey.Ins.READ_CONFIG: Instruction(self._read_config)}

    def select(self) -> bytes:
        return yubikey.Greeting(self._chip.family.firmware).encode()

    def _read_config(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        chip = self._chip
        form_factor = chip.release.form_factor
        if form_factor is None:
            return yubikey.Config(yubikey.CAN_OATH, chip.serial_number).encode()
        return yubikey.Config(
            usb_supported=yubikey.CAN_OATH,
            serial=chip.serial_number,
            usb_enabled=yubikey.CAN_OATH,
            form_factor=form_factor,
            version=chip.family.firmware,
        ).encode()
