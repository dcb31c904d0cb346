"""The token as a card in vsmartcard's virtual reader, so that pcscd shows it to every PC/SC program.

The wire (virtualsmartcard/src/vpcd/vpcd.h): each message is its length, 2 bytes big-endian, and its bytes. One byte
is a control: power off, power on, reset, tell the ATR; only the last is answered. Anything longer is a command APDU,
and its response APDU goes back the same way. A card is in the reader for as long as the connection lasts: the token
dials the reader, hangs up when it loses its power, and dials again when either side came back.

A reader that did not see the card of before leave takes the new one for it, and pcscd holds on to that one's ATR,
sessions and failures for ever. It looks for a card by asking for its ATR, about every 0.4 s; any other use of the
reader may find the old card gone as well, and tells nobody. So a card that arrives lets MISSES looks find an empty
reader first: it takes the call, hangs up at the question, and calls again.

There is no time extension on this wire: while a touch is awaited the reader waits, and with it every program.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_sim.links.loop import READ, WRITE, Loop
from firmware_sim.links.port import LOOPBACK, Lines, PortError, PortOptions
from firmware_sim.links.recorded import recorded_channel
from firmware_sim.links.stream import Stream
from firmware_sim.seams import ApduChannel, DeviceLink, PowerLost

if TYPE_CHECKING:
    from provision.wire.capture.recorder import Recorder

DEFAULT_PORT = 0x8C7B  # vpcd's own; the reader's second slot listens on the port after it
DEFAULT_READER = "Virtual PCD 00 00"  # vpcd's own, in Debian too, and its first slot

MISSES = 2  # one look may be the reader's user's, whom nobody hears
_DIAL_S = 2.0  # how long to wait for the first connection
_REDIAL_S = 0.2

_POWER_OFF, _POWER_ON, _RESET, _ASK_ATR = b"\0", b"\1", b"\2", b"\4"
_POWER = {_POWER_OFF, _POWER_ON, _RESET}


def encode(message: bytes) -> bytes:
    """A message of at most 65535 bytes as it goes over the wire."""
    return len(message).to_bytes(2, "big") + message


_LOOK = encode(_ASK_ATR)


class VpcdCard:
    """A DeviceLink that speaks vpcd's messages.

    `atr`: the card's. `removed`: called when the card is gone, which on this wire means to hang up.
    """

    def __init__(self, channel: ApduChannel, atr: bytes, removed: Callable[[], None]) -> None:
        self._channel = channel
        self._atr = encode(atr)
        self._removed = removed
        self._received = bytearray()
        self._waiting = False  # a command waits for a person
        self.powered = False  # at least once since it was put in: the reader has noticed it

    def receive(self, data: bytes) -> list[bytes]:
        self._received += data
        replies = []
        while (message := self._next_message()) is not None:
            reply = self._answer(message)
            if reply is not None:
                replies.append(reply)
        return replies

    def poll(self) -> tuple[list[bytes], float | None]:
        if not self._waiting:
            return [], None
        response = self._carried_out(self._channel.poll)
        if response is None:
            return [], self._channel.deadline
        self._waiting = False
        return [encode(response)], None

    def disconnect(self) -> None:
        self._received.clear()
        self.powered = False
        self._reset()
        self._removed()

    def _next_message(self) -> bytes | None:
        """The next message, once all of it is here."""
        end = 2 + int.from_bytes(self._received[:2], "big")
        if len(self._received) < end:
            return None
        message = bytes(self._received[2:end])
        del self._received[:end]
        return message

    def _answer(self, message: bytes) -> bytes | None:
        if len(message) > 1:
            # A command that comes while another waits replaces it, as the channel has it.
            response = self._carried_out(lambda: self._channel.transmit(message))
            self._waiting = response is None
            return None if response is None else encode(response)
        if message == _ASK_ATR:
            return self._atr
        if message in _POWER:
            self.powered |= message == _POWER_ON
            self._reset()
        return None

    def _carried_out(self, work: Callable[[], bytes | None]) -> bytes | None:
        try:
            return work()
        except PowerLost:
            self.disconnect()
            raise

    def _reset(self) -> None:
        self._waiting = False
        self._channel.reset()


class VpcdPort:
    """Implements Port. `reader`: the name under which PC/SC shows the reader that listens at `host` and `port`."""

    def __init__(
        self, loop: Loop, lines: Lines, host: str, port: int, reader: str, recorder: Recorder | None = None
    ) -> None:
        self._loop = loop
        self._lines = lines
        self._target = (host, port)
        self._reader = reader
        self._line = lines.line(lambda channel: self._make_card(channel, recorder))
        self._plugged = False
        self._misses = MISSES  # looks that have yet to find the reader empty
        self._connection: socket.socket | None = None  # to the reader, also while it is being dialled
        self._served: _Watch | Stream | None = None  # the connection in the loop; a Stream once the card is in

    @property
    def address(self) -> str:
        return f"pcsc:{self._reader}"

    @property
    def plugged(self) -> bool:
        return self._plugged

    @property
    def noticed(self) -> bool:
        return self._card.powered

    def plug(self) -> None:
        if self._plugged:
            return
        host, port = self._target
        try:
            connection = socket.create_connection(self._target, _DIAL_S)
        except OSError as error:
            raise PortError(
                f"no virtual reader listens at {host} port {port} ({error.strerror or error}); "
                "install vsmartcard-vpcd and start pcscd, or name another place with --dial"
            ) from None
        self._target = connection.getpeername()[:2]  # from now on without asking for the name again
        self._plugged = True
        connection.setblocking(False)
        self._connection = connection
        self._arrive()

    def unplug(self) -> None:
        self._plugged = False
        self._line.disconnect()
        self._hang_up()

    def after_reply(self, action: Callable[[], None]) -> None:
        self._loop.when(lambda: not isinstance(self._served, Stream) or self._served.drained, action)

    def _make_card(self, channel: ApduChannel, recorder: Recorder | None) -> DeviceLink:
        self._card = VpcdCard(recorded_channel(channel, recorder), self._lines.family.atr, self._removed)
        return self._card

    def _removed(self) -> None:
        """The card is out of the reader, or the reader is gone."""
        if isinstance(self._served, Stream):
            self._try_later()

    def _try_later(self) -> None:
        self._hang_up()
        self._loop.repeat(self._tried, _REDIAL_S)

    def _tried(self) -> bool:
        """Whether nothing is left to try: the reader is being dialled, or the cable is out."""
        if not self._plugged or self._connection is not None:
            return True
        if self._lines.carries:
            self._dial()
        return self._lines.carries

    def _dial(self) -> None:
        connection = socket.socket(socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET)
        connection.setblocking(False)
        connection.connect_ex(self._target)
        self._connection = connection
        self._served = _Watch(self._loop, connection.fileno(), self._answered, WRITE)

    def _answered(self) -> None:
        connection = self._leave_loop()
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_later()
        else:
            self._arrive()

    def _arrive(self) -> None:
        """The reader has been reached."""
        assert self._connection is not None
        fd = self._connection.fileno()
        if not self._lines.carries:
            self._try_later()  # it would wait for a mute card
        elif self._misses:
            self._served = _Watch(self._loop, fd, self._looked_for, READ)
        else:
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._served = Stream(self._loop, fd, self._read, self._connection.send, self._line, self._line.disconnect)

    def _looked_for(self) -> None:
        """The reader asks whether a card is there, or has hung up."""
        connection = self._leave_loop()
        try:
            looked = bool(connection.recv(len(_LOOK)))
        except OSError:
            looked = False
        if not looked:
            self._try_later()
            return
        self._misses -= 1
        connection.close()
        self._dial()

    def _read(self, size: int) -> bytes:
        assert self._connection is not None
        data = self._connection.recv(size)
        if hasattr(socket, "TCP_QUICKACK"):
            # vpcd sends a length and its bytes one by one, and its system keeps the second back until we acknowledge
            # the first: 40 ms for each command. Linux forgets this option, so it is set each time.
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def _leave_loop(self) -> socket.socket:
        """The connection, which nothing serves from now on."""
        assert self._connection is not None
        assert self._served is not None
        self._served.close()
        self._served = None
        return self._connection

    def _hang_up(self) -> None:
        """Nothing if there is no connection. The next card begins its arrival anew."""
        self._misses = MISSES
        if self._served is not None:
            self._leave_loop()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Watch:
    """`ready()` is called whenever one of the `events` of `fd` comes, until `close`."""

    def __init__(self, loop: Loop, fd: int, ready: Callable[[], None], events: int) -> None:
        self._loop = loop
        self._fd = fd
        self._callback = ready
        self._closed = False
        loop.add(fd, self._ready, events)

    def close(self) -> None:
        self._closed = True
        self._loop.remove(self._fd)

    def _ready(self, _events: int) -> None:
        if not self._closed:  # earlier in the same turn
            self._callback()


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> VpcdPort:
    """Raises PortError."""
    host, port = _dialled_place(options.dial) if options.dial else (LOOPBACK, DEFAULT_PORT)
    return VpcdPort(loop, lines, host, port, options.reader_name or DEFAULT_READER, options.recorder)


def _dialled_place(text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 host in brackets, or PORT alone."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise PortError(f"--dial {text} does not end in a port number, as {LOOPBACK}:{DEFAULT_PORT} does")
    return host.strip("[]") or LOOPBACK, int(port)
