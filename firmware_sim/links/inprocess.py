"""A token's serial line with no wire: for programs and tests that hold the token itself."""

from __future__ import annotations

from firmware_sim.core.token import Token
from firmware_sim.links.framed import FramedLink
from firmware_sim.seams import Clock, DeviceLink


def serial_line(token: Token, clock: Clock) -> DeviceLink:
    """A line of its own, with frames: what `receive` is given are the bytes that a host would write to a port.

    While the token is off, bytes for its channel raise PowerLost, which a wire would show as silence.
    """
    return FramedLink(token.open_channel(), lambda: token.boot_id, token.family.limits.max_apdu, clock)
