"""Computes tests/vectors/protocol.json: worked examples of docs/PROTOCOL.md, by the reference client's code.

    python tests/foreign/make_vectors.py > tests/vectors/protocol.json

Nothing of the project's wire code takes part, so the file holds that code to the page (test_protocol_vectors.py) and
shows whoever builds the hardware what the bytes look like. `published` was computed by others: it holds the reference
client itself.
"""

from __future__ import annotations

import hmac
import json
import struct
import sys
from typing import Any

from reference_credential import check_value, hotp_value
from reference_protocol import (
    APDU,
    APDU_REPLY,
    ERROR,
    HELLO,
    HELLO_REPLY,
    MANAGEMENT,
    OATH,
    PENDING,
    Frame,
    Keys,
    Response,
    SecureChannel,
    aes_cbc,
    aes_cmac,
    cobs_encode,
    command_apdu,
    encode_frame,
    key_check_value,
    pad,
    put_key_data,
    tlv,
)

ABOUT = [
    "Worked examples of docs/PROTOCOL.md. All bytes in hexadecimal, integers in decimal.",
    "Made by tests/foreign/make_vectors.py with the reference client's code, written from the page alone: standard",
    "library and the AES of pyca/cryptography, nothing of this project. 'published' is by others, as cited there.",
    "cobs: Cheshire and Baker 1999; 'also' is the other encoding of the same bytes that a decoder takes.",
    "Every 'secret' is that of RFC 6238 appendix B: 1234567890 repeated to 20, 32 and 64 bytes.",
]

BOOT_ID = bytes.fromhex("B0071D0000C0FFEE")
SESSION = 0x00C0FFEE
KEYS = Keys(*(bytes(range(first, first + 16)) for first in (0x00, 0x10, 0x20)))
NEW_KEYS = Keys(*(bytes(range(first, first + 16)) for first in (0xA0, 0xB0, 0xC0)))
HOST_CHALLENGE = bytes.fromhex("0011223344556677")
CARD_CHALLENGE = bytes.fromhex("8899AABBCCDDEEFF")
RFC_SECRETS = {"sha1": b"1234567890" * 2, "sha256": (b"1234567890" * 4)[:32], "sha512": (b"1234567890" * 7)[:64]}
RFC_TIMES_S = [59, 1111111109, 1111111111, 1234567890, 2000000000, 20000000000]
TYPE_TOTP = {"sha1": 0x21, "sha256": 0x22, "sha512": 0x23}

# pySim's tests/unittests/test_globalplatform.py, class SCP03_Test_AES128_33: the dialogue of a real eUICC at level 33.
PYSIM: dict[str, Any] = {
    "source": "pySim, tests/unittests/test_globalplatform.py, SCP03_Test_AES128_33: a real card's dialogue, level 33",
    "key_enc": "000102030405060708090a0b0c0d0e0f",
    "key_mac": "101112131415161718191a1b1c1d1e1f",
    "key_dek": "202122232425262728292a2b2c2d2e2f",
    "key_check_values": ["c35280", "013808", "840de5"],
    "host_challenge": "fdf38259a1e0de44",
    "initialize_update_reply": "000000000000000000003003703b1aca81e821f219081cdc01c26b372d000003",
    "external_authenticate": "84823300108c36f96bcc00724a4e13ad591d7da3f0",
    "commands": [
        {
            "plain": "80e2910006bf3e035c015a00",
            "wrapped": "84e2910018267a85dfe4a98fca6fb0527e0dfecce4914e40401433c87f00",
            "wrapped_reply": "f3ba2b1013aa6224f5e1c138d71805c569e5439b47576260b75fc021b25097cb2e68f8a0144975b99000",
            "plain_reply": "bf3e125a10898821199000000000000000000000059000",
        },
        {"plain": "80f22002", "wrapped": "84f2200208ac6a59024bed84cc"},
        {"plain": "80ca006600", "wrapped": "84ca006608409912ad8fb7aed000"},
        {
            "plain": "80f220020a4f0212345c054f9f70c5",
            "wrapped": "84f22002185f3dafc3ac14c381536a488bf44e06d056df9d74dbd21e5a",
        },
        {
            "plain": "80f28002024f0000",
            "wrapped": "84f280021865165105be3373347d0424d4400af2ac393f569ec779389e00",
        },
    ],
}

Vectors = list[dict[str, Any]]


def cobs() -> Vectors:
    run = bytes(range(1, 255))
    cases = [
        b"\0",
        b"\0\0",
        b"\x11\x22\0\x33",
        run[:-1],
        run,
        run + b"\0",
        run + b"\xff",
        b"\0" + run,
        run + run,
        run * 2 + b"\0\x01",
    ]
    made: Vectors = [{"data": data.hex(), "encoded": cobs_encode(data).hex()} for data in cases]
    for case in made:
        if bytes.fromhex(case["data"]).endswith(run):
            case["also"] = case["encoded"] + "01"
    return made


