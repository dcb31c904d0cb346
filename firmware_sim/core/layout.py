"""What a token keeps where: the keys of its journalled store. 0020 to 00FF, 0400 and up are each family's own."""

from __future__ import annotations

import enum


@enum.unique
class Key(enum.IntEnum):
    DEVICE_ID = 0x0001  # 8 bytes, written at the first power-up, for ever
    LABEL = 0x0002  # UTF-8; absent: empty
    ADMIN_KEYS = 0x0003  # key version u8 | ENC 16 | MAC 16 | DEK 16; absent: the factory's
    PIN_VERIFIER = 0x0010  # salt 16 | PBKDF2-HMAC-SHA-256 32; absent: no PIN is set
    PIN_ATTEMPTS = 0x0011  # u8, beside the verifier


CREDENTIALS = 0x0100  # plus the slot: a credential (credentials.py)
COUNTERS = 0x0200  # plus the slot: a HOTP counter u32, apart so that counting does not copy the secret about
