"""The OATH applet: YKOATH's instructions, the PIN's, and what a clock of its own adds. docs/PROTOCOL.md section 6."""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from firmware_sim.core.applet import Caller, Instruction, no_data
from firmware_sim.core.refusal import Refused, TouchNeeded
from firmware_sim.core.running import Running
from provision.wire import oath, reference_oath, tlv
from provision.wire.apdu import Command, Sw
from provision.wire.oath import Ins, OathKind, Tag

_VERSION = bytes((5, 7, 0))  # the level of YKOATH that this applet speaks
_FULL, _TRUNCATED = (0, 0), (0, 1)  # P1 P2: the whole HMAC, or its 31 bits


class OathApplet:
    aid = oath.OATH_AID

    def __init__(self, running: Running) -> None:
        self._running = running
        self.instructions: Mapping[int, Instruction] = {
            Ins.PUT: Instruction(self._put, secure=True),
            Ins.DELETE: Instruction(self._delete, secure=True),
            Ins.SET_CODE: Instruction(self._no_password, p1_p2=()),
            Ins.RESET: Instruction(self._reset, secure=True, p1_p2=(oath.RESET_P1_P2,)),
            Ins.RENAME: Instruction(self._rename, secure=True),
            Ins.LIST: Instruction(self._list),
            Ins.CALCULATE: Instruction(self._calculate, p1_p2=(_FULL, _TRUNCATED)),
            Ins.VALIDATE: Instruction(self._no_password, p1_p2=()),
            Ins.CALCULATE_ALL: Instruction(self._calculate_all, p1_p2=(_FULL, _TRUNCATED)),
            Ins.VERIFY_PIN: Instruction(self._verify_pin),
            Ins.CHANGE_PIN: Instruction(self._change_pin),
            Ins.SET_PIN: Instruction(self._set_pin),
            Ins.GET_CREDENTIAL: Instruction(self._get_credential),
            Ins.CHECK_VALUE: Instruction(self._check_value, secure=True),
        }

    def select(self) -> bytes:
        running = self._running
        return reference_oath.SelectReply(_VERSION, running.device_id, running.pin.attempts_remaining).encode()

    def _put(self, caller: Caller, command: Command) -> bytes:
        new = reference_oath.Put.decode(command.data)
        self._running.credentials.put(new, new.timing)
        return b""

    def _delete(self, caller: Caller, command: Command) -> bytes:
        self._running.credentials.delete(oath.Name.decode(command.data).name)
        return b""

    def _rename(self, caller: Caller, command: Command) -> bytes:
        names = oath.Rename.decode(command.data)
        self._running.credentials.rename(names.old, names.new)
        return b""

    def _reset(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        self._running.credentials.clear()
        return b""

    def _no_password(self, caller: Caller, command: Command) -> bytes:
        raise Refused(Sw.CONDITIONS_NOT_SATISFIED)

    def _list(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        return oath.Listing(tuple((c.kind, c.hash, c.name) for c in self._running.credentials)).encode()

    def _get_credential(self, caller: Caller, command: Command) -> bytes:
        found = self._running.credentials.find(oath.Name.decode(command.data).name)
        return reference_oath.CredentialRecord(
            name=found.name,
            kind=found.kind,
            hash=found.hash,
            digits=found.digits,
            timing=reference_oath.Timing(found.step_s, found.t0_s, found.flags),
            counter=found.counter if found.kind is OathKind.HOTP else None,
        ).encode()

    def _check_value(self, caller: Caller, command: Command) -> bytes:
        asked = reference_oath.CheckValue.decode(command.data)
        found = self._running.credentials.get(asked.name)
        if found is None:
            return b""  # a status word would come without MAC, and anybody on the wire could say it
        secret = found.secret
        value = hmac.digest(secret, b"check" + asked.nonce, "sha256")
        return tlv.encode(Tag.CHECK, value[: reference_oath.CHECK_VALUE_SIZE])

    def _calculate(self, caller: Caller, command: Command) -> bytes:
        asked = oath.Calculate.decode(command.data)
        found = self._running.credentials.find(asked.name)
        host_gives_the_time = found.kind is OathKind.TOTP and not found.own_clock
        if (asked.step is not None) is not host_gives_the_time or (found.own_clock and not command.p2):
            raise Refused(Sw.CONDITIONS_NOT_SATISFIED)
        if found.pin and not caller.pin_verified:
            raise Refused(Sw.SECURITY_STATUS_NOT_SATISFIED)
        device_time_us, step = None, asked.step
        if found.own_clock:
            device_time_us = self._running.device_time_us()
            step = found.step_at(device_time_us)
        if found.touch and not caller.touched:
            raise TouchNeeded(found.name)
        if step is None:
            step = self._running.credentials.count(found)
        reply = found.answer(step, truncated=bool(command.p2)).encode_code()
        if device_time_us is not None:
            reply += tlv.encode(Tag.DEVICE_TIME, device_time_us.to_bytes(8, "big"))
        return reply

    def _calculate_all(self, caller: Caller, command: Command) -> bytes:
        step = oath.AllChallenge.decode(command.data).step
        answers = []
        for found in self._running.credentials:
            if found.kind is OathKind.HOTP or found.own_clock or (found.pin and not caller.pin_verified):
                answers.append(oath.Answer(found.name, Tag.NO_CODE, found.digits))
            elif found.touch:
                answers.append(oath.Answer(found.name, Tag.TOUCH_NEEDED, found.digits))
            else:
                answers.append(found.answer(step, truncated=bool(command.p2)))
        return oath.AllAnswers(tuple(answers)).encode()

    def _verify_pin(self, caller: Caller, command: Command) -> bytes:
        pin = reference_oath.Pin.decode(command.data).pin
        caller.pin_verified = False
        self._running.pin.verify(pin)
        caller.pin_verified = True
        return b""

    def _change_pin(self, caller: Caller, command: Command) -> bytes:
        pins = reference_oath.ChangePin.decode(command.data)
        caller.pin_verified = False
        self._running.pin.change(pins.pin, pins.new_pin)
        self._running.pin_changed()
        caller.pin_verified = True
        return b""

    def _set_pin(self, caller: Caller, command: Command) -> bytes:
        self._running.pin.set(reference_oath.Pin.decode(command.data).pin)
        return b""
