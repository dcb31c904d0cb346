"""Yubico's yubikit drives a simulated YubiKey, in one process: `yubikit_on_yubikey.py --firmware 5.7.4 [--scp]`.

In the lane's own virtual environment, which holds yubikit and nothing of ours; the simulator needs only `cryptography`
and is imported from the repository. Prints a line a step and raises on the first that goes wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import random
import struct
from collections.abc import Callable

from yubikit.core import TRANSPORT, NotSupportedError
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, ScpKid, StaticKeys
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, Credential, CredentialData, OathSession

from firmware_sim.clocks import ManualClock
from firmware_sim.core.token import Token
from firmware_sim.families.family import family
from firmware_sim.flash import MemoryFlash
from firmware_sim.seams import Battery

SECRETS = {"SHA1": b"1234567890" * 2, "SHA256": (b"1234567890" * 4)[:32], "SHA512": (b"1234567890" * 7)[:64]}
AT_S = 1_111_111_109
FACTORY_KEYS = Scp03KeyParams(KeyRef(ScpKid.SCP03, 0xFF), StaticKeys.default())
PASSWORD, NEW_PASSWORD = "correct horse", "battery staple"


class NoClock:
    """The oscillator of a token that has none."""

    def device_time_us(self, now: float) -> None:
        return None

    def battery_status(self, now: float) -> Battery:
        return Battery.GOOD

    def set_device_time(self, now: float, device_s: int) -> None:
        raise AssertionError("a YubiKey has no clock")


class Bench:
    """A new YubiKey, and a finger that touches it whenever it asks (`touches`) or stays away."""

    def __init__(self, firmware: str) -> None:
        self.family = family("yubikey", firmware=firmware)
        self.clock = ManualClock(AT_S)
        self.token = Token(
            family=self.family,
            serial="20260101",
            flash=MemoryFlash(self.family.flash.page_size, self.family.flash.page_count),
            oscillator=NoClock(),
            clock=self.clock,
            random=random.Random(1),
        )
        self.channel = self.token.open_channel()
        self.token.power_on()
        self.touches = True


class Card(SmartCardConnection):
    """yubikit's card connection to it, reset as a reader does."""

    def __init__(self, bench: Bench, transport: TRANSPORT) -> None:
        self._bench = bench
        self._transport = transport
        bench.channel.reset()

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        bench = self._bench
        raw = bench.channel.transmit(apdu)
        if raw is None:
            if bench.touches:
                bench.token.press_button()
            else:
                bench.clock.advance(bench.channel.deadline - bench.clock.now())
            raw = bench.channel.poll()
        return raw[:-2], int.from_bytes(raw[-2:], "big")


def expected_code(algorithm: str, counter: int, digits: int) -> str:
    mac = hmac.digest(SECRETS[algorithm], struct.pack(">Q", counter), algorithm.lower())
    offset = mac[-1] & 0x0F
    value = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{value % 10**digits:0{digits}}"


def refused(what: str, sw: int, action: Callable[[], object]) -> None:
    got = 0x9000
    try:
        action()
    except ApduError as error:
        got = error.sw
    assert got == sw, f"{what}: {got:04X}, not {sw:04X}"
    print(f"refused as it must be: {what}")


def data(name: str, kind: OATH_TYPE, algorithm: str, digits: int, period: int = 30, counter: int = 0) -> CredentialData:
    return CredentialData(
        name, kind, HASH_ALGORITHM[algorithm], SECRETS[algorithm], digits, period, counter=counter, issuer="Example"
    )


