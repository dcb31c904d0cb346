"""A line that tells a capture what passes."""

from __future__ import annotations

from firmware_sim.links.port import PortOptions
from firmware_sim.seams import DeviceLink
from provision.wire.capture.recorder import SerialTap


def recorded(line: DeviceLink, options: PortOptions) -> DeviceLink:
    """The line itself where nothing is captured."""
    return line if options.recorder is None else _RecordedLine(line, options.recorder.serial())


class _RecordedLine:
    """A DeviceLink around another."""

    def __init__(self, line: DeviceLink, tap: SerialTap) -> None:
        self._line = line
        self._tap = tap

    def receive(self, data: bytes) -> list[bytes]:
        self._tap.to_token(data)
        return self._told(self._line.receive(data))

    def poll(self) -> tuple[list[bytes], float | None]:
        replies, deadline = self._line.poll()
        return self._told(replies), deadline

    def disconnect(self) -> None:
        self._tap.close()
        self._line.disconnect()

    def _told(self, replies: list[bytes]) -> list[bytes]:
        for reply in replies:
            self._tap.to_host(reply)
        return replies
