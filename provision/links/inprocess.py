"""A token in this process, for tests and measurements: over the same frames as any serial wire, or APDU by APDU, as a
card in a reader.

Takes whatever has the shape of a device's end; the simulator is not imported here (see DESIGN: arrows).
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from provision.clock import Clock
from provision.closing import Closing
from provision.errors import Timeout
from provision.links.framed import FramedLink
from provision.links.link import LinkOptions


class DeviceEnd(Protocol):
    """The device's end of a wire: bytes in, bytes out, never blocks."""

    def receive(self, data: bytes) -> list[bytes]: ...

    def poll(self) -> tuple[list[bytes], float | None]:
        """Replies that time or a person caused, and the Unix time at which to poll again, if any."""

    def disconnect(self) -> None: ...


class InProcessStream:
    """A ByteStream whose other end is called directly.

    Nothing happens between two calls, so waiting is useful only for what the device itself waits for: `read` lets
    the clock go on to that moment (a ManualClock jumps), and otherwise says at once that nothing came.
    """

    def __init__(self, device: DeviceEnd, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self._received: deque[bytes] = deque()

    def write(self, data: bytes) -> None:
        self._received.extend(self._device.receive(data))

    def read(self, deadline: float) -> bytes:
        if self._received:
            return self._received.popleft()
        replies, again_s = self._device.poll()
        if not replies and again_s is not None and again_s - self._clock.now() <= deadline - self._clock.monotonic():
            self._clock.wait_until(again_s)
            replies, _ = self._device.poll()
        self._received.extend(replies)
        return self._received.popleft() if self._received else b""

    def close(self) -> None:
        self._received.clear()
        self._device.disconnect()


def open_device(device: DeviceEnd, options: LinkOptions, address: str = "inprocess:") -> FramedLink:
    """A Link to a token in this process."""
    return FramedLink(InProcessStream(device, options.clock), address, options)


class DeviceChannel(Protocol):
    """One way into a token: command APDUs in, response APDUs out, never blocks."""

    def transmit(self, apdu: bytes) -> bytes | None:
        """The response, or None while the command waits for a person."""

    def poll(self) -> bytes | None:
        """The response of the command that was waiting, once there is one."""

    @property
    def deadline(self) -> float | None:
        """The Unix time at which a waiting command gives up by itself."""

    def reset(self) -> None: ...


class ChannelLink(Closing):
    """A Link to a channel that is called directly: what a card is to its reader."""

    def __init__(self, channel: DeviceChannel, options: LinkOptions, address: str) -> None:
        self._channel = channel
        self._options = options
        self.address = address
        channel.reset()

    def exchange(self, command: bytes) -> bytes:
        response = self._channel.transmit(command)
        if response is None:
            response = self._patiently()
        return response

    def close(self) -> None:
        self._channel.reset()

    def _patiently(self) -> bytes:
        """Say once that a person is awaited, then let the clock go on to the end of the token's patience."""
        clock, deadline = self._options.clock, self._channel.deadline
        if self._options.on_pending and deadline is not None:
            self._options.on_pending(max(0, round(deadline - clock.now())))
        response = self._channel.poll()
        if response is None and deadline is not None:
            clock.wait_until(deadline)
            response = self._channel.poll()
        if response is None:
            raise Timeout(f"the token at {self.address} does not answer")
        return response


def open_channel(channel: DeviceChannel, options: LinkOptions, address: str = "inprocess:") -> ChannelLink:
    """A Link to a token in this process that has no serial line."""
    return ChannelLink(channel, options, address)
