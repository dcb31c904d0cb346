"""A token in this process: for tests and measurements, over the same frames as any other wire.

Takes whatever has the shape of a device's link; the simulator is not imported here (see DESIGN: arrows).
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from provision.clock import Clock
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
