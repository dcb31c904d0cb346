"""Debian's pcscd with libccid, started as systemd starts it: whoever connects before it is ready, waits."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.kernel.guest.world import PATIENCE_S, provision

SOCKET = Path("/run/pcscd/pcscd.comm")
READER = "hwtoken reference token"
_PNP = "\\\\?PnP?\\Notification"  # the reader whose state changes when readers come and go
_CHANGES = 10


@contextlib.contextmanager
def running_pcscd() -> Iterator[None]:
    SOCKET.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(SOCKET))
        listener.listen()
        # Readers of its configuration are the host's; LISTEN_PID has to be its own, which only a shell can tell it.
        command = f"LISTEN_FDS=1 LISTEN_PID=$$ exec pcscd --foreground --config /dev/null 3<&{listener.fileno()}"
        with subprocess.Popen(["bash", "-c", command], pass_fds=(listener.fileno(),)) as daemon:
            try:
                yield
            finally:
                daemon.terminate()
                daemon.wait(PATIENCE_S)
                SOCKET.unlink()


def mended_table() -> None:
    """Let libccid know the token."""
    assert provision("doctor", "--mend", "ccid-plist").exit_code == 0


def wait_for_reader() -> str:
    """The name of the token's reader, once pcscd has it."""
    (reader,) = _readers_of_tokens(lambda readers: bool(readers))
    return reader


def wait_for_no_reader() -> None:
    """Until pcscd has noticed that the token is gone: shortly it shows a reader that is no more."""
    _readers_of_tokens(lambda readers: not readers)


def _readers_of_tokens(wanted: Callable[[list[str]], bool]) -> list[str]:
    from smartcard import scard  # where `make test` collects these tests, pyscard need not be there

    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    try:
        state = scard.SCARD_STATE_UNAWARE
        for _ in range(_CHANGES):
            _, readers = scard.SCardListReaders(context, [])
            ours = [reader for reader in readers if READER in reader]
            if wanted(ours):
                return ours
            _, ((_, state, _),) = scard.SCardGetStatusChange(context, PATIENCE_S * 1000, [(_PNP, state)])
    finally:
        scard.SCardReleaseContext(context)
    raise AssertionError(f"pcscd has these readers: {readers}")
