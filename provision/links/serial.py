"""Serial ports, by pyserial: USB CDC-ACM, adapters, and ptys.

Reading takes whatever has come in one system call; waiting is `select`, except on Windows, where a COM port has none.
"""

from __future__ import annotations

import errno
import os
import select

import serial

from provision.clock import Clock
from provision.errors import Busy, LinkError, NotFound, PermissionDenied, Timeout
from provision.links.framed import FramedLink
from provision.links.link import LinkOptions

BIT_RATE = 115200  # a CDC-ACM line ignores it, an adapter needs some
_READ_SIZE = 8192

# pyserial keeps the system's reason as errno on POSIX, and only as text on Windows.
_BUSY = {errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK}
_ABSENT = {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOTDIR}


class SerialStream:
    """A ByteStream over an open port."""

    def __init__(self, port: serial.Serial, address: str, clock: Clock) -> None:
        self._port = port
        self._address = address
        self._clock = clock
        self._fd = port.fileno() if os.name == "posix" else None

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except serial.SerialTimeoutException:
            raise Timeout(f"{self._address} takes no more data") from None
        except (serial.SerialException, OSError) as error:
            raise self._gone() from error

    def read(self, deadline: float) -> bytes:
        left = max(0.0, deadline - self._clock.monotonic())
        try:
            if self._fd is None:
                self._port.timeout = left
                first = self._port.read(1)
                return first + self._port.read(self._port.in_waiting)
            if not select.select([self._fd], [], [], left)[0]:
                return b""
            data = os.read(self._fd, _READ_SIZE)
        except (serial.SerialException, OSError) as error:  # EIO: the other end of a pty, or the cable, is gone
            raise self._gone() from error
        if not data:  # readable and empty: hung up
            raise self._gone()
        return data

    def close(self) -> None:
        self._port.close()

    def _gone(self) -> LinkError:
        return LinkError(f"{self._address} is gone: the cable was pulled or the token lost power")


def open_address(rest: str, options: LinkOptions) -> FramedLink:
    """`serial:PORT`: a device path, or a COM port's name."""
    address = f"serial:{rest}"
    try:
        port = serial.Serial(rest, BIT_RATE, timeout=0, write_timeout=options.timeout_s, exclusive=True)
    except (serial.SerialException, OSError) as error:
        raise _open_error(address, error) from error
    return FramedLink(SerialStream(port, address, options.clock), address, options)


def _open_error(address: str, error: OSError) -> LinkError:
    text = str(error)
    if error.errno in _ABSENT or "FileNotFoundError" in text:
        return NotFound(f"there is no port {address}", hint="plug the token in; `provision list` shows what is there")
    if error.errno in _BUSY or "PermissionError" in text:
        return Busy(f"{address} is in use by another program", hint="close that program and try again")
    if error.errno in (errno.EACCES, errno.EPERM):
        return PermissionDenied(
            f"you may not open {address}",
            hint="sudo provision udev install; for other ports join the port's group, often dialout, and log in again",
        )
    return LinkError(f"{address} cannot be opened as a serial port", hint="check the address with `provision list`")
