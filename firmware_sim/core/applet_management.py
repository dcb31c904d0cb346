"""The management applet: identity, clock, label, keys, factory reset. docs/PROTOCOL.md section 7."""

from __future__ import annotations

from collections.abc import Mapping

from firmware_sim.core.applet import Caller, Instruction, no_data
from firmware_sim.core.machine import PinState
from firmware_sim.core.refusal import Refused
from firmware_sim.core.running import Running
from firmware_sim.seams import Battery
from provision.wire import reference, reference_oath
from provision.wire.apdu import Command, Sw
from provision.wire.reference import BatteryStatus, Ins, PinStatus

_PUT_KEY_P2 = 0x81  # GlobalPlatform 11.8: several keys, the first of them is number 1
_PIN_STATUS = {
    PinState.UNSET: PinStatus.UNSET,
    PinState.SET: PinStatus.SET,
    PinState.BLOCKED: PinStatus.BLOCKED,
}
_BATTERY_STATUS = {
    Battery.GOOD: BatteryStatus.GOOD,
    Battery.LOW: BatteryStatus.LOW,
    Battery.STOPPED: BatteryStatus.STOPPED,
}


class ManagementApplet:
    aid = reference.MANAGEMENT_AID

    def __init__(self, running: Running) -> None:
        self._running = running
        self.instructions: Mapping[int, Instruction] = {
            Ins.GET_INFO: Instruction(self._get_info),
            Ins.GET_TIME: Instruction(self._get_time),
            Ins.SET_TIME: Instruction(self._set_time, secure=True),
            Ins.SET_LABEL: Instruction(self._set_label, secure=True),
            Ins.RESET_RETRY_COUNTER: Instruction(
                self._reset_retry_counter, secure=True, p1_p2=((0, reference.NEW_PIN_P2), (0, reference.KEEP_PIN_P2))
            ),
            Ins.PUT_KEY: Instruction(self._put_key, secure=True, p1_p2=()),
            Ins.FACTORY_RESET: Instruction(self._factory_reset, secure=True, p1_p2=(reference.FACTORY_RESET_P1_P2,)),
        }

    def select(self) -> bytes:
        return b""

    def _get_info(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        running = self._running
        return reference.Info(
            serial=running.serial,
            model=running.family.model,
            firmware=running.family.firmware,
            label=running.label,
            pin_status=_PIN_STATUS[running.pin.state],
            attempts_remaining=running.pin.attempts_remaining or 0,
            credentials_used=len(running.credentials),
            credentials_max=running.credentials.room,
            key_version=running.admin_keys.version,
            battery=_BATTERY_STATUS[running.battery],
        ).encode()

    def _get_time(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        return reference.DeviceTime(self._running.device_time_us()).encode()

    def _set_time(self, caller: Caller, command: Command) -> bytes:
        self._running.set_device_time(reference.SetTime.decode(command.data).seconds)
        return b""

    def _set_label(self, caller: Caller, command: Command) -> bytes:
        self._running.set_label(reference.decode_label(command.data))
        return b""

    def _reset_retry_counter(self, caller: Caller, command: Command) -> bytes:
        if command.p2 == reference.KEEP_PIN_P2:
            no_data(command)
            self._running.pin.restore()
            return b""
        reference_oath.check_pin(command.data)
        self._running.pin.replace(command.data)
        self._running.pin_changed()
        return b""

    def _put_key(self, caller: Caller, command: Command) -> bytes:
        from provision.wire import scp03

        if command.p2 != _PUT_KEY_P2:
            raise Refused(Sw.INCORRECT_P1_P2)
        admin_keys = self._running.admin_keys
        admin_keys.require_version(command.p1)
        version, keys = scp03.decode_put_key(command.data, admin_keys.keys.dek)
        admin_keys.replace(version, keys)
        return scp03.put_key_receipt(version, keys)

    def _factory_reset(self, caller: Caller, command: Command) -> bytes:
        no_data(command)
        self._running.factory_reset()
        return b""
