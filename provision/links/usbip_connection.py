"""The host's end of a USB/IP connection: one device's transfers over one TCP or Unix stream.

No threads: whoever asks for a transfer waits for its answer, on the monotonic clock. Errors are pyusb's, because
links/usbip_backend.py hands them to it unchanged; their errno is the system's own, whatever number the wire had.

The wire's messages are in wire/usbip.py.
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Mapping

import usb.core

from provision.clock import Clock
from provision.errors import LinkError, Timeout
from provision.links.framed import ByteStream
from provision.links.tcp import TcpStream, host_and_port
from provision.wire import WireError
from provision.wire.usbip import (
    IN,
    NO_SETUP,
    OUT,
    Device,
    DevlistReply,
    DevlistRequest,
    ImportReply,
    ImportRequest,
    ListedDevice,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from provision.wire.usbip_stream import HostDecoder

CONNECT_TIMEOUT_S = 5.0  # until the other end has answered a request that is not a transfer
UNLINK_TIMEOUT_S = 1.0  # until it has confirmed that a transfer is taken back; it has only to look
_A_WHILE_S = 3600.0  # how long one look lasts that has no deadline

# Numbers of Linux on the wire, on any system. What is not here is EIO, as the kernel's own host side has it.
_ERRNO = {
    -2: errno.ENOENT,
    -19: errno.ENODEV,
    -32: errno.EPIPE,
    -75: errno.EOVERFLOW,
    -104: errno.ECONNRESET,
    -108: errno.ENODEV,
}

_Message = DevlistReply | ImportReply | SubmitReply | UnlinkReply


def connect(where: str, clock: Clock) -> TcpStream:
    """A stream to `HOST:PORT`, `PORT` on this machine, or the Unix socket `/PATH`. Raises UsageError for a place
    that is none of these, usb.core.USBError."""
    try:
        if where.startswith("/"):
            connection = _connect_unix(where)
        else:
            connection = socket.create_connection(host_and_port(where, f"usbip:{where}"), CONNECT_TIMEOUT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except TimeoutError:
        raise usb_timeout() from None
    except OSError as error:
        absent = isinstance(error, ConnectionRefusedError | FileNotFoundError | socket.gaierror)
        raise usb_error(errno.ECONNREFUSED if absent else error.errno or errno.EIO) from error
    return TcpStream(connection, where, clock)


def _connect_unix(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "no Unix sockets on this system")
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(CONNECT_TIMEOUT_S)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection


class UsbipConnection:
    """A connected stream and what has come on it. Every method raises usb.core.USBError, and ENODEV once it broke."""

    def __init__(self, stream: ByteStream, clock: Clock, foretold: Mapping[int, tuple[int, int]]) -> None:
        """`foretold`: OUT endpoint -> IN endpoint and length of the read that follows each write there, if one does.

        That read is submitted together with the write, unless one is under way: the two then cost one trip. Nobody
        may read from such an endpoint in another length.
        """
        self._stream: ByteStream | None = stream
        self._clock = clock
        self._foretold = foretold
        self._under_way: dict[int, int] = {}  # seqnum -> bytes asked for, 0 for an OUT transfer
        self._ahead: dict[int, int] = {}  # IN endpoint -> seqnum of a foretold read that nobody has asked for yet
        self._answers: dict[int, SubmitReply] = {}  # to transfers that nobody has asked about yet
        self._decoder = HostDecoder(self._under_way.get)
        self._arrived: deque[_Message] = deque()
        self._seqnum = 0
        self._devid = 0

    def devices(self) -> tuple[ListedDevice, ...]:
        """What the other end exports. It hangs up afterwards: close the connection."""
        self._send(DevlistRequest().encode())
        reply = self._operation()
        if not isinstance(reply, DevlistReply):
            raise self._broken("refuses to list its devices")
        return reply.devices

    def attach(self, busid: str) -> Device:
        """Import a device. Raises USBError EBUSY when it is refused: another host has it, or it is not there."""
        self._send(ImportRequest(busid).encode())
        reply = self._operation()
        if not isinstance(reply, ImportReply):
            raise self._broken("answers an import with a list")
        if reply.device is None:
            raise usb_error(errno.EBUSY)
        if max(reply.device.busnum, reply.device.devnum) > 0xFFFF:
            raise self._broken("numbers the device as no command can")
        self._devid = reply.device.devid
        return reply.device

    def receive(self, endpoint: int, length: int, timeout_s: float | None, setup: bytes = NO_SETUP) -> bytes:
        """An IN transfer of at most `length` bytes. `timeout_s` None: for ever. Raises USBTimeoutError."""
        if (seqnum := self._ahead.pop(endpoint, None)) is not None:
            return self._finish(seqnum, timeout_s).data
        return self._transfer(Submit(self._next(), self._devid, IN, endpoint, length, setup), timeout_s).data

    def send(self, endpoint: int, data: bytes, timeout_s: float | None, setup: bytes = NO_SETUP) -> int:
        """An OUT transfer; the bytes that moved. Raises USBTimeoutError."""
        submit = Submit(self._next(), self._devid, OUT, endpoint, len(data), setup, data)
        return self._transfer(submit, timeout_s).actual_length

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _next(self) -> int:
        self._seqnum = self._seqnum % 0xFFFFFFFF + 1
        return self._seqnum

    def _transfer(self, submit: Submit, timeout_s: float | None) -> SubmitReply:
        if len(self._under_way) > len(self._ahead):
            # One that an exception ended would take what the device has to say to this one.
            for seqnum in self._under_way.keys() - self._ahead.values():
                self._take_back(seqnum)
        data = self._begun(submit)
        if submit.direction == OUT and submit.endpoint in self._foretold:
            data += self._begun_ahead(*self._foretold[submit.endpoint])
        self._send(data)
        return self._finish(submit.seqnum, timeout_s)

    def _begun(self, submit: Submit) -> bytes:
        """What is to be sent for a transfer, which is under way from now on."""
        self._under_way[submit.seqnum] = submit.length if submit.direction == IN else 0
        return submit.encode()

    def _begun_ahead(self, endpoint: int, length: int) -> bytes:
        """What is to be sent for a foretold read: nothing where one is under way."""
        if endpoint in self._ahead:
            return b""
        self._ahead[endpoint] = self._next()
        return self._begun(Submit(self._ahead[endpoint], self._devid, IN, endpoint, length))

    def _finish(self, seqnum: int, timeout_s: float | None) -> SubmitReply:
        """Wait for a transfer's answer. Raises USBTimeoutError once it was taken back."""
        deadline = None if timeout_s is None else self._clock.monotonic() + timeout_s
        while (reply := self._answers.pop(seqnum, None)) is None:
            message = self._message(deadline)
            if message is None:
                reply = self._take_back(seqnum)
                break
            self._keep(message)
        self._under_way.pop(seqnum, None)
        if reply is None:
            raise usb_timeout()
        if reply.status:
            raise usb_error(_ERRNO.get(reply.status, errno.EIO))
        return reply

    def _take_back(self, target: int) -> SubmitReply | None:
        """UNLINK a transfer; its answer, when that was quicker."""
        unlink = Unlink(self._next(), self._devid, target)
        deadline = self._clock.monotonic() + UNLINK_TIMEOUT_S
        self._send(unlink.encode())
        while (message := self._message(deadline)) is not None:
            if isinstance(message, UnlinkReply) and message.seqnum == unlink.seqnum:
                self._under_way.pop(target, None)
                return self._answers.pop(target, None)
            self._keep(message)
        raise self._broken("does not take a transfer back")

    def _keep(self, message: _Message) -> None:
        if isinstance(message, SubmitReply):
            self._answers[message.seqnum] = message

    def _operation(self) -> _Message:
        message = self._message(self._clock.monotonic() + CONNECT_TIMEOUT_S)
        if message is None:
            raise usb_timeout()
        return message

    def _message(self, deadline: float | None) -> _Message | None:
        """The next message, None when the deadline passed."""
        while not self._arrived:
            try:
                data = self._open_stream().read(self._clock.monotonic() + _A_WHILE_S if deadline is None else deadline)
            except LinkError as error:
                self.close()
                raise usb_error(errno.ENODEV) from error
            if not data and deadline is not None:
                return None
            try:
                self._arrived.extend(self._decoder.feed(data))
            except WireError as error:
                raise self._broken(f"breaks the protocol: {error}") from error
        return self._arrived.popleft()

    def _send(self, data: bytes) -> None:
        """All of `data` at once: a header that travels alone would wait for its acknowledgement."""
        try:
            self._open_stream().write(data)
        except LinkError as error:
            # Half a message may be out: nothing can follow it.
            self.close()
            raise (usb_timeout() if isinstance(error, Timeout) else usb_error(errno.ENODEV)) from error

    def _open_stream(self) -> ByteStream:
        if self._stream is None:
            raise usb_error(errno.ENODEV)
        return self._stream

    def _broken(self, what: str) -> Exception:
        """The connection is over, because the other end `what`."""
        self.close()
        error: Exception = usb.core.USBError(f"the other end {what}", errno=errno.EPROTO)
        return error


def usb_error(number: int) -> Exception:
    """A usb.core.USBError with that errno."""
    error: Exception = usb.core.USBError(os.strerror(number), errno=number)
    return error


def usb_timeout() -> Exception:
    """A usb.core.USBTimeoutError."""
    error: Exception = usb.core.USBTimeoutError(os.strerror(errno.ETIMEDOUT), errno=errno.ETIMEDOUT)
    return error
