"""A pseudo-terminal as the token's serial line: POSIX only.

The master side is ours, non-blocking; the host opens the slave side as it would open /dev/ttyACM0. A pty has no
modem lines, so the host closing it stands for DTR dropping.

How closing is seen: the master reports a hang-up for as long as nobody holds the slave side, which would wake the
loop for ever. So we hold the slave side ourselves until the host has said something, and again after it has closed.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import tty
from collections.abc import Callable
from functools import partial
from pathlib import Path

from firmware_sim.links.loop import Loop
from firmware_sim.links.port import Lines, PortError, PortOptions
from firmware_sim.links.recorded import recorded
from firmware_sim.links.stream import Stream
from firmware_sim.seams import DeviceLink


def open_port(loop: Loop, lines: Lines, options: PortOptions) -> PtyPort:
    return PtyPort(loop, recorded(lines.framed(), options.recorder), options.pty_link)


class PtyPort:
    """Implements Port. `link_path`: a symbolic link that always leads to the current pty, or None."""

    def __init__(self, loop: Loop, link: DeviceLink, link_path: Path | None = None) -> None:
        self._loop = loop
        self._link = link
        self._link_path = link_path
        self._master = -1
        self._held_slave = -1
        self._slave_path = ""
        self._stream: Stream | None = None

    @property
    def address(self) -> str:
        return f"serial:{self._link_path or self._slave_path}"

    @property
    def plugged(self) -> bool:
        return self._stream is not None

    @property
    def noticed(self) -> bool:
        return self.plugged

    def plug(self) -> None:
        if self._stream is not None:
            return
        try:
            self._master, self._held_slave = os.openpty()
        except OSError as error:
            raise PortError(f"no pseudo-terminal to be had: {error.strerror}; use --link tcp") from None
        # Raw before anybody opens it: an echoing line would send our own replies back to us.
        tty.setraw(self._held_slave)
        self._slave_path = os.ttyname(self._held_slave)
        os.set_blocking(self._master, False)
        try:
            self._publish()
        except PortError:
            self._close_descriptors()
            raise
        self._serve()

    def unplug(self) -> None:
        if self._stream is None:
            return
        self._stream.close()
        self._stream = None
        self._withdraw()
        self._close_descriptors()
        self._link.disconnect()

    def after_reply(self, action: Callable[[], None]) -> None:
        self._loop.when(self._is_read, action)

    def _serve(self) -> None:
        write = partial(os.write, self._master)
        self._stream = Stream(self._loop, self._master, self._read, write, self._link, self._host_closed)

    def _read(self, size: int) -> bytes:
        data = os.read(self._master, size)
        # The host spoke, so it holds the slave side: let go of ours, to notice when the host does.
        if self._held_slave >= 0:
            self._release_slave()
        return data

    def _host_closed(self) -> None:
        self._link.disconnect()
        self._held_slave = os.open(self._slave_path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._held_slave)
        # What the last host did not read is not for the next one; some of it may still be on its way.
        while _has_input(self._held_slave):
            termios.tcflush(self._held_slave, termios.TCIFLUSH)
        self._serve()

    def _is_read(self) -> bool:
        return self._stream is None or (self._stream.drained and not self._unread())

    def _unread(self) -> bool:
        """Whether bytes of ours wait for the host to read. Closing the master would throw them away."""
        slave = os.open(self._slave_path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            return _has_input(slave)
        finally:
            os.close(slave)

    def _publish(self) -> None:
        """Lead `link_path` to the new pty, replacing only a link."""
        path = self._link_path
        if path is None:
            return
        if path.exists() and not path.is_symlink():
            raise PortError(f"--pty-link {path}: there is a file of that name; choose another or remove it")
        new = path.with_name(path.name + ".new")
        try:
            with contextlib.suppress(FileNotFoundError):
                new.unlink()
            new.symlink_to(self._slave_path)
            os.replace(new, path)
        except OSError as error:
            raise PortError(f"--pty-link {path}: {error.strerror}") from None

    def _withdraw(self) -> None:
        """Remove our link, unless another simulator has taken its place."""
        if self._link_path is not None:
            with contextlib.suppress(OSError):
                if os.readlink(self._link_path) == self._slave_path:
                    self._link_path.unlink()

    def _release_slave(self) -> None:
        if self._held_slave >= 0:
            os.close(self._held_slave)
            self._held_slave = -1

    def _close_descriptors(self) -> None:
        self._release_slave()
        os.close(self._master)


def _has_input(fd: int) -> bool:
    """Whether a read of this side of a pty would return something.

    poll, not FIONREAD: the kernel moves bytes from one side to the other in the background, and only a poll that finds
    nothing yet waits for that.
    """
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
