"""SCP03, the host's side of one session (docs/PROTOCOL.md section 4). The arithmetic is in wire/scp03.py.

A channel is opened by mutual authentication, then wraps commands and unwraps responses in strict turn. Keys stay
inside. Whatever the token gets wrong in the protocol, a MAC above all, is a RemoteProtocolError: somebody may sit on
the wire, so nothing of that answer is used.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from provision.errors import AdminKeyIncorrect, RemoteProtocolError
from provision.families.derivation import derive
from provision.model import Secret
from provision.wire import WireError, scp03
from provision.wire.apdu import CLA_GLOBALPLATFORM, CLA_SECURE, MAX_SHORT, Command, Response, Sw
from provision.wire.globalplatform import FACTORY_KVN, INS_EXTERNAL_AUTHENTICATE, INS_INITIALIZE_UPDATE

FIRST_KVN = 0x01
"""The key version that replaces the factory's FF."""

_ANY_KVN = 0x00
_LEVEL = scp03.Level.C_MAC_C_ENC_R_MAC_R_ENC


def derive_keys(master: Secret, serial: str) -> scp03.KeySet:
    """ENC, MAC and DEK of one token, from the organisation's master. Raises InputError."""
    okm = derive(master, "hwtoken reference scp03 v1", serial, 3 * scp03.KEY_SIZE)
    return scp03.KeySet(okm[:16], okm[16:32], okm[32:])


class SecureChannel:
    """One authenticated session with one applet of one token."""

    def __init__(
        self,
        transmit: Callable[[Command], Response],
        keys: scp03.KeySet,
        host_challenge: bytes,
        *,
        factory: bool,
        who: str,
    ) -> None:
        """Authenticate both ways. `factory`: whether `keys` are the published ones, `who`: names the token in errors.

        Raises AdminKeyIncorrect, LinkError, RemoteProtocolError.
        """
        self._who = who
        reply = transmit(Command(CLA_GLOBALPLATFORM, INS_INITIALIZE_UPDATE, _ANY_KVN, 0, host_challenge, MAX_SHORT))
        if reply.sw != Sw.OK:
            raise self._broken(f"INITIALIZE UPDATE was answered with status {reply.sw:04X}")
        try:
            card = scp03.InitializeUpdateReply.decode(reply.data)
        except WireError as error:
            raise self._broken(str(error)) from error
        self.kvn = card.kvn
        _check_version(who, card.kvn, factory=factory)
        self._keys = scp03.session_keys(keys, host_challenge, card.card_challenge)
        expected = scp03.card_cryptogram(self._keys, host_challenge, card.card_challenge)
        if not hmac.compare_digest(expected, card.card_cryptogram):
            raise AdminKeyIncorrect(
                f"the administrator key is not the one of {who}",
                hint="give the key with which this token was programmed, or factory-reset it with its button",
            )
        self._counter = 0
        self._chain = scp03.INITIAL_CHAIN
        cryptogram = scp03.host_cryptogram(self._keys, host_challenge, card.card_challenge)
        final = transmit(self._with_mac(Command(CLA_SECURE, INS_EXTERNAL_AUTHENTICATE, _LEVEL, 0, cryptogram, None)))
        if final.sw != Sw.OK:
            # The token proved that it has the same keys, so they cannot be wrong: something between altered bytes.
            raise self._broken(f"EXTERNAL AUTHENTICATE was answered with status {final.sw:04X}")

    def __repr__(self) -> str:
        return f"SecureChannel({self._who})"

    def wrap(self, command: Command) -> Command:
        """The command as it goes out: encrypted and with its MAC. Its response must be unwrapped before the next."""
        self._counter += 1
        data = scp03.encrypt(self._keys, self._counter, command.data) if command.data else b""
        return self._with_mac(command._replace(cla=CLA_SECURE, data=data))

    def unwrap(self, response: Response) -> Response:
        """The response to the last command. An error status comes bare, as the standard has it."""
        data, sw = response
        if sw != Sw.OK and sw >> 8 not in (0x62, 0x63):
            return response
        body, mac = data[: -scp03.MAC_SIZE], data[-scp03.MAC_SIZE :]
        if not hmac.compare_digest(mac, scp03.response_mac(self._keys, self._chain, body, sw)):
            raise self._broken("a response inside the secure channel has a wrong MAC")
        try:
            return Response(scp03.decrypt(self._keys, self._counter, body, response=True) if body else b"", sw)
        except WireError as error:
            raise self._broken(str(error)) from error

    def _with_mac(self, command: Command) -> Command:
        self._chain = scp03.command_mac(self._keys, self._chain, command)
        return command._replace(data=command.data + self._chain[: scp03.MAC_SIZE])

    def _broken(self, what: str) -> RemoteProtocolError:
        return RemoteProtocolError(
            f"{self._who}: {what}", hint="unplug the token, plug it in directly and try again; do not trust the cable"
        )


def _check_version(who: str, kvn: int, *, factory: bool) -> None:
    if factory and kvn != FACTORY_KVN:
        raise AdminKeyIncorrect(
            f"{who} no longer has its factory keys (it has key version {kvn:02X})",
            hint="give the administrator key with --admin-key-file",
        )
    if not factory and kvn == FACTORY_KVN:
        raise AdminKeyIncorrect(
            f"{who} still has its factory keys",
            hint="leave --admin-key-file away, or give the token its key first with `provision token set-admin-key`",
        )
