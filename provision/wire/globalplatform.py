"""What both ends must know of GlobalPlatform (Card Specification v2.3) before a secure channel is open.

Apart from scp03.py because that loads `cryptography`, which a token that nobody administers need not pay for.
"""

from __future__ import annotations

INS_INITIALIZE_UPDATE = 0x50
INS_EXTERNAL_AUTHENTICATE = 0x82
CHALLENGE_SIZE = 8  # bytes, of the host's and of the card's (Amendment D, the S8 mode)
FACTORY_KVN = 0xFF  # key version of the keys that a card leaves the factory with
