"""Yubico's yubikit as the host, in the lane's own virtual environment: `yubikit_session.py --port PORT | --usbip PORT`.

Only yubikit's SCP03 and OATH session are under test; below them are the reference client's frames, or a card reader
over PyPI usbip. Prints a
line a step and raises on the first that goes wrong. What yubikit must not be able to do is under EXPECTED_REFUSALS.
"""

from __future__ import annotations

import argparse
import hmac
import struct
from collections.abc import Callable

from reference_credential import hotp_value
from reference_protocol import Line, Session
from yubikit.core import TRANSPORT
from yubikit.core.smartcard import ApduError, SmartCardConnection
from yubikit.core.smartcard.scp import KeyRef, Scp03KeyParams, ScpKid, StaticKeys
from yubikit.oath import HASH_ALGORITHM, OATH_TYPE, CredentialData, OathSession

SECRETS = {"SHA1": b"1234567890" * 2, "SHA256": (b"1234567890" * 4)[:32], "SHA512": (b"1234567890" * 7)[:64]}
AT_S = 1_111_111_109
Exchange = Callable[[bytes], bytes]
FACTORY_KEYS = Scp03KeyParams(KeyRef(ScpKid.SCP03, 0xFF), StaticKeys.default())


class Connection(SmartCardConnection):
    """yubikit's card connection over whatever carries APDUs."""

    def __init__(self, exchange: Exchange, transport: TRANSPORT) -> None:
        self._exchange = exchange
        self._transport = transport

    @property
    def transport(self) -> TRANSPORT:
        return self._transport

    def send_and_receive(self, apdu: bytes) -> tuple[bytes, int]:
        raw = self._exchange(apdu)
        return raw[:-2], int.from_bytes(raw[-2:], "big")


def expected_code(algorithm: str, counter: int, digits: int) -> str:
    return f"{hotp_value(SECRETS[algorithm], counter, algorithm.lower()) % 10**digits:0{digits}}"


def refused(what: str, sw: int, action: Callable[[], object]) -> None:
    got = 0x9000
    try:
        action()
    except ApduError as error:
        got = error.sw
    assert got == sw, f"{what}: {got:04X}, not {sw:04X}"
    print(f"refused as it must be: {what}")


def credential(name: str, kind: OATH_TYPE, algorithm: str, digits: int, period: int = 30) -> CredentialData:
    return CredentialData(
        name, kind, HASH_ALGORITHM[algorithm], SECRETS[algorithm], digits, period, counter=0, issuer="Example"
    )


def serial_line(port: str) -> Exchange:
    session = Session(Line(port))
    session.hello()
    return session.exchange


def usb_reader(port: int) -> Callable[[], Exchange]:
    """USB/IP gives the token to one host: the session of before ends where the card is powered anew."""
    from usbip_reader import Reader

    reader = Reader(port)

    def open_session() -> Exchange:
        reader.power_on()
        return reader.exchange

    return open_session


def live(connect: Callable[[], Exchange], transport: TRANSPORT) -> None:
    oath = OathSession(Connection(connect(), transport), FACTORY_KEYS)
    assert oath.version == (5, 7, 0)
    assert not oath.has_key
    oath.reset()

    put = {
        algorithm: oath.put_credential(credential(f"totp-{algorithm}", OATH_TYPE.TOTP, algorithm, digits, period))
        for algorithm, digits, period in [("SHA1", 6, 30), ("SHA256", 8, 60), ("SHA512", 7, 30)]
    }
    hotp = oath.put_credential(credential("hotp", OATH_TYPE.HOTP, "SHA1", 6))
    touch = oath.put_credential(credential("touch", OATH_TYPE.TOTP, "SHA1", 6), touch_required=True)
    everything = [*put.values(), hotp, touch]
    print("added: TOTP with each hash, HOTP, TOTP with touch")

    assert oath.list_credentials() == everything
    print("listed, in the order of writing")

    assert oath.calculate_code(put["SHA1"], AT_S).value == expected_code("SHA1", AT_S // 30, 6)
    assert oath.calculate_code(put["SHA256"], AT_S).value == expected_code("SHA256", AT_S // 60, 8)
    assert [oath.calculate_code(hotp, AT_S).value for _ in range(2)] == [expected_code("SHA1", n, 6) for n in (0, 1)]
    challenge = struct.pack(">Q", 42)
    assert oath.calculate(put["SHA512"].id, challenge) == hmac.digest(SECRETS["SHA512"], challenge, "sha512")
    print("calculated: TOTP, HOTP, a whole HMAC")

    codes = {found.id: code and code.value for found, code in oath.calculate_all(AT_S).items()}
    assert codes == {
        put["SHA1"].id: expected_code("SHA1", AT_S // 30, 6),
        put["SHA256"].id: expected_code("SHA256", AT_S // 60, 8),
        put["SHA512"].id: expected_code("SHA512", AT_S // 30, 7),
        hotp.id: None,
        touch.id: None,
    }
    print("calculated all")

    renamed = oath.rename_credential(put["SHA256"].id, "renamed", "Other")
    assert renamed == b"60/Other:renamed"
    oath.delete_credential(hotp.id)
    assert {found.id for found in oath.list_credentials()} == {put["SHA1"].id, renamed, put["SHA512"].id, touch.id}
    print("renamed and deleted")

    many = [
        oath.put_credential(credential(f"long name {n:02} {'x' * 30}", OATH_TYPE.TOTP, "SHA1", 6)) for n in range(20)
    ]
    assert oath.list_credentials()[-20:] == many
    print("listed 20 more, in pieces (61xx)")

    # EXPECTED_REFUSALS, each with its reason.
    refused("YKOATH's password: a PIN takes its place", 0x6985, lambda: oath.set_key(bytes(16)))
    refused("its validation: likewise", 0x6985, lambda: oath.unset_key())
    five = credential("five digits", OATH_TYPE.TOTP, "SHA1", 5)
    refused("5 digits: RFC 4226 demands 6", 0x6A80, lambda: oath.put_credential(five))
    plain = OathSession(Connection(connect(), transport))
    refused("writing without a secure channel: no seed in the clear", 0x6982, lambda: plain.delete_credential(renamed))
    assert len(plain.list_credentials()) == 24
    print("listed without a secure channel")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--port", help="serial device")
    way.add_argument("--usbip", type=int, help="port on this machine")
    given = parser.parse_args()
    connect = (lambda: serial_line(given.port)) if given.port else usb_reader(given.usbip)
    # Over USB yubikit sends extended APDUs, over NFC short ones: the secure channel's MAC covers the difference.
    for transport in (TRANSPORT.USB, TRANSPORT.NFC):
        print(f"--- {transport.name}")
        live(connect, transport)
