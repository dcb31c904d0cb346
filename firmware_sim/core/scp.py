"""The token's side of SCP03: a handshake that becomes a session. docs/PROTOCOL.md section 4.

Loads `cryptography`; whoever opens the first secure channel pays for that.
"""

from __future__ import annotations

import hmac

from firmware_sim.core.refusal import Refused
from firmware_sim.seams import Random
from provision.wire import scp03
from provision.wire.apdu import CLA_PLAIN, Command, Sw
from provision.wire.globalplatform import CHALLENGE_SIZE


class Handshake:
    """After INITIALIZE UPDATE. `reply` is what answers it."""

    def __init__(
        self, *, keys: scp03.KeySet, version: int, device_id: bytes, host_challenge: bytes, random: Random
    ) -> None:
        card_challenge = random.randbytes(CHALLENGE_SIZE)
        self._session = scp03.session_keys(keys, host_challenge, card_challenge)
        self._host_cryptogram = scp03.host_cryptogram(self._session, host_challenge, card_challenge)
        self.reply = scp03.InitializeUpdateReply(
            diversification=device_id + bytes(2),
            kvn=version,
            card_challenge=card_challenge,
            card_cryptogram=scp03.card_cryptogram(self._session, host_challenge, card_challenge),
        ).encode()

    def authenticate(self, command: Command) -> SecureSession:
        """EXTERNAL AUTHENTICATE. Raises Refused: 6A86 for a level we do not speak, 6700, 6300 for anything but our
        administrator, after which the handshake must not be used again."""
        try:
            level = scp03.Level(command.p1)
        except ValueError:
            raise Refused(Sw.INCORRECT_P1_P2) from None
        if command.p2:
            raise Refused(Sw.INCORRECT_P1_P2)
        if len(command.data) != CHALLENGE_SIZE + scp03.MAC_SIZE:
            raise Refused(Sw.WRONG_LENGTH)
        session = SecureSession(self._session, level)
        data, mac = command.data[: -scp03.MAC_SIZE], command.data[-scp03.MAC_SIZE :]
        mac_is_right = session.advance_chain(command._replace(data=data), mac)
        if not (mac_is_right & hmac.compare_digest(data, self._host_cryptogram)):
            raise Refused(Sw.AUTHENTICATION_FAILED)
        return session


class SecureSession:
    """After EXTERNAL AUTHENTICATE: the chaining value and the counter."""

    def __init__(self, keys: scp03.SessionKeys, level: scp03.Level) -> None:
        self._keys = keys
        self._level = level
        self._chain = scp03.INITIAL_CHAIN
        self._counter = 0

    def accept(self, command: Command) -> bool:
        """Whether the command carries the right MAC. If so the counter has grown; if not the session must be dropped:
        somebody else is on the line, or the two ends have lost each other."""
        size = max(len(command.data) - scp03.MAC_SIZE, 0)
        if not self.advance_chain(command._replace(data=command.data[:size]), command.data[size:]):
            return False
        self._counter += 1
        return True

    def advance_chain(self, command: Command, mac: bytes) -> bool:
        """Whether `mac` belongs to `command` (its data without MAC) here in the chain, which moves on."""
        self._chain = scp03.command_mac(self._keys, self._chain, command)
        return hmac.compare_digest(mac, self._chain[: scp03.MAC_SIZE])

    def decrypt(self, command: Command) -> Command:
        """The plain form of the command accepted last. Raises WireError if it is not encrypted as it should be."""
        body = command.data[: -scp03.MAC_SIZE]
        return command._replace(cla=CLA_PLAIN, data=scp03.decrypt(self._keys, self._counter, body) if body else b"")

    def wrap(self, data: bytes, sw: int) -> bytes:
        """The response data, R-MAC included, that answers the command accepted last."""
        if sw != Sw.OK and sw >> 8 not in (0x62, 0x63):
            return b""
        if data and self._level is scp03.Level.C_MAC_C_ENC_R_MAC_R_ENC:
            data = scp03.encrypt(self._keys, self._counter, data, response=True)
        return data + scp03.response_mac(self._keys, self._chain, data, sw)
