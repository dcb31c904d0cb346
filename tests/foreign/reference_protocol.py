"""A second implementation of the host's side, written from docs/PROTOCOL.md alone.

It imports nothing of this project, so whatever the two halves of the project share (framing, tags, status words,
SCP03) is judged here by code that shares nothing with them. Only the standard library, pyserial and cryptography.

The layers, from the wire up: `Line` (frames), `Session` (HELLO, sequence numbers, repeats), `Card` (APDUs, 61xx),
`SecureChannel` (SCP03). Section numbers are those of the page. On top stand reference_credential.py, which foretells
the answers, and reference_client.py, the program.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import serial
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

HELLO, APDU = 0x01, 0x02
HELLO_REPLY, APDU_REPLY, PENDING, ERROR = 0x81, 0x82, 0x83, 0x84
CORRUPT, NO_SESSION, SEQUENCE, UNKNOWN_KIND, VERSION, BUSY = 1, 2, 3, 4, 5, 6
POLL_S = 0.1
REPLY_TIMEOUT_S = 1.0
TOUCH_TIMEOUT_S = 17.0
REPEATS = 3

FACTORY_KEY = bytes.fromhex("404142434445464748494A4B4C4D4E4F")
OATH = bytes.fromhex("A0000005272101")
MANAGEMENT = bytes.fromhex("F06877746F6B656E01")


class Disagreement(Exception):
    """The token did something other than the page says."""


class OutcomeUnknown(Disagreement):
    """The token was restarted, or stayed silent, after a command had left (section 2, lost replies)."""


# --- section 2: frames ------------------------------------------------------------------------------------------------


class Frame(NamedTuple):
    kind: int
    sequence: int
    session: int
    payload: bytes


def cobs_encode(data: bytes) -> bytes:
    """Consistent Overhead Byte Stuffing, without the delimiter; a full last group gets no empty one after it."""
    encoded = bytearray()
    zero_ended = data.split(b"\0")
    for index, run in enumerate(zero_ended):
        is_last = index == len(zero_ended) - 1
        while len(run) >= 254:
            encoded += b"\xff" + run[:254]
            run = run[254:]
            if not run and is_last:
                return bytes(encoded)
        encoded += bytes([len(run) + 1]) + run
    return bytes(encoded)


def cobs_decode(encoded: bytes) -> bytes:
    """The inverse of cobs_encode, taking both forms of a full last group; ValueError for anything else."""
    data = bytearray()
    position = 0
    while position < len(encoded):
        code = encoded[position]
        group = encoded[position + 1 : position + code]
        if code == 0 or len(group) != code - 1 or 0 in group:
            raise ValueError("not COBS")
        data += group
        position += code
        if code != 0xFF and position < len(encoded):
            data.append(0)
    return bytes(data)


def encode_frame(frame: Frame) -> bytes:
    body = struct.pack(">BBI", frame.kind, frame.sequence, frame.session) + frame.payload
    return cobs_encode(body + struct.pack(">I", binascii.crc32(body))) + b"\0"


def decode_frame(encoded: bytes) -> Frame:
    """The frame between two delimiters; ValueError if it is noise."""
    body = cobs_decode(encoded)
    if len(body) < 10 or binascii.crc32(body[:-4]) != int.from_bytes(body[-4:], "big"):
        raise ValueError("size or CRC")
    kind, sequence, session = struct.unpack(">BBI", body[:6])
    return Frame(kind, sequence, session, body[6:-4])


class Line:
    """Frames over a serial port. Noise between delimiters is skipped."""

    def __init__(self, port: str) -> None:
        self._serial = serial.Serial(port, timeout=POLL_S)
        self._received = bytearray()

    def write(self, data: bytes) -> None:
        self._serial.write(data)

    def frames(self, timeout_s: float) -> Iterator[Frame]:
        """Each valid frame that arrives until timeout_s seconds have passed without one."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if 0 not in self._received:
                self._received += self._serial.read(max(1, self._serial.in_waiting))
                continue
            encoded, _, self._received = self._received.partition(b"\0")
            try:
                frame = decode_frame(bytes(encoded))
            except ValueError:
                continue
            deadline = time.monotonic() + timeout_s
            yield frame


# --- section 2: sessions ----------------------------------------------------------------------------------------------