def live(bench: Bench, transport: TRANSPORT, keys: Scp03KeyParams | None) -> None:
    def session() -> OathSession:
        return OathSession(Card(bench, transport), keys)

    firmware = bench.family.firmware
    oath = session()
    assert oath.version == firmware
    assert not oath.has_key and not oath.locked
    before = oath.device_id
    oath.reset()
    assert oath.device_id != before, "RESET gives another device id"

    hashes = [("SHA1", 6, 30), ("SHA256", 8, 60)] + ([("SHA512", 7, 30)] if firmware >= (4, 3, 1) else [])
    put: dict[str, Credential] = {
        algorithm: oath.put_credential(data(f"totp-{algorithm}", OATH_TYPE.TOTP, algorithm, digits, period))
        for algorithm, digits, period in hashes
    }
    if firmware < (4, 3, 1):
        sha512 = data("sha512", OATH_TYPE.TOTP, "SHA512", 6)
        refused("SHA-512 before 4.3.1", 0x6A80, lambda: oath.put_credential(sha512))
    hotp = oath.put_credential(data("hotp", OATH_TYPE.HOTP, "SHA1", 6, counter=7))
    touch = oath.put_credential(data("touch", OATH_TYPE.TOTP, "SHA1", 6), touch_required=True)
    everything = [*put.values(), hotp, touch]
    assert oath.list_credentials() == everything
    print("added and listed: TOTP with each hash, HOTP, TOTP with touch")

    for algorithm, digits, period in hashes:
        assert oath.calculate_code(put[algorithm], AT_S).value == expected_code(algorithm, AT_S // period, digits)
    assert [oath.calculate_code(hotp, AT_S).value for _ in range(2)] == [expected_code("SHA1", n, 6) for n in (7, 8)]
    challenge = struct.pack(">Q", 42)
    assert oath.calculate(put["SHA256"].id, challenge) == hmac.digest(SECRETS["SHA256"], challenge, "sha256")
    codes = {found.id: (found.touch_required, code and code.value) for found, code in oath.calculate_all(AT_S).items()}
    assert codes == {
        **{put[a].id: (False, expected_code(a, AT_S // period, digits)) for a, digits, period in hashes},
        hotp.id: (False, None),
        touch.id: (True, None),
    }
    print("calculated: TOTP, HOTP, a whole HMAC, all at once")

    assert oath.calculate_code(touch, AT_S).value == expected_code("SHA1", AT_S // 30, 6)
    bench.touches = False
    refused("a code without the touch that it demands", 0x6982, lambda: oath.calculate_code(touch, AT_S))
    bench.touches = True
    assert oath.calculate_code(touch, AT_S).value == expected_code("SHA1", AT_S // 30, 6)

    if firmware >= (5, 3, 1):
        renamed = oath.rename_credential(touch.id, "renamed", "Other")
        assert renamed == b"Other:renamed"
        gone = touch.id
    else:
        gone, renamed = b"nothing", touch.id
        try:
            oath.rename_credential(touch.id, "renamed")
        except NotSupportedError:
            print("no renaming before 5.3.1")
        else:
            raise AssertionError("renamed before 5.3.1")
    refused("to delete what is not there", 0x6984, lambda: oath.delete_credential(gone))
    oath.delete_credential(hotp.id)
    assert {found.id for found in oath.list_credentials()} == {*(one.id for one in put.values()), renamed}
    print("renamed and deleted")

    oath.set_key(oath.derive_key(PASSWORD))
    assert oath.list_credentials(), "whoever sets the password stays in"
    oath = session()
    assert oath.has_key and oath.locked
    for what, action in (
        ("to list", oath.list_credentials),
        ("a code", lambda: oath.calculate_code(put["SHA1"], AT_S)),
        ("all codes", lambda: oath.calculate_all(AT_S)),
        ("to write", lambda: oath.put_credential(data("more", OATH_TYPE.TOTP, "SHA1", 6))),
        ("to delete", lambda: oath.delete_credential(put["SHA1"].id)),
        ("to take the password away", oath.unset_key),
    ):
        refused(f"{what} without the password", 0x6982, action)
    refused("a wrong password", 0x6A80, lambda: oath.validate(oath.derive_key("wrong")))
    for _ in range(20):
        refused("another wrong password", 0x6A80, lambda: oath.validate(hashlib.sha256(b"x").digest()[:16]))
    oath.validate(oath.derive_key(PASSWORD))
    assert len(oath.list_credentials()) == len(put) + 1
    oath.set_key(oath.derive_key(NEW_PASSWORD))
    oath = session()
    refused("the password before", 0x6A80, lambda: oath.validate(oath.derive_key(PASSWORD)))
    oath.validate(oath.derive_key(NEW_PASSWORD))
    oath.unset_key()
    assert not session().has_key
    print("a password set, proved, changed and taken away")

    oath = session()
    oath.set_key(oath.derive_key(PASSWORD))
    oath = session()
    oath.reset()
    assert not oath.has_key and oath.list_credentials() == []
    print("reset without the password: everything gone, and the password with it")

    room = bench.family.limits.credentials
    many = [oath.put_credential(data(f"{n:02} {'x' * 50}", OATH_TYPE.TOTP, "SHA1", 6)) for n in range(room)]
    assert oath.list_credentials() == many
    assert list(oath.calculate_all(AT_S)) == many
    more = data("one more", OATH_TYPE.TOTP, "SHA1", 6)
    refused(f"the {room + 1}th credential", 0x6A84, lambda: oath.put_credential(more))
    oath.reset()


def no_secure_channel(bench: Bench, keys: Scp03KeyParams) -> None:
    try:
        OathSession(Card(bench, TRANSPORT.USB), keys)
    except NotSupportedError:
        print("no secure channel to this firmware's OATH applet")
    else:
        raise AssertionError("a secure channel before 5.6.3")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--firmware", required=True)
    parser.add_argument("--scp", action="store_true")
    options = parser.parse_args()
    keys = FACTORY_KEYS if options.scp else None
    bench = Bench(options.firmware)
    if keys is not None and bench.family.firmware < (5, 6, 3):
        no_secure_channel(bench, keys)
    else:
        # Over USB yubikit sends extended APDUs, over NFC short ones: the secure channel's MAC covers the difference.
        for transport in (TRANSPORT.USB, TRANSPORT.NFC):
            print(f"--- {transport.name}")
            live(bench, transport, keys)
