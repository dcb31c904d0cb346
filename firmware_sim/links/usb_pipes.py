"""Bulk and interrupt endpoints at full speed: transfers of a host meet what a function says and hears.

A transfer that cannot go on waits, as on a bus where the endpoint answers NAK; a halted endpoint answers STALL.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from provision.wire.usbip import Status, SubmitReply

PACKET = 64
"""wMaxPacketSize: what full speed has for bulk endpoints, and every host knows."""
FULL = 1 << 16
"""Bytes that a host has not fetched; from here on its commands wait."""


class InPipe:
    """Device to host. `answers`: where completed transfers go."""

    def __init__(self, answers: list[SubmitReply]) -> None:
        self.halted = False
        self.queued = 0  # bytes that wait to be fetched
        self._answers = answers
        self._messages: deque[bytes] = deque()
        self._sent = 0  # bytes of the first message that have left
        self._waiting: dict[int, int] = {}  # seqnum -> bytes asked for, oldest first

    def send(self, message: bytes) -> None:
        """Say something. Its last packet is a short one, or an empty one behind a multiple of PACKET, so that a host
        that asked for more knows the end."""
        self._messages.append(message)
        self.queued += len(message)
        while self._waiting and self._messages:
            seqnum, length = next(iter(self._waiting.items()))
            del self._waiting[seqnum]
            self._complete(seqnum, length)

    @property
    def waiting(self) -> int:
        """How many transfers."""
        return len(self._waiting)

    def submit(self, seqnum: int, length: int) -> None:
        if self.halted:
            self._answers.append(SubmitReply(seqnum, Status.STALL, 0))
        elif self._messages:
            self._complete(seqnum, length)
        else:
            self._waiting[seqnum] = length

    def unlink(self, seqnum: int) -> bool:
        """Whether that transfer waited here; it does not any more."""
        return self._waiting.pop(seqnum, None) is not None

    def halt(self) -> None:
        """STALL to all that waits and all that comes, until `resume`; what was to be said is lost."""
        self.halted = True
        self.flush()
        self._answers += [SubmitReply(seqnum, Status.STALL, 0) for seqnum in self._waiting]
        self._waiting.clear()

    def resume(self) -> None:
        self.halted = False

    def reset(self) -> None:
        """The host begins anew: what waits is over, what was to be said is lost."""
        self._answers += [SubmitReply(seqnum, Status.SHUTDOWN, 0) for seqnum in self._waiting]
        self._waiting.clear()
        self.halted = False
        self.flush()

    def flush(self) -> None:
        """Nothing to say any more; transfers go on waiting."""
        self._messages.clear()
        self._sent = self.queued = 0

    def _complete(self, seqnum: int, length: int) -> None:
        """Let a transfer take the next packets of the first message: up to its end, or `length` bytes."""
        message, start = self._messages[0], self._sent
        left = len(message) - start
        data = message[start : start + length]
        status = Status.OK
        if left > length and length % PACKET:
            # The packet does not fit: the host hears it babble, and the rest of the packet is lost.
            status = Status.OVERFLOW
            taken = min(length - length % PACKET + PACKET, left)
        else:
            taken = len(data)
        self._sent += taken
        self.queued -= taken
        # A full last packet does not end a message: an empty one is still to come, unless this was it, or it went
        # unseen because the transfer had room for it.
        if self._sent == len(message) and (len(message) % PACKET or not left or taken < length):
            self._messages.popleft()
            self._sent = 0
        self._answers.append(SubmitReply(seqnum, status, len(data), data))


class OutPipe:
    """Host to device. `receive`: takes a transfer's bytes. `ready`: whether it may be given more. `forget`: a message
    that was begun is over, where there are such."""

    def __init__(
        self,
        answers: list[SubmitReply],
        receive: Callable[[bytes], None],
        ready: Callable[[], bool],
        forget: Callable[[], None] = lambda: None,
    ) -> None:
        self.halted = False
        self.queued = 0  # bytes of transfers that wait
        self._answers = answers
        self._receive = receive
        self._ready = ready
        self._forget = forget
        self._waiting: dict[int, bytes] = {}  # seqnum -> what it sends, oldest first

    @property
    def waiting(self) -> int:
        """How many transfers."""
        return len(self._waiting)

    def submit(self, seqnum: int, data: bytes) -> None:
        if self.halted:
            self._answers.append(SubmitReply(seqnum, Status.STALL, 0))
        elif self._waiting or not self._ready():
            self._waiting[seqnum] = data
            self.queued += len(data)
        else:
            self._take(seqnum, data)

    def unlink(self, seqnum: int) -> bool:
        """Whether that transfer waited here; it does not any more."""
        data = self._waiting.pop(seqnum, None)
        if data is None:
            return False
        self.queued -= len(data)
        return True

    def go_on(self) -> None:
        """Take what waits, as far as there is room."""
        while self._waiting and self._ready():
            seqnum, data = next(iter(self._waiting.items()))
            self.unlink(seqnum)
            self._take(seqnum, data)

    def halt(self) -> None:
        """STALL to all that waits and all that comes, until `resume`."""
        self.halted = True
        self._answers += [SubmitReply(seqnum, Status.STALL, 0) for seqnum in self._waiting]
        self._waiting.clear()
        self.queued = 0

    def resume(self) -> None:
        """The host cleared the halt, or begins anew: so does what it says."""
        self.halted = False
        self._forget()

    def reset(self) -> None:
        """The host begins anew: what waits is over."""
        self._answers += [SubmitReply(seqnum, Status.SHUTDOWN, 0) for seqnum in self._waiting]
        self._waiting.clear()
        self.queued = 0
        self.resume()

    def _take(self, seqnum: int, data: bytes) -> None:
        # Acknowledged before it is acted upon: the answer to a command comes behind the one to its transfer.
        self._answers.append(SubmitReply(seqnum, Status.OK, len(data)))
        self._receive(data)
