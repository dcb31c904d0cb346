"""The reference client: takes a new or factory-reset token through the whole life of its credentials.

    python tests/foreign/reference_client.py --port /dev/pts/N

prints a line for each step and exits 0 only if the token did all that docs/PROTOCOL.md says; otherwise 1, with what
it did instead. Keys, secrets and PINs are random and never printed. The token is left factory-reset.
"""

from __future__ import annotations

import argparse
import hmac
import secrets
import struct
import sys
import time
from collections.abc import Callable

import serial
from reference_credential import HOTP, NEEDS_PIN, NEEDS_TOUCH, OWN_CLOCK, TOTP, US_PER_S, Credential, check_value
from reference_protocol import (
    APDU,
    BUSY,
    CORRUPT,
    ERROR,
    HELLO,
    MANAGEMENT,
    NO_SESSION,
    OATH,
    PENDING,
    SEQUENCE,
    UNKNOWN_KIND,
    VERSION,
    Card,
    Disagreement,
    Frame,
    Keys,
    Line,
    Session,
    cobs_encode,
    command_apdu,
    encode_frame,
    key_check_value,
    parse_tlvs,
    put_key_data,
    tlv,
)

PIN_UNSET, PIN_SET, PIN_BLOCKED = 0, 1, 2
PIN_ATTEMPTS = 8
ROOM = 64
SLACK_S = 10


def agree(what: str, got: object, due: object) -> None:
    """Raise unless both are equal. The values are not shown: they may be secret."""
    if got != due:
        raise Disagreement(f"{what}: not what the page says")


def random_pin() -> bytes:
    return b"%08d" % secrets.randbelow(10**8)


def wrong_pin(pin: bytes) -> bytes:
    """A PIN of the same length that differs in its last digit."""
    return pin[:-1] + (b"1" if pin[-1:] == b"0" else b"0")


