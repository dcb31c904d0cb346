"""Lines and channels that tell a capture what passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_sim.seams import ApduChannel, DeviceLink

if TYPE_CHECKING:  # every port asks here, and hardly one is captured
    from provision.wire.capture.recorder import ApduTap, Recorder, SerialTap


def recorded(line: DeviceLink, recorder: Recorder | None) -> DeviceLink:
    """The line itself where nothing is captured."""
    return line if recorder is None else _RecordedLine(line, recorder.serial())


def recorded_channel(channel: ApduChannel, recorder: Recorder | None) -> ApduChannel:
    """For a wire of whole APDUs. The channel itself where nothing is captured."""
    return channel if recorder is None else _RecordedChannel(channel, recorder.apdus())


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


class _RecordedChannel:
    """An ApduChannel around another."""

    def __init__(self, channel: ApduChannel, tap: ApduTap) -> None:
        self._channel = channel
        self._tap = tap

    def transmit(self, apdu: bytes) -> bytes | None:
        self._tap.command(apdu)
        return self._told(self._channel.transmit(apdu))

    def poll(self) -> bytes | None:
        return self._told(self._channel.poll())

    @property
    def deadline(self) -> float | None:
        return self._channel.deadline

    def reset(self) -> None:
        self._tap.reset()
        self._channel.reset()

    def _told(self, response: bytes | None) -> bytes | None:
        if response is not None:
            self._tap.response(response)
        return response
