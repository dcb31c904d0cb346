"""The seam between a token and the cable that it hangs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class PortError(Exception):
    """The line could not be opened. The message names it and says what to do."""


class Port(Protocol):
    """One token's socket. Starts unplugged."""

    @property
    def address(self) -> str:
        """What `provision --token` takes while plugged, for example `serial:/dev/pts/3`."""

    @property
    def plugged(self) -> bool: ...

    def plug(self) -> None:
        """Open the line, perhaps at another address than before. Raises PortError."""

    def unplug(self) -> None:
        """Cut the line now: the host sees a hang-up, and replies that it has not read are lost."""

    def after_reply(self, action: Callable[[], None]) -> None:
        """Call `action` from the loop as soon as the host has read the replies under way, at most 2 s later."""
