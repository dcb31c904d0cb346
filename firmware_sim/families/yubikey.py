"""YubiKeys, as far as their OATH applet goes: YKOATH with a password, touch, no clock, no screen.

Nobody here has their firmware: this is what Yubico's published protocol and its own clients say of it, by version. What
else is in a YubiKey (OTP, FIDO, PIV, OpenPGP, NFC) is not there, so it enumerates as one whose other interfaces were
switched off, and says that it has only OATH. docs/families/yubikey.md.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.core.admin_keys import AdminKeys
from firmware_sim.core.chip import Board, Chip
from firmware_sim.core.credentials import Credentials
from firmware_sim.core.dialogue import AppletDialogue, StatusWords
from firmware_sim.core.family import CCID, Family, FlashGeometry, Limits
from firmware_sim.core.view import View
from firmware_sim.families.yubikey_applets import ManagementApplet, OathApplet
from provision.wire import oath, yubikey
from provision.wire.apdu import Sw
from provision.wire.yubikey import FormFactor

# 6B00 where ISO/IEC 7816-4 also has 6A86: yubikit's table of status words. 6982 when nobody touched: so ykman says
# "Touch account timed out!".
_WORDS = StatusWords(wrong_p1_p2=Sw.WRONG_P1_P2, untouched=Sw.SECURITY_STATUS_NOT_SATISFIED)


@dataclass(frozen=True, slots=True)
class Release:
    """A firmware, and where it deviates. `form_factor`: None before READ CONFIG told it, and the version. `max_apdu`:
    bytes of a command or response."""

    firmware: tuple[int, int, int]
    model: str
    form_factor: FormFactor | None
    credentials: int = 64
    secure_channel: bool = True
    rename: bool = True
    sha512: bool = True
    max_apdu: int = 3062


@enum.unique
class StoreKey(enum.IntEnum):
    """Beside those of core/layout.py."""

    ACCESS_KEY = 0x0020  # 16 bytes, from a password; absent: none is set
    OATH_ID = 0x0021  # 8 bytes, the password's salt since the last RESET; absent: DEVICE_ID


class TouchSensor:
    """Implements chip.Panel: a YubiKey has no screen and no keys, and its sensor means something only when asked."""

    screen = ""

    def press(self) -> None:
        pass

    def type_pin(self, pin: str) -> None:
        pass


class YubikeyChip(Chip):
    """`admin_keys`: of SCP03, None before the firmware that speaks it to this applet."""

    def __init__(self, board: Board, release: Release) -> None:
        super().__init__(board)
        self.release = release
        self.panel = TouchSensor()
        self.admin_keys = AdminKeys(self.store) if release.secure_channel else None
        self.credentials = Credentials(self.store, room=self.family.limits.credentials)
        self.serial_number = serial_number(board.serial)

    def dialogue(self, abandon: Callable[[], None]) -> AppletDialogue:
        # Made for each dialogue: who has proved the password, and to which challenge, is the channel's.
        return AppletDialogue(self, (OathApplet(self), ManagementApplet(self)), abandon, _WORDS)

    def factory_reset(self) -> None:
        """There is no button that does it; RESET does."""

    @property
    def access_key(self) -> bytes | None:
        return self.store.get(StoreKey.ACCESS_KEY)

    def set_access_key(self, key: bytes | None) -> None:
        """Physically too. Raises FlashError, PowerLost."""
        self.store.commit({StoreKey.ACCESS_KEY: key}, scrub=True)

    @property
    def oath_id(self) -> bytes:
        """8 bytes, the salt of the password: another one after each RESET."""
        return self.store.get(StoreKey.OATH_ID) or self.device_id

    def reset_oath(self) -> None:
        """Erase credentials and access key, in one commit and physically. Raises FlashError, PowerLost."""
        fresh: dict[int, bytes | None] = {
            StoreKey.OATH_ID: self.random.randbytes(oath.DEVICE_ID_SIZE),
            StoreKey.ACCESS_KEY: None,
        }
        self.store.commit({**self.credentials.erasure(), **fresh}, scrub=True)
        self.credentials = Credentials(self.store, room=self.family.limits.credentials)

    def describe(self, view: View) -> None:
        view["password"] = self.access_key is not None
        view["credentials"] = [credential.view() for credential in self.credentials]


def serial_number(serial: str) -> int:
    """The number that a YubiKey of this serial tells: `serial` itself, or 8 digits from it if it is no such number."""
    if serial.isascii() and serial.isdecimal() and int(serial) < 1 << 32:
        return int(serial)
    return int.from_bytes(hashlib.sha256(serial.encode()).digest()[:4], "big") % 10**8


# Sources: 64 credentials since 5.7.0, else 32 (YubiKey Technical Manual, OATH); SHA-512 since 4.3.1 and RENAME since
# 5.3.1 (YKOATH, yubikit); SCP03 to the OATH applet since 5.6.3 (yubikit); extended APDUs of up to 3062 bytes since 4.3,
# 2038 before (yubikit); version and form factor in READ CONFIG since 5.0 (yubikit). The first is what one gets unasked.
_RELEASES = (
    Release((5, 7, 4), "YubiKey 5C", FormFactor.C_KEYCHAIN),
    Release((5, 4, 3), "YubiKey 5C", FormFactor.C_KEYCHAIN, credentials=32, secure_channel=False),
    Release((5, 2, 7), "YubiKey 5C", FormFactor.C_KEYCHAIN, credentials=32, secure_channel=False, rename=False),
    Release((4, 3, 7), "YubiKey 4", None, credentials=32, secure_channel=False, rename=False),
    Release(
        (4, 2, 7), "YubiKey 4", None, credentials=32, secure_channel=False, rename=False, sha512=False, max_apdu=2038
    ),
)


def _family(release: Release) -> Family:
    def chip(board: Board) -> YubikeyChip:
        return YubikeyChip(board, release)

    return Family(
        name="yubikey",
        model=release.model,
        firmware=release.firmware,
        idVendor=yubikey.VENDOR_ID,
        idProduct=0x0404,  # CCID alone: OTP and FIDO are not there
        iManufacturer="Yubico",
        iProduct="Yubikey 4 CCID" if release.firmware < (5, 0, 0) else "YubiKey CCID",
        atr=bytes.fromhex("3BFD1300008131FE158073C021C057597562694B657940"),  # a YubiKey 5 over USB
        limits=Limits(
            credentials=release.credentials,
            touch_timeout_s=oath.TOUCH_TIMEOUT_S,
            screen_s=0,
            max_apdu=release.max_apdu,
        ),
        flash=FlashGeometry(page_size=4096, page_count=16),
        functions=(CCID,),
        instructions=(oath.Ins, yubikey.Ins),
        chip=chip,
        serial_prefix="2",  # a number, and no leading zero
        told_serial=lambda serial: str(serial_number(serial)),
    )


VARIANTS = tuple(_family(release) for release in _RELEASES)
