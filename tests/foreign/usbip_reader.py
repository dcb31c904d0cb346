"""The token's card reader over PyPI `usbip`'s host API: CCID 1.1 from the specification, importing nothing of ours.

Section numbers are those of the specification.
"""

from __future__ import annotations

import socket
import struct

import usbip

VENDOR, PRODUCT = 0x1209, 0x0001
BULK_OUT, BULK_IN, INTERRUPT_IN = 0x03, 0x83, 0x84  # the reference token's reader stands behind its serial line
ROOM = 10 + 65544

POWER_ON, POWER_OFF, SLOT_STATUS, XFR_BLOCK, ESCAPE = 0x62, 0x63, 0x65, 0x6F, 0x6B
DATA_BLOCK, SLOT_STATUS_REPLY, ESCAPE_REPLY = 0x80, 0x81, 0x83
WHOLE, FIRST, LAST, MIDDLE, CONTINUE = 0x00, 0x01, 0x02, 0x03, 0x10
TIME_EXTENSION = 0x80


class Reader:
    """One imported token."""

    def __init__(self, port: int) -> None:
        self.handle = usbip.open(VENDOR, PRODUCT, transport=usbip.USBIP("127.0.0.1", port))
        # Its client sends header and payload apart and waits for the acknowledgement between them.
        self.handle.conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._seq = 0

    def close(self) -> None:
        self.handle.close()

    def command(self, kind: int, data: bytes = b"", own: bytes = b"\0\0\0") -> tuple[int, int, int, int, bytes]:
        """(bMessageType, bStatus, bError, the byte behind it, data) of the answer that ends the command (6.2)."""
        self._seq = (self._seq + 1) & 0xFF
        message = struct.pack("<BIBB3s", kind, len(data), 0, self._seq, own) + data
        self.handle.bulk_out(BULK_OUT, message)
        if len(message) % 64 == 0:
            self.handle.bulk_out(BULK_OUT, b"")
        while True:
            answer = self.handle.bulk_in(BULK_IN, ROOM)
            answered, length, slot, seq, status, error, last = struct.unpack_from("<BIBBBBB", answer)
            assert (slot, seq, length) == (0, self._seq, len(answer) - 10), answer[:10].hex()
            if status & 0xC0 != TIME_EXTENSION:
                return answered, status, error, last, answer[10:]

    def power_on(self) -> bytes:
        """The ATR."""
        answered, status, error, _, atr = self.command(POWER_ON)
        assert (answered, status, error) == (DATA_BLOCK, 0, 0)
        return atr

    def exchange(self, apdu: bytes) -> bytes:
        answered, status, error, chain, response = self.command(XFR_BLOCK, apdu)
        assert (answered, status, error, chain) == (DATA_BLOCK, 0, 0, WHOLE), f"error {error:02X}"
        return response
