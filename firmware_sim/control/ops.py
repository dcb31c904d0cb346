"""The operations of the control channel: one table, from the word in a request to what a hand does."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from firmware_sim.control.errors import ControlError
from firmware_sim.control.fields import Fields
from firmware_sim.control.rig import Rig
from firmware_sim.flash import Moment
from firmware_sim.links.cable import parse_instruction
from firmware_sim.oscillator_state import BatteryEvent
from firmware_sim.seams import OscillatorError
from firmware_sim.temperature import TemperatureProfile


@enum.unique
class Power(enum.Enum):
    ON = "on"
    OFF = "off"
    CUT = "cut"


@enum.unique
class CableMove(enum.Enum):
    PLUG = "plug"
    UNPLUG = "unplug"


@enum.unique
class BatteryMove(enum.Enum):
    LOW = "low"
    DEAD = "dead"
    REPLACE = "replace"


_BATTERY_EVENTS = {
    BatteryMove.LOW: BatteryEvent.WEAKENED,
    BatteryMove.DEAD: BatteryEvent.DIED,
    BatteryMove.REPLACE: BatteryEvent.REPLACED,
}
_FAR_OPERATION = 1_000_000
_LARGEST_SEED = 2**64 - 1

Reply = dict[str, Any]


def _ping(rig: Rig, fields: Fields) -> Reply:
    fields.end()
    return {}


def _advance(rig: Rig, fields: Fields) -> Reply:
    seconds = fields.duration()
    fields.end()
    return {"true_time_s": rig.advance(seconds)}


def _age(rig: Rig, fields: Fields) -> Reply:
    seconds = fields.duration()
    fields.end()
    rig.age(seconds)
    return {"aged_s": float(seconds)}


def _press(rig: Rig, fields: Fields) -> Reply:
    fields.end()
    return {"screen": rig.press()}


def _type_pin(rig: Rig, fields: Fields) -> Reply:
    pin = fields.text("pin")
    fields.end()
    return {"screen": rig.type_pin(pin)}


def _screen(rig: Rig, fields: Fields) -> Reply:
    fields.end()
    return {"screen": rig.screen()}


def _power(rig: Rig, fields: Fields) -> Reply:
    state = fields.choice("state", Power)
    if state is Power.ON:
        hold = fields.flag("hold_button")
        fields.end()
        rig.power_on(button_held=hold)
    elif state is Power.CUT and fields.has("in_operation"):
        operation = fields.integer("in_operation", 1, 1, _FAR_OPERATION)
        moment = fields.choice("moment", Moment) if fields.has("moment") else Moment.INSIDE
        seed = fields.integer("seed", 0, 0, _LARGEST_SEED)
        fields.end()
        rig.cut_power_in(operation, moment, seed)
    else:
        fields.end()
        rig.power_off()
    return {"powered": rig.powered}


def _cable(rig: Rig, fields: Fields) -> Reply:
    move = fields.choice("action", CableMove)
    if move is CableMove.PLUG:
        fields.end()
        return {"plugged": True, "address": rig.plug_in()}
    if fields.has("after"):
        try:
            instruction = parse_instruction(fields.text("after"), rig.family)
        except ValueError as error:
            raise ControlError(f"cable: {error}") from None
        before_reply = fields.flag("before_reply")
        fields.end()
        rig.unplug_after(instruction, before_reply=before_reply)
        return {"plugged": True}
    fields.end()
    rig.unplug()
    return {"plugged": False}


def _oscillator(rig: Rig, fields: Fields) -> Reply:
    parameters: dict[str, Any] = {}
    for name in ("offset_s", "rate_error_ppm", "ageing_ppm_per_year", "temperature_c"):
        value = fields.number(name)
        if value is not None:
            parameters[name] = value
    if fields.has("jitter_us"):
        parameters["jitter_us"] = fields.integer("jitter_us", 0, 0, 100_000)
    profile = fields.text("profile") if fields.has("profile") else None
    fields.end()
    if profile is not None and "temperature_c" in parameters:
        raise ControlError("oscillator: give temperature_c or profile, not both")
    try:
        if profile is not None:
            parameters["temperature"] = TemperatureProfile.named(profile)
        elif "temperature_c" in parameters:
            parameters["temperature"] = TemperatureProfile.constant(parameters.pop("temperature_c"))
    except OscillatorError as error:
        raise ControlError(f"oscillator: {error}") from None
    if not parameters:
        raise ControlError(
            "oscillator: nothing to change; give offset_s, rate_error_ppm, ageing_ppm_per_year, jitter_us, "
            "temperature_c or profile"
        )
    rig.change_oscillator(**parameters)
    return {**rig.truth()}


def _battery(rig: Rig, fields: Fields) -> Reply:
    move = fields.choice("event", BatteryMove)
    fields.end()
    rig.battery(_BATTERY_EVENTS[move])
    return {"battery": rig.truth()["battery"]}


def _stop(rig: Rig, fields: Fields) -> Reply:
    fields.end()
    rig.stop()
    return {}


def _inspect(rig: Rig, fields: Fields) -> Reply:
    fields.end()
    return rig.inspect()


OPS: dict[str, Callable[[Rig, Fields], Reply]] = {
    "ping": _ping,
    "advance": _advance,
    "age": _age,
    "press": _press,
    "type-pin": _type_pin,
    "screen": _screen,
    "power": _power,
    "cable": _cable,
    "oscillator": _oscillator,
    "battery": _battery,
    "inspect": _inspect,
    "stop": _stop,
}


def perform(rig: Rig, request: dict[str, Any]) -> Reply:
    """Carry out one request: the fields of its reply. Raises ControlError; then nothing was changed."""
    given = dict(request)
    op = given.pop("op", None)
    if not isinstance(op, str) or op not in OPS:
        what = "the field 'op' is missing" if op is None else "an unknown op"
        raise ControlError(f"{what}; there are {', '.join(OPS)}")
    return OPS[op](rig, Fields(op, given))
