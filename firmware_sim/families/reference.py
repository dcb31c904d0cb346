"""The reference token: every standard of the field, and a clock of its own. docs/PROTOCOL.md."""

from __future__ import annotations

from firmware_sim.core.applet import Applet
from firmware_sim.core.applet_management import ManagementApplet
from firmware_sim.core.applet_oath import OathApplet
from firmware_sim.core.chip import Board
from firmware_sim.core.family import CCID, CDC_ACM, Family, FlashGeometry, Limits
from firmware_sim.core.running import Running
from provision.wire import oath, reference
from provision.wire.framing import MAX_PAYLOAD
from provision.wire.oath import TOUCH_TIMEOUT_S
from provision.wire.reference_oath import MAX_CREDENTIALS, PIN_ATTEMPTS


def _applets(running: Running) -> tuple[Applet, ...]:
    return OathApplet(running), ManagementApplet(running)


def _chip(board: Board) -> Running:
    return Running(board, _applets)


REFERENCE = Family(
    name="reference",
    model="hwtoken reference",
    firmware=(1, 0, 0),
    # pid.codes' identity for tests; nothing that is sold may use it.
    idVendor=0x1209,
    idProduct=0x0001,
    iManufacturer="hwtoken",
    iProduct="hwtoken reference token",
    # ISO/IEC 7816-3: TS 3B; T0: TD1 and 7 historical bytes; TD1, TD2: T=0 then T=1; "hwtoken"; TCK.
    atr=bytes.fromhex("3B878001" + b"hwtoken".hex() + "62"),
    limits=Limits(
        credentials=MAX_CREDENTIALS,
        pin_attempts=PIN_ATTEMPTS,
        # What a microcontroller does in a moment. Six digits read out of the silicon fall to any count; what guards
        # them is that the silicon is not read out.
        pin_iterations=1000,
        touch_timeout_s=TOUCH_TIMEOUT_S,
        screen_s=30,
        max_apdu=MAX_PAYLOAD,
    ),
    flash=FlashGeometry(page_size=4096, page_count=16),
    functions=(CDC_ACM, CCID),
    instructions=(oath.Ins, reference.Ins),
    chip=_chip,
)

VARIANTS = (REFERENCE,)