class Session:
    """One HELLO session at a time: commands exactly once, or OutcomeUnknown."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.number = 0
        self.sequence = 0
        self.boot_id = b""
        self.longest_apdu = 0

    def hello(self) -> None:
        """Open a new session. The device forgets whatever was open on this channel."""
        self.number = secrets.randbits(32)
        self.sequence = 0
        reply = self._converse(Frame(HELLO, 0, self.number, b"\x01"), HELLO_REPLY)
        if len(reply) != 11 or reply[0] != 1:
            raise Disagreement("HELLO REPLY is not version 01, boot id, longest APDU")
        self.boot_id, self.longest_apdu = reply[1:9], int.from_bytes(reply[9:], "big")

    def next_frame(self, apdu: bytes) -> Frame:
        self.sequence = (self.sequence + 1) % 256
        return Frame(APDU, self.sequence, self.number, apdu)

    def exchange(self, apdu: bytes) -> bytes:
        """Send a command APDU, return the response APDU."""
        return self._converse(self.next_frame(apdu), APDU_REPLY)

    def repeat(self, frame: Frame) -> bytes:
        """Send this frame as it is and return its reply: the first time, or again as after a lost reply."""
        return self._converse(frame, APDU_REPLY)

    def answer_to(self, data: bytes, kind: int) -> Frame:
        """Write raw bytes and return the first frame of this kind that comes back."""
        self.line.write(data)
        for frame in self.line.frames(REPLY_TIMEOUT_S):
            if frame.kind == kind:
                return frame
        raise Disagreement(f"no frame of kind {kind:02X} came back")

    def _converse(self, frame: Frame, expected_kind: int) -> bytes:
        encoded = encode_frame(frame)
        for _ in range(1 + REPEATS):
            self.line.write(encoded)
            payload = self._await(frame, expected_kind)
            if payload is not None:
                return payload
        raise OutcomeUnknown("no reply to a frame that was repeated")

    def _await(self, sent: Frame, expected_kind: int) -> bytes | None:
        """The payload of the reply to `sent`, or None if it should be repeated."""
        timeout_s = REPLY_TIMEOUT_S
        while True:
            for got in self.line.frames(timeout_s):
                if got.kind == ERROR and got.payload[:1] == bytes([CORRUPT]):
                    return None
                if (got.session, got.sequence) != (sent.session, sent.sequence):
                    continue  # a late reply to an earlier frame
                if got.kind == expected_kind:
                    return got.payload
                if got.kind == PENDING:
                    timeout_s = TOUCH_TIMEOUT_S
                    break
                if got.kind == ERROR and got.payload[:1] == bytes([NO_SESSION]):
                    raise OutcomeUnknown("the token was restarted or the line was reopened")
                raise Disagreement(f"frame of kind {got.kind:02X} where {expected_kind:02X} was due")
            else:
                return None


# --- section 3: APDUs -------------------------------------------------------------------------------------------------


def command_apdu(header: bytes, data: bytes = b"", le: int | None = None) -> bytes:
    """ISO/IEC 7816-4 command, short where it fits; `le` 1..65536 bytes expected, None for none said."""
    if len(data) <= 255 and (le is None or le <= 256):
        lc_and_data = bytes([len(data)]) + data if data else b""
        return header + lc_and_data + (b"" if le is None else bytes([le % 256]))
    lc_and_data = struct.pack(">H", len(data)) + data if data else b""
    return header + b"\0" + lc_and_data + (b"" if le is None else struct.pack(">H", le % 65536))


def tlv(tag: int, value: bytes) -> bytes:
    """One-byte tag, BER length."""
    size = len(value)
    if size < 0x80:
        return bytes([tag, size]) + value
    return bytes([tag]) + (bytes([0x81, size]) if size < 0x100 else b"\x82" + struct.pack(">H", size)) + value


def parse_tlvs(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        tag, size, start = data[0], data[1], 2
        if size > 0x80:
            start = 2 + size - 0x80
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            raise Disagreement("a TLV runs over the end of the reply")
        found.append((tag, data[start : start + size]))
        data = data[start + size :]
    return found


class Response(NamedTuple):
    data: bytes
    sw: int


class Card:
    """Commands to the selected applet, plain or, once `channel` is set, secured."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.channel: SecureChannel | None = None

    def transmit(self, header: str, data: bytes = b"", le: int | None = 256) -> Response:
        """Send a command; `header` is CLA INS P1 P2 in hexadecimal. Fetches what 61xx announces."""
        return self._collect(command_apdu(bytes.fromhex(header), data, le))

    def secured(self, header: str, data: bytes = b"", le: int | None = 256) -> Response:
        """Send a command, CLA 84, through the secure channel."""
        if self.channel is None:
            raise Disagreement("no secure channel is open")
        return self.channel.unwrap(self._collect(self.channel.wrap(bytes.fromhex(header), data, le)))

    def select(self, aid: bytes) -> bytes:
        self.channel = None
        return self.expect(0x9000, self.transmit("00A40400", aid))

    def open_channel(self, keys: Keys, level: int, version: int = 0) -> None:
        """INITIALIZE UPDATE and EXTERNAL AUTHENTICATE (section 4)."""
        host_challenge = secrets.token_bytes(8)
        reply = self.expect(0x9000, self.transmit(f"8050{version:02X}00", host_challenge))
        if len(reply) != 29 or reply[11:13] != b"\x03\x60" or reply[8:10] != b"\0\0":
            raise Disagreement("INITIALIZE UPDATE's reply has another form")
        channel = SecureChannel(keys, host_challenge, reply[13:21], level)
        if not hmac.compare_digest(reply[21:], channel.card_cryptogram):
            raise Disagreement("the card cryptogram is wrong")
        self.expect(0x9000, self._collect(channel.external_authenticate()))
        self.channel = channel

    def _collect(self, apdu: bytes) -> Response:
        collected = b""
        while True:
            raw = self.session.exchange(apdu)
            data, sw = raw[:-2], int.from_bytes(raw[-2:], "big")
            collected += data
            if sw >> 8 != 0x61:
                return Response(collected, sw)
            apdu = bytes.fromhex("00A50000") + bytes([sw & 0xFF])

    @staticmethod
    def expect(sw: int, response: Response) -> bytes:
        if response.sw != sw:
            raise Disagreement(f"status word {response.sw:04X} where {sw:04X} was due")
        return response.data