class Life:
    """The steps, in the order of `steps`. Each leaves what the next one needs."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.card = Card(session)
        self.keys = Keys.factory()
        self.pin = random_pin()
        self.desk = Credential("desk token", TOTP, 1, 6, secrets.token_bytes(20), 30, 0, OWN_CLOCK | NEEDS_PIN)
        self.vpn = Credential("60/vpn é", TOTP, 2, 8, secrets.token_bytes(32), step_s=60)
        self.door = Credential("door", HOTP, 3, 7, secrets.token_bytes(64))
        self.gate = Credential("gate", TOTP, 1, 6, secrets.token_bytes(14), touch=True)
        self.safe = Credential("safe", TOTP, 1, 6, secrets.token_bytes(20), 45, 1_000_000_000, OWN_CLOCK | NEEDS_TOUCH)

    # Helpers of the steps.

    def refused(self, sw: int, header: str, data: bytes = b"", *, secured: bool = False) -> None:
        send = self.card.secured if secured else self.card.transmit
        agree(f"refusal of {header[2:4]}, no data", self.card.expect(sw, send(header, data)), b"")

    def plain(self, header: str, data: bytes = b"", le: int | None = 256) -> bytes:
        return self.card.expect(0x9000, self.card.transmit(header, data, le))

    def secured(self, header: str, data: bytes = b"", le: int | None = 256) -> bytes:
        return self.card.expect(0x9000, self.card.secured(header, data, le))

    def info(self) -> dict[int, bytes]:
        return dict(parse_tlvs(self.plain("00CA0000")))

    def error(self, what: str, raw: bytes, code: int, echoed: tuple[int, int]) -> None:
        frame = self.session.answer_to(raw, ERROR)
        agree(what, frame.payload, bytes([code]) + self.session.boot_id)
        agree(f"{what}, its header", (frame.sequence, frame.session), echoed)

    def oath(self, level: int | None = None) -> None:
        self.card.select(OATH)
        if level is not None:
            self.card.open_channel(self.keys, level)

    def management(self, level: int | None = None) -> None:
        self.card.select(MANAGEMENT)
        if level is not None:
            self.card.open_channel(self.keys, level)

    # The steps.

    def hello(self) -> None:
        """HELLO twice: one boot, two sessions"""
        self.session.hello()
        boot_id = self.session.boot_id
        self.session.hello()
        agree("the boot id stays", self.session.boot_id, boot_id)

    def frame_errors(self) -> None:
        """a broken frame, a foreign session, a skipped number, an unknown kind and version: each its own error"""
        select = command_apdu(bytes.fromhex("00A40400"), OATH, 256)
        session = self.session
        frame = session.next_frame(select)
        ours = (frame.sequence, frame.session)
        self.error("CORRUPT", cobs_encode(b"noise, not a frame") + b"\0", CORRUPT, (0, 0))
        other = frame._replace(session=session.number ^ 1)
        self.error("NO SESSION", encode_frame(other), NO_SESSION, (other.sequence, other.session))
        self.error("SEQUENCE", encode_frame(frame._replace(sequence=2)), SEQUENCE, (2, session.number))
        self.error("UNKNOWN KIND", encode_frame(frame._replace(kind=0x7F)), UNKNOWN_KIND, ours)
        self.error("VERSION", encode_frame(Frame(HELLO, 0, session.number, b"\x09")), VERSION, (0, session.number))
        session.hello()  # whether a refused HELLO ends a session is the device's own business
        frame = session.next_frame(select)
        first = session.repeat(frame)
        agree("the repeat of a frame", session.repeat(frame), first)
        self.error(
            "other bytes, same number",
            encode_frame(frame._replace(kind=APDU, payload=select[:-1])),
            SEQUENCE,
            (frame.sequence, session.number),
        )

    def first_look(self) -> None:
        """management: INFO of a token out of its box"""
        agree("SELECT answers nothing", self.card.select(MANAGEMENT[:5]), b"")
        info = self.info()
        agree("tags of INFO", sorted(info), list(range(0xC1, 0xC9)))
        agree("serial", 1 <= len(info[0xC1].decode("ascii")) <= 32, True)
        agree("PIN unset", info[0xC5], bytes([PIN_UNSET, 0]))
        agree("room", info[0xC6], struct.pack(">HH", 0, ROOM))
        agree("factory keys", info[0xC7], b"\xff")

    def unauthenticated(self) -> None:
        """nothing that an administrator writes goes without a secure channel"""
        self.refused(0x6985, "84540000")
        self.refused(0x6982, "00550000", struct.pack(">Q", 0))
        self.refused(0x6982, "005EDEAD")
        self.refused(0x6A88, "80500100", secrets.token_bytes(8))
        self.oath()
        for header in ("00010000", "00020000", "0004DEAD", "00050000", "00D10000"):
            self.refused(0x6982, header, tlv(0x71, b"x"))
        self.refused(0x6985, "00030000")
        self.refused(0x6D00, "00EE0000")
        self.refused(0x6E00, "A0A10000")
        self.refused(0x6884, "10A10000")

    def wrong_cryptogram(self) -> None:
        """a wrong host cryptogram: 6300 and no session"""
        self.management()
        self.plain("8050FF00", secrets.token_bytes(8))
        self.refused(0x6300, "84821300", secrets.token_bytes(16))
        self.refused(0x6985, "84540000")

    def new_keys(self) -> None:
        """PUT KEY over level 13: the published keys are replaced"""
        self.management(0x13)
        new = Keys.random()
        reply = self.secured("84D8FF81", put_key_data(1, new, self.keys.dek))
        agree("check values", reply, b"\x01" + b"".join(map(key_check_value, (new.enc, new.mac, new.dek))))
        agree("the session goes on", len(self.secured("84540000")), 8)
        self.keys = new
        self.refused(0x6A88, "8050FF00", secrets.token_bytes(8))
        self.management(0x33)
        agree("key version", self.info()[0xC7], b"\x01")

    def set_time(self) -> None:
        """SET TIME and GET TIME, plain and secured (level 33)"""
        now_s = int(time.time())
        self.secured("84550000", struct.pack(">Q", now_s))
        for told in (self.plain("00540000"), self.secured("84540000")):
            ahead_us = int.from_bytes(told, "big") - now_s * US_PER_S
            agree("the clock", 0 <= ahead_us < SLACK_S * US_PER_S, True)
        agree("battery", self.info()[0xC8] in (b"\x00", b"\x01"), True)
        self.refused(0x6A80, "84550000", struct.pack(">Q", 1 << 40), secured=True)

    def set_label(self) -> None:
        """SET LABEL in UTF-8"""
        label = "Schreibtisch ✓".encode()
        self.secured("84560000", label)
        agree("label", self.info()[0xC4], label)

    def put(self) -> None:
        """PUT five credentials, one with an extended Lc; LIST and GET CREDENTIAL tell of them"""
        self.oath(0x33)
        self.secured("84010000", self.desk.put_data)
        self.secured("84010000", self.vpn.put_data, None)
        self.secured("84010000", self.door.put_data + tlv(0x7A, struct.pack(">I", 7)), 4096)
        self.secured("84010000", self.gate.put_data)
        self.secured("84010000", self.safe.put_data)
        self.refused(0x6A80, "84010000", self.desk.put_data[:-1], secured=True)
        listed = b"".join(c.listed for c in (self.desk, self.vpn, self.door, self.gate, self.safe))
        agree("LIST", self.plain("00A10000"), listed)
        agree("LIST in pieces of 16", self.plain("00A10000", le=16), listed)
        agree("LIST secured, extended Le", self.secured("84A10000", le=65536), listed)
        for c in (self.desk, self.vpn, self.gate):
            record = {0x71: c.name.encode(), 0x73: bytes([c.kind | c.algorithm, c.digits]), 0x8A: c.timing}
            agree("GET CREDENTIAL", dict(parse_tlvs(self.plain("00B50000", c.named))), record)
        self.refused(0x6984, "00B50000", tlv(0x71, b"nobody"))

    def proof(self) -> None:
        """CHECK VALUE: the token holds the secret that was sent"""
        nonce = secrets.token_bytes(8)
        reply = self.secured("84D10000", self.desk.named + tlv(0x8C, nonce))
        if not hmac.compare_digest(reply, tlv(0x8C, check_value(self.desk.secret, nonce))):
            raise Disagreement("CHECK VALUE: another secret")
        agree("CHECK VALUE of nothing", self.secured("84D10000", tlv(0x71, b"nobody") + tlv(0x8C, nonce)), b"")

    def set_pin(self) -> None:
        """SET PIN, CALCULATE refused without it, a wrong PIN charged, the right one verifies, CHANGE PIN"""
        self.refused(0x6985, "84B20000", tlv(0x80, self.pin), secured=True)
        self.refused(0x6A80, "84B40000", tlv(0x80, b"12345"), secured=True)
        self.secured("84B40000", tlv(0x80, self.pin))
        self.refused(0x6985, "84B40000", tlv(0x80, self.pin), secured=True)
        self.refused(0x6982, "00A20001", self.desk.named)
        self.refused(0x63C7, "84B20000", tlv(0x80, wrong_pin(self.pin)), secured=True)
        agree("SELECT tells the attempts", dict(parse_tlvs(self.card.select(OATH)))[0x82], b"\x07")
        self.oath(0x33)
        self.secured("84B20000", tlv(0x80, self.pin))
        agree("attempts given back", dict(parse_tlvs(self.card.select(OATH)))[0x82], bytes([PIN_ATTEMPTS]))
        self.refused(0x6982, "00A20001", self.desk.named)
        self.oath(0x33)
        new = random_pin() + b"7"
        self.secured("84B30000", tlv(0x80, self.pin) + tlv(0x81, new))
        self.pin = new

    def calculate_own_clock(self) -> None:
        """CALCULATE by the token's clock: the code, the time it was made for, and no challenge taken"""
        name = self.desk.named
        reply = self.plain("00A20001", name)
        device_us = int.from_bytes(dict(parse_tlvs(reply))[0x8B], "big")
        agree("device time", abs(device_us / US_PER_S - time.time()) < SLACK_S, True)
        code = self.desk.truncated(self.desk.step_at(device_us))
        agree("code", reply, code + tlv(0x8B, struct.pack(">Q", device_us)))
        self.plain("00A20001", name + tlv(0x74, b""))
        self.refused(0x6985, "00A20001", name + tlv(0x74, struct.pack(">Q", 1)))
        self.refused(0x6985, "00A20000", name)

    def calculate_with_challenge(self) -> None:
        """CALCULATE by the host's step, truncated and whole; CALCULATE ALL"""
        step = 28_888_888
        challenge = tlv(0x74, struct.pack(">Q", step))
        agree("code", self.plain("00A20001", self.vpn.named + challenge), self.vpn.truncated(step))
        agree("whole HMAC", self.plain("00A20000", self.vpn.named + challenge), self.vpn.whole(step))
        self.refused(0x6985, "00A20001", self.vpn.named)
        everything = [
            self.desk.without_code(0x77),
            self.vpn.named + self.vpn.truncated(step),
            self.door.without_code(0x77),
            self.gate.without_code(0x7C),
            self.safe.without_code(0x77),
        ]
        agree("CALCULATE ALL", self.plain("00A40001", challenge), b"".join(everything))

    def calculate_hotp(self) -> None:
        """CALCULATE of HOTP: the counter moves once a command, not once a repeat"""
        frame = self.session.next_frame(command_apdu(bytes.fromhex("00A20001"), self.door.named, 256))
        for _ in range(3):
            agree("code of counter 7", self.session.repeat(frame), self.door.truncated(7) + b"\x90\x00")
        agree("code of counter 8", self.plain("00A20001", self.door.named), self.door.truncated(8))
        agree("counter", dict(parse_tlvs(self.plain("00B50000", self.door.named)))[0x7A], struct.pack(">I", 9))

    def touch(self) -> None:
        """a touch is awaited: PENDING, BUSY to others, and HELLO abandons the wait"""
        wait = self.session.next_frame(command_apdu(bytes.fromhex("00A20001"), self.safe.named, 256))
        for _ in range(2):
            pending = self.session.answer_to(encode_frame(wait), PENDING)
            agree("PENDING", (pending.sequence, pending.payload[0]), (wait.sequence, 1))
            agree("seconds left", 0 < int.from_bytes(pending.payload[1:], "big") <= 15, True)
        other = self.session.next_frame(wait.payload[:-1])
        self.error("BUSY", encode_frame(other), BUSY, (other.sequence, other.session))
        self.session.hello()
        self.refused(0x6D00, "00A10000")

    def rename_delete(self) -> None:
        """RENAME (the HOTP counter comes along), DELETE, RESET"""
        self.oath(0x13)
        renamed = tlv(0x71, b"back door")
        self.secured("84050000", self.door.named + renamed)
        self.refused(0x6984, "00A20001", self.door.named)
        self.refused(0x6985, "84050000", renamed + self.vpn.named, secured=True)
        self.refused(0x6984, "84050000", tlv(0x71, b"nobody") + tlv(0x71, b"somebody"), secured=True)
        agree("code of counter 9", self.plain("00A20001", renamed), self.door.truncated(9))
        self.secured("84020000", renamed)
        self.refused(0x6984, "84020000", renamed, secured=True)
        self.secured("8404DEAD")
        agree("LIST after RESET", self.plain("00A10000"), b"")

    def block_and_unblock(self) -> None:
        """eight wrong PINs block; RESET RETRY COUNTER unblocks"""
        self.oath()
        wrong = tlv(0x80, wrong_pin(self.pin))
        for left in range(PIN_ATTEMPTS - 1, -1, -1):
            self.refused(0x63C0 | left, "00B20000", wrong)
        self.refused(0x6983, "00B20000", tlv(0x80, self.pin))
        self.management(0x33)
        agree("PIN blocked", self.info()[0xC5], bytes([PIN_BLOCKED, 0]))
        self.secured("842C0003")
        agree("attempts given back", self.info()[0xC5], bytes([PIN_SET, PIN_ATTEMPTS]))
        self.pin = random_pin()
        self.secured("842C0002", self.pin)
        self.oath()
        self.plain("00B20000", tlv(0x80, self.pin))

    def broken_mac(self) -> None:
        """a command with a wrong MAC: 6988 and the session is gone"""
        self.management(0x33)
        self.refused(0x6988, "84540000", secrets.token_bytes(8))
        self.refused(0x6985, "84540000", secrets.token_bytes(8))

    def factory_reset(self) -> None:
        """FACTORY RESET: no PIN, no label, no credential, the published keys"""
        self.management(0x13)
        self.secured("845EDEAD")
        self.refused(0x6985, "84540000")
        self.keys = Keys.factory()
        self.management(0x33)
        info = self.info()
        due = [b"", bytes([PIN_UNSET, 0]), struct.pack(">HH", 0, ROOM), b"\xff"]
        agree("INFO", [info[tag] for tag in (0xC4, 0xC5, 0xC6, 0xC7)], due)

    def steps(self) -> list[Callable[[], None]]:
        return [
            self.hello,
            self.frame_errors,
            self.first_look,
            self.unauthenticated,
            self.wrong_cryptogram,
            self.new_keys,
            self.set_time,
            self.set_label,
            self.put,
            self.proof,
            self.set_pin,
            self.calculate_own_clock,
            self.calculate_with_challenge,
            self.calculate_hotp,
            self.touch,
            self.rename_delete,
            self.block_and_unblock,
            self.broken_mac,
            self.factory_reset,
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", required=True, help="the serial port of a new or factory-reset token")
    try:
        line = Line(parser.parse_args().port)
    except serial.SerialException as error:
        print(error, file=sys.stderr)
        return 1
    steps = Life(Session(line)).steps()
    for number, step in enumerate(steps, 1):
        what = f"{number:2} of {len(steps)}  {step.__doc__}"
        try:
            step()
        except (Disagreement, serial.SerialException) as failure:
            print(f"FAILED {what}\n       {failure}", file=sys.stderr)
            return 1
        print(f"ok     {what}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