def frames() -> Vectors:
    select = command_apdu(bytes.fromhex("00A40400"), OATH, 256)
    full_body = b"\x01" * (254 - 6)  # the CRC starts a group of its own
    made = [
        Frame(HELLO, 0, SESSION, b"\x01"),
        Frame(HELLO_REPLY, 0, SESSION, b"\x01" + BOOT_ID + struct.pack(">H", 1024)),
        Frame(APDU, 1, SESSION, select),
        Frame(APDU_REPLY, 1, SESSION, bytes.fromhex("7903050700") + tlv(0x71, bytes(range(8))) + b"\x90\0"),
        Frame(PENDING, 0xFF, SESSION, b"\x01\0\x0f"),
        Frame(ERROR, 0, 0, b"\x01" + BOOT_ID),
        Frame(APDU, 1, 0x01010101, full_body),
        Frame(APDU, 1, 0x01010101, full_body + b"\x01"),
        Frame(APDU, 1, 0x01010101, bytes(300)),
        Frame(APDU, 0x7F, 0xFFFFFFFF, bytes(range(256)) * 2),
        Frame(APDU_REPLY, 1, 0x01010101, b"\x02" * 4096),
    ]
    return [frame._asdict() | {"payload": frame.payload.hex(), "encoded": encode_frame(frame).hex()} for frame in made]


def wrap_response(channel: SecureChannel, chaining_value: bytes, counter: int, plain: Response) -> bytes:
    """The token's half of a response: the mirror of SecureChannel.unwrap."""
    data = plain.data
    if data and channel.level == 0x33:
        iv = aes_cbc(channel.s_enc, bytes(16), b"\x80" + counter.to_bytes(15, "big"))
        data = aes_cbc(channel.s_enc, iv, pad(data))
    sw = struct.pack(">H", plain.sw)
    return data + aes_cmac(channel.s_rmac, chaining_value + data + sw)[:8] + sw


def dialogue(level: int) -> dict[str, Any]:
    """A session at one level: an empty command, a short one, an extended Lc, a refusal, data of whole blocks."""
    channel = SecureChannel(KEYS, HOST_CHALLENGE, CARD_CHALLENGE, level)
    made: dict[str, Any] = {"level": level, "external_authenticate": channel.external_authenticate().hex()}
    made["commands"] = commands = []
    name = tlv(0x71, b"desk token")
    for counter, (header, data, le, reply, sw) in enumerate(
        [
            ("84540000", b"", 256, bytes.fromhex("0006540DCB5C1234"), 0x9000),
            ("84560000", "Schreibtisch ✓".encode(), None, b"", 0x9000),
            ("84010000", name + tlv(0x73, b"\x23\x08" + RFC_SECRETS["sha512"]), 4096, b"", 0x9000),
            ("84020000", tlv(0x71, b"nobody"), 256, b"", 0x6984),
            ("84B20000", tlv(0x80, b"31415926"), 256, b"", 0x63C7),
            ("84D10000", name + tlv(0x8C, bytes(range(8))), 256, bytes(range(16)), 0x9000),
        ],
        1,
    ):
        wrapped = channel.wrap(bytes.fromhex(header), data, le)
        secured = sw >> 8 in (0x90, 0x63)
        bare = struct.pack(">H", sw)
        response = wrap_response(channel, channel.chaining_value, counter, Response(reply, sw)) if secured else bare
        commands.append(
            {"header": header, "data": data.hex(), "le": le, "extended": le == 4096, "wrapped": wrapped.hex(),
             "chaining_value": channel.chaining_value.hex(), "reply": reply.hex() + bare.hex(),
             "wrapped_reply": response.hex()}
        )  # fmt: skip
    return made


def scp03() -> dict[str, Any]:
    channel = SecureChannel(KEYS, HOST_CHALLENGE, CARD_CHALLENGE, 0x33)
    diversification = bytes(range(8)) + bytes(2)
    return {
        "key_enc": KEYS.enc.hex(), "key_mac": KEYS.mac.hex(), "key_dek": KEYS.dek.hex(),
        "host_challenge": HOST_CHALLENGE.hex(), "card_challenge": CARD_CHALLENGE.hex(),
        "s_enc": channel.s_enc.hex(), "s_mac": channel.s_mac.hex(), "s_rmac": channel.s_rmac.hex(),
        "card_cryptogram": channel.card_cryptogram.hex(), "host_cryptogram": channel.host_cryptogram.hex(),
        "initialize_update_reply":
            (diversification + b"\x05\x03\x60" + CARD_CHALLENGE + channel.card_cryptogram).hex(),
        "dialogues": [dialogue(0x13), dialogue(0x33)],
    }  # fmt: skip