# --- section 4: SCP03 -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Keys:
    enc: bytes
    mac: bytes
    dek: bytes

    def __repr__(self) -> str:
        return "Keys()"

    @classmethod
    def factory(cls) -> Keys:
        return cls(FACTORY_KEY, FACTORY_KEY, FACTORY_KEY)

    @classmethod
    def random(cls) -> Keys:
        return cls(secrets.token_bytes(16), secrets.token_bytes(16), secrets.token_bytes(16))


def aes_cmac(key: bytes, message: bytes) -> bytes:
    cmac = CMAC(algorithms.AES(key))
    cmac.update(message)
    return cmac.finalize()


def aes_block(key: bytes, block: bytes) -> bytes:
    return aes_cbc(key, bytes(16), block)  # one block under a zero IV is AES itself


def aes_cbc(key: bytes, iv: bytes, data: bytes, *, decrypt: bool = False) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    work = cipher.decryptor() if decrypt else cipher.encryptor()
    return work.update(data) + work.finalize()


def kdf(key: bytes, constant: int, bits: int, context: bytes) -> bytes:
    label = bytes(11) + bytes([constant])
    return aes_cmac(key, label + b"\0" + struct.pack(">H", bits) + b"\x01" + context)[: bits // 8]


def pad(data: bytes) -> bytes:
    return data + b"\x80" + bytes(-(len(data) + 1) % 16)


def unpad(data: bytes) -> bytes:
    stripped = data.rstrip(b"\0")
    if stripped[-1:] != b"\x80":
        raise Disagreement("the padding of a decrypted reply is wrong")
    return stripped[:-1]


class SecureChannel:
    """The host's half of one SCP03 session, level 13 or 33 (C-MAC, C-ENCRYPTION and R-MAC; 33 adds R-ENCRYPTION)."""

    def __init__(self, keys: Keys, host_challenge: bytes, card_challenge: bytes, level: int) -> None:
        context = host_challenge + card_challenge
        self.s_enc = kdf(keys.enc, 4, 128, context)
        self.s_mac = kdf(keys.mac, 6, 128, context)
        self.s_rmac = kdf(keys.mac, 7, 128, context)
        self.card_cryptogram = kdf(self.s_mac, 0, 64, context)
        self.host_cryptogram = kdf(self.s_mac, 1, 64, context)
        self.level = level
        self.chaining_value = bytes(16)
        self._counter = 0

    def external_authenticate(self) -> bytes:
        return self._with_mac(bytes([0x84, 0x82, self.level, 0]), self.host_cryptogram, None)

    def wrap(self, header: bytes, data: bytes, le: int | None) -> bytes:
        """The secured command APDU."""
        self._counter += 1
        if data:
            data = aes_cbc(self.s_enc, self._iv(0x00), pad(data))
        return self._with_mac(header, data, le)

    def unwrap(self, response: Response) -> Response:
        """The plain response; a status other than 9000, 62xx, 63xx comes bare."""
        if response.sw != 0x9000 and response.sw >> 8 not in (0x62, 0x63):
            if response.data:
                raise Disagreement("an error came with data")
            return response
        data, mac = response.data[:-8], response.data[-8:]
        expected = aes_cmac(self.s_rmac, self.chaining_value + data + struct.pack(">H", response.sw))[:8]
        if not hmac.compare_digest(mac, expected):
            raise Disagreement("the MAC of a reply is wrong")
        if data and self.level == 0x33:
            data = unpad(aes_cbc(self.s_enc, self._iv(0x80), data, decrypt=True))
        return Response(data, response.sw)

    def _iv(self, first: int) -> bytes:
        return aes_block(self.s_enc, bytes([first]) + self._counter.to_bytes(15, "big"))

    def _with_mac(self, header: bytes, data: bytes, le: int | None) -> bytes:
        """Put a MAC behind the data. The command's form, and so the size of Lc, is that of the final command."""
        unsigned = command_apdu(header, data + bytes(8), le)
        end_of_data = len(unsigned) - (0 if le is None else 2 if unsigned[4] == 0 else 1)
        self.chaining_value = aes_cmac(self.s_mac, self.chaining_value + unsigned[: end_of_data - 8])
        return unsigned[: end_of_data - 8] + self.chaining_value[:8] + unsigned[end_of_data:]


def put_key_data(version: int, new: Keys, current_dek: bytes) -> bytes:
    """PUT KEY's data (section 7)."""
    data = bytes([version])
    for key in (new.enc, new.mac, new.dek):
        data += b"\x88\x10" + aes_cbc(current_dek, bytes(16), key) + b"\x03" + key_check_value(key)
    return data


def key_check_value(key: bytes) -> bytes:
    return aes_block(key, b"\x01" * 16)[:3]
