"""The other end of a channel, as small as it can be."""

from __future__ import annotations

from firmware_sim.seams import ApduChannel
from provision.wire import globalplatform, oath, scp03
from provision.wire.apdu import (
    CLA_GLOBALPLATFORM,
    CLA_PLAIN,
    CLA_SECURE,
    INS_SELECT,
    P1_SELECT_BY_AID,
    Command,
    Response,
    Sw,
    decode_response,
    encode_command,
)

_ALL = 65536  # Le: as much as there is


class Host:
    """The other end of a channel: plain commands, and an administrator's secure channel. Checks every R-MAC."""

    def __init__(self, channel: ApduChannel, keys: scp03.KeySet = scp03.FACTORY_KEYS) -> None:
        self.channel = channel
        self.keys = keys
        self.level = scp03.Level.C_MAC_C_ENC_R_MAC_R_ENC
        self.session: scp03.SessionKeys | None = None
        self.chain = scp03.INITIAL_CHAIN
        self.counter = 0

    def exchange(self, command: Command) -> Response:
        """One command and its whole reply. A command that waits for a touch is a mistake here: use the channel."""
        raw = self.channel.transmit(encode_command(command))
        assert raw is not None, "the command waits for a touch"
        data, sw = decode_response(raw)
        while sw >> 8 == Sw.MORE_DATA >> 8:
            raw = self.channel.transmit(encode_command(Command(CLA_PLAIN, oath.Ins.SEND_REMAINING, 0, 0, b"", _ALL)))
            assert raw is not None
            more, sw = decode_response(raw)
            data += more
        return Response(data, sw)

    def send(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Response:
        return self.exchange(Command(CLA_PLAIN, ins, p1, p2, data, _ALL))

    def select(self, aid: bytes = oath.OATH_AID) -> Response:
        return self.send(INS_SELECT, P1_SELECT_BY_AID, 0, aid)

    def open(self, aid: bytes = oath.OATH_AID, *, level: scp03.Level | None = None, kvn: int = 0) -> Response:
        """Select and open the secure channel; the response of whichever command refused, or of the last."""
        self.select(aid)
        self.level = self.level if level is None else level
        challenge = bytes(range(globalplatform.CHALLENGE_SIZE))
        answer = self.exchange(
            Command(CLA_GLOBALPLATFORM, globalplatform.INS_INITIALIZE_UPDATE, kvn, 0, challenge, _ALL)
        )
        if answer.sw != Sw.OK:
            return answer
        card = scp03.InitializeUpdateReply.decode(answer.data)
        self.session = scp03.session_keys(self.keys, challenge, card.card_challenge)
        self.chain, self.counter = scp03.INITIAL_CHAIN, 0
        cryptogram = scp03.host_cryptogram(self.session, challenge, card.card_challenge)
        return self.exchange(
            self.sign(Command(CLA_SECURE, globalplatform.INS_EXTERNAL_AUTHENTICATE, self.level, 0, cryptogram))
        )

    def sign(self, command: Command) -> Command:
        """The command with its C-MAC; the chain moves on."""
        assert self.session is not None
        self.chain = scp03.command_mac(self.session, self.chain, command)
        return command._replace(data=command.data + self.chain[: scp03.MAC_SIZE])

    def wrap(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Command:
        assert self.session is not None
        self.counter += 1
        body = scp03.encrypt(self.session, self.counter, data) if data else b""
        return self.sign(Command(CLA_SECURE, ins, p1, p2, body, _ALL, extended=True))

    def unwrap(self, answer: Response) -> Response:
        assert self.session is not None
        if answer.sw != Sw.OK and answer.sw >> 8 not in (0x62, 0x63):
            return answer
        body, mac = answer.data[: -scp03.MAC_SIZE], answer.data[-scp03.MAC_SIZE :]
        assert mac == scp03.response_mac(self.session, self.chain, body, answer.sw), "a wrong R-MAC"
        if body and self.level is scp03.Level.C_MAC_C_ENC_R_MAC_R_ENC:
            body = scp03.decrypt(self.session, self.counter, body, response=True)
        return Response(body, answer.sw)

    def secure(self, ins: int, p1: int = 0, p2: int = 0, data: bytes = b"") -> Response:
        """Inside the secure channel opened before."""
        return self.unwrap(self.exchange(self.wrap(ins, p1, p2, data)))
