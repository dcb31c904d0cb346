"""What is known to be harmless, for each applet. An applet or instruction that is not here shows no data at all.

Harmless are versions, states, counts, times and the kinds of credentials. Not here, and so masked: PINs, secrets,
codes, check values and challenges, names and labels and serials (text may hold anything), and every byte inside a
secure channel: whoever has the capture has the published factory keys as well.

A family that has an applet of its own adds an Applet to APPLETS; one that knows no SELECT adds to WITHOUT_APPLET.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from provision.wire import molto2, oath, reference, sm4_secure, yubikey
from provision.wire.apdu import CLA_GLOBALPLATFORM, CLA_PLAIN
from provision.wire.capture.masking import Mask, either, hidden, nothing, number, parts, tagged
from provision.wire.globalplatform import INS_INITIALIZE_UPDATE


class Instruction(NamedTuple):
    """The data of a command, and of its reply with 9000."""

    command: Mask = hidden
    reply: Mask = hidden


@dataclass(frozen=True, slots=True)
class Applet:
    """`aid`: itself harmless. `select`: the reply to SELECT. `instructions`: by (CLA, INS)."""

    aid: bytes
    select: Mask
    instructions: Mapping[tuple[int, int], Instruction]


_UNIX_SECONDS = number(8, 1 << 40)
_UNIX_MICROSECONDS = number(8, 1 << 52)  # to the year 2112
_STEP = number(8, 1 << 40)
_BYTE = number(1)
_DIGITS = number(1, 10)

_CODE = parts((1, _DIGITS))
_TIMING = parts((2, number(2, 3601)), (8, _UNIX_SECONDS), (1, number(1, 8)))
_KIND = parts((1, _BYTE))

# GlobalPlatform: diversification data 10 | key version, protocol, its parameter | challenge and cryptogram.
_SECURE_CHANNEL = {
    (CLA_GLOBALPLATFORM, INS_INITIALIZE_UPDATE): Instruction(reply=parts((10, hidden), (3, number(3)))),
}

OATH = Applet(
    oath.OATH_AID,
    tagged(
        {
            oath.Tag.VERSION: number(3),
            oath.Tag.NAME: hidden,
            oath.Tag.CHALLENGE: hidden,
            oath.Tag.ALGORITHM: _BYTE,
            oath.Tag.ATTEMPTS: _BYTE,
        }
    ),
    {
        **_SECURE_CHANNEL,
        (CLA_PLAIN, oath.Ins.LIST): Instruction(nothing, tagged({oath.Tag.NAME_LIST: _KIND})),
        (CLA_PLAIN, oath.Ins.CALCULATE): Instruction(
            tagged({oath.Tag.NAME: hidden, oath.Tag.CHALLENGE: either(nothing, _STEP)}),
            tagged(
                {oath.Tag.CODE: _CODE, oath.Tag.FULL_CODE: _CODE, oath.Tag.DEVICE_TIME: _UNIX_MICROSECONDS},
            ),
        ),
        (CLA_PLAIN, oath.Ins.CALCULATE_ALL): Instruction(
            tagged({oath.Tag.CHALLENGE: _STEP}),
            tagged(
                {
                    oath.Tag.NAME: hidden,
                    oath.Tag.CODE: _CODE,
                    oath.Tag.FULL_CODE: _CODE,
                    oath.Tag.NO_CODE: _DIGITS,
                    oath.Tag.TOUCH_NEEDED: _DIGITS,
                }
            ),
        ),
        (CLA_PLAIN, oath.Ins.GET_CREDENTIAL): Instruction(
            tagged({oath.Tag.NAME: hidden}),
            tagged(
                {
                    oath.Tag.NAME: hidden,
                    oath.Tag.KEY: parts((1, _BYTE), (1, _DIGITS)),
                    oath.Tag.TIMING: _TIMING,
                    oath.Tag.COUNTER: number(4),
                }
            ),
        ),
    },
)

MANAGEMENT = Applet(
    reference.MANAGEMENT_AID,
    nothing,
    {
        **_SECURE_CHANNEL,
        (CLA_PLAIN, reference.Ins.GET_INFO): Instruction(
            nothing,
            tagged(
                {
                    reference.Tag.SERIAL: hidden,
                    reference.Tag.MODEL: hidden,
                    reference.Tag.FIRMWARE: number(3),
                    reference.Tag.LABEL: hidden,
                    reference.Tag.PIN_STATE: number(2),
                    reference.Tag.CREDENTIALS: number(4),
                    reference.Tag.KEYS: _BYTE,
                    reference.Tag.BATTERY: _BYTE,
                }
            ),
        ),
        (CLA_PLAIN, reference.Ins.GET_TIME): Instruction(nothing, _UNIX_MICROSECONDS),
    },
)

YUBIKEY_MANAGEMENT = Applet(yubikey.MANAGEMENT_AID, hidden, _SECURE_CHANNEL)  # its replies begin with a serial

APPLETS: tuple[Applet, ...] = (OATH, MANAGEMENT, YUBIKEY_MANAGEMENT)

_SECONDS = number(4)
# flag | title | its clock's time | the time that was set | hash | time step | digits | whether there is a seed
_PROFILE = parts(
    (1, _BYTE),
    (16, hidden),
    (4, _SECONDS),
    (4, _SECONDS),
    (1, number(1, 3)),
    (1, number(1, 61)),
    (1, number(1, 11)),
    (1, number(1, 2)),
)

WITHOUT_APPLET: Mapping[tuple[int, int], Instruction] = {
    # Token2's tokens. What they are told in class 84 is secured, and so hidden.
    (sm4_secure.CLA, sm4_secure.Ins.INFO): Instruction(
        either(nothing, number(1), number(2)),
        tagged({molto2.Tag.PUBLIC_DATA: tagged({molto2.Tag.PROFILE: _PROFILE})}),
    ),
}