def put_key() -> dict[str, Any]:
    checks = [key_check_value(key).hex() for key in (NEW_KEYS.enc, NEW_KEYS.mac, NEW_KEYS.dek)]
    return {
        "new_version": 5, "current_dek": KEYS.dek.hex(),
        "new_enc": NEW_KEYS.enc.hex(), "new_mac": NEW_KEYS.mac.hex(), "new_dek": NEW_KEYS.dek.hex(),
        "data": put_key_data(5, NEW_KEYS, KEYS.dek).hex(), "reply": "05" + "".join(checks),
    }  # fmt: skip


def oath() -> Vectors:
    """RFC 6238 appendix B as PUT (own clock, step 30, 8 digits), CALCULATE and CHECK VALUE."""
    made: Vectors = []
    for algorithm, secret in RFC_SECRETS.items():
        name = f"rfc6238-{algorithm}".encode()
        own_clock = struct.pack(">HQB", 30, 0, 1)
        put = tlv(0x71, name) + tlv(0x73, bytes([TYPE_TOTP[algorithm], 8]) + secret)
        codes = []
        for time_s in RFC_TIMES_S:
            challenge = struct.pack(">Q", time_s // 30)
            value = tlv(0x76, struct.pack(">BI", 8, hotp_value(secret, time_s // 30, algorithm)))
            codes.append({
                "time_s": time_s,
                "code": f"{hotp_value(secret, time_s // 30, algorithm) % 10**8:08}",
                "own_clock_reply": (value + tlv(0x8B, struct.pack(">Q", time_s * 1_000_000))).hex(),
                "challenge_data": (tlv(0x71, name) + tlv(0x74, challenge)).hex(),
                "truncated_reply": value.hex(),
                "whole_reply": tlv(0x75, b"\x08" + hmac.digest(secret, challenge, algorithm)).hex(),
            })  # fmt: skip
        nonce = HOST_CHALLENGE
        made.append({
            "name": name.decode(), "algorithm": algorithm, "secret": secret.hex(),
            "put_data": put.hex(), "put_data_own_clock": (put + tlv(0x8A, own_clock)).hex(), "codes": codes,
            "nonce": nonce.hex(), "check_value_data": (tlv(0x71, name) + tlv(0x8C, nonce)).hex(),
            "check_value_reply": tlv(0x8C, check_value(secret, nonce)).hex(),
        })  # fmt: skip
    return made


def short_secret() -> dict[str, Any]:
    """CHECK VALUE of a 10-byte secret: the token keeps it padded with zeros to 14."""
    secret = b"1234567890"
    return {
        "secret": secret.hex(),
        "nonce": HOST_CHALLENGE.hex(),
        "check_value": check_value(secret, HOST_CHALLENGE).hex(),
    }


def hold_to_published() -> None:
    """Raise AssertionError unless the reference client reproduces the published dialogue."""
    keys = Keys(*(bytes.fromhex(PYSIM[name]) for name in ("key_enc", "key_mac", "key_dek")))
    assert [key_check_value(key).hex() for key in (keys.enc, keys.mac, keys.dek)] == PYSIM["key_check_values"]
    update = bytes.fromhex(PYSIM["initialize_update_reply"])
    channel = SecureChannel(keys, bytes.fromhex(PYSIM["host_challenge"]), update[13:21], 0x33)
    assert channel.card_cryptogram == update[21:29]
    assert channel.external_authenticate().hex() == PYSIM["external_authenticate"]
    for command in PYSIM["commands"]:
        plain = bytes.fromhex(command["plain"])
        lc = plain[4] if len(plain) > 5 else 0
        header, data = bytes([plain[0] | 4]) + plain[1:4], plain[5 : 5 + lc]
        le = 256 if len(plain) == 5 or len(plain) == 6 + lc else None
        assert channel.wrap(header, data, le).hex() == command["wrapped"]
        if "plain_reply" in command:
            wrapped, reply = bytes.fromhex(command["wrapped_reply"]), bytes.fromhex(command["plain_reply"])
            assert channel.unwrap(Response(wrapped[:-2], 0x9000)).data == reply[:-2]


def vectors() -> dict[str, Any]:
    return {
        "about": ABOUT,
        "aids": {"oath": OATH.hex(), "management": MANAGEMENT.hex()},
        "cobs": cobs(),
        "frames": frames(),
        "scp03": scp03(),
        "put_key": put_key(),
        "oath": oath(),
        "short_secret": short_secret(),
        "published": PYSIM,
    }


if __name__ == "__main__":
    hold_to_published()
    json.dump(vectors(), sys.stdout, indent=1)
    print()
