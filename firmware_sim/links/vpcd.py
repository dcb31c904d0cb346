"""The token as a card in vsmartcard's virtual reader, so that pcscd shows it to every PC/SC program.

The wire (virtualsmartcard/src/vpcd/vpcd.h): each message is its length, 2 bytes big-endian, and its bytes. One byte
is a control: power off, power on, reset, tell the ATR; only the last is answered. Anything longer is a command APDU,
and its response APDU goes back the same way. A card is in the reader for as long as the connection lasts: the token
dials the reader, hangs up when it loses its power, and dials again when either side came back.

There is no time extension on this wire: while a touch is awaited the reader waits, and with it every program.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from firmware_sim.links.loop import Loop
from firmware_sim.links.port import LOOPBACK, Lines, PortError, PortOptions
from firmware_sim.links.recorded import recorded_channel
from firmware_sim.links.stream import Stream
from firmware_sim.seams import ApduChannel, DeviceLink, PowerLost

if TYPE_CHECKING:
    from provision.wire.capture.recorder import Recorder

DEFAULT_PORT = 0x8C7B  # vpcd's own; the reader's second slot listens on the port after it
DEFAULT_READER = "Virtual PCD 00 00"  # vpcd's own, in Debian too, and its first slot

LOOKS = 2  # pcscd 1.9.9's, before it powers a new card

_DIAL_S = 2.0  # how long to wait for the first connection
_REDIAL_S = 0.2  # vpcd looks for a new card about every 0.4 s
_UNDER_WAY = {errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK}


_POWER_OFF, _POWER_ON, _RESET, _ASK_ATR = b"\0", b"\1", b"\2", b"\4"
_POWER = {_POWER_OFF, _POWER_ON, _RESET}


def encode(message: bytes) -> bytes:
    """A message of at most 65535 bytes as it goes over the wire."""
    return len(message).to_bytes(2, "big") + message


class VpcdCard:
    """A DeviceLink that speaks vpcd's messages.

    `atr`: the card's. `removed`: called when the card is gone, which on this wire means to hang up.

    A card that has just been put in is looked at (its ATR is asked for) LOOKS times and then powered. One looked at
    once more, or given a command, is taken for the card of before, because it came between two looks: pcscd would hold
    on to that card's ATR, sessions and failures for ever. So it goes away again, at the very look.
    """

    def __init__(self, channel: ApduChannel, atr: bytes, removed: Callable[[], None]) -> None:
        self._channel = channel
        self._atr = encode(atr)
        self._removed = removed
        self._received = bytearray()
        self._waiting = False  # a command waits for a person
        self._looks = 0  # since it was put in
        self._powered = False  # at least once since then

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
        self._looks = 0
        self._powered = False
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
        is_command, asks_atr = len(message) > 1, message == _ASK_ATR
        if not self._powered and (is_command or (asks_atr and self._looks == LOOKS)):
            self.disconnect()
        elif is_command:
            # A command that comes while another waits replaces it, as the channel has it.
            response = self._carried_out(lambda: self._channel.transmit(message))
            self._waiting = response is None
            return None if response is None else encode(response)
        elif asks_atr:
            self._looks += not self._powered
            return self._atr
        elif message in _POWER:
            self._powered |= message != _POWER_OFF
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
        self._line: DeviceLink = lines.line(
            lambda channel: VpcdCard(recorded_channel(channel, recorder), lines.family.atr, self._hang_up)
        )
        self._plugged = False
        self._dialling: socket.socket | None = None
        self._connection: socket.socket | None = None
        self._stream: Stream | None = None

    @property
    def address(self) -> str:
        return f"pcsc:{self._reader}"

    @property
    def plugged(self) -> bool:
        return self._plugged

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
        self._connected(connection)

    def unplug(self) -> None:
        self._plugged = False
        self._line.disconnect()
        self._give_up()

    def after_reply(self, action: Callable[[], None]) -> None:
        self._loop.when(lambda: self._stream is None or self._stream.drained, action)

    def _connected(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self._stream = Stream(
            self._loop, connection.fileno(), self._read, connection.send, self._line, self._line.disconnect
        )

    def _read(self, size: int) -> bytes:
        assert self._connection is not None
        data = self._connection.recv(size)
        if hasattr(socket, "TCP_QUICKACK"):
            # vpcd sends a length and its bytes one by one, and its system keeps the second back until we acknowledge
            # the first: 40 ms for each command. Linux forgets this option, so it is set each time.
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def _hang_up(self) -> None:
        """The card is out of the reader, or the reader is gone."""
        if self._stream is None or self._connection is None:
            return
        self._stream.close()
        self._connection.close()
        self._stream = self._connection = None
        self._loop.repeat(self._dialled, _REDIAL_S)

    def _dialled(self) -> bool:
        """Try to put the card back into the reader: whether nothing is left to try."""
        if not self._plugged or self._connection is not None:
            return True
        if not self._lines.carries:
            self._give_up()  # a reader that has taken the call already would wait for a mute card
            return False
        if self._dialling is None:
            family = socket.AF_INET6 if ":" in self._target[0] else socket.AF_INET
            self._dialling = socket.socket(family, socket.SOCK_STREAM)
            self._dialling.setblocking(False)
        code = self._dialling.connect_ex(self._target)
        if code in _UNDER_WAY:
            return False
        dialling, self._dialling = self._dialling, None
        if code not in (0, errno.EISCONN):
            dialling.close()
            return False
        self._connected(dialling)
        return True

    def _give_up(self) -> None:
        if self._dialling is not None:
            self._dialling.close()
            self._dialling = None


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
