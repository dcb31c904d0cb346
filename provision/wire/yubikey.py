"""A YubiKey's management applet in bytes: who the device is. Its OATH applet is YKOATH (wire/oath.py).

Source: what Yubico's yubikit (management.py of yubikey-manager 5.9.2) sends and takes. Of the configuration's tags
those are here that tell devices apart; the others of a real device are passed over.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Self

from provision.wire import WireError, tlv
from provision.wire.messages import integer, message

MANAGEMENT_AID = bytes.fromhex("A000000527471117")

VENDOR_ID = 0x1050

CAN_OATH = 0x0020  # of the applications in USB_SUPPORTED


@enum.unique
class Ins(enum.IntEnum):
    READ_CONFIG = 0x1D


@enum.unique
class Tag(enum.IntEnum):
    USB_SUPPORTED = 0x01
    SERIAL = 0x02
    USB_ENABLED = 0x03
    FORM_FACTOR = 0x04
    VERSION = 0x05
    NFC_SUPPORTED = 0x0D


@enum.unique
class FormFactor(enum.IntEnum):
    """Low nibble of FORM_FACTOR."""

    UNKNOWN = 0
    A_KEYCHAIN = 1
    A_NANO = 2
    C_KEYCHAIN = 3
    C_NANO = 4
    C_LIGHTNING = 5
    A_BIO = 6
    C_BIO = 7


@message
@dataclass(frozen=True, slots=True)
class Greeting:
    """SELECT's reply: the text `Virtual mgr - FW version 5.7.4`."""

    version: tuple[int, int, int]

    def encode(self) -> bytes:
        return f"Virtual mgr - FW version {'.'.join(map(str, self.version))}".encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        found = _GREETING.fullmatch(data)
        if found is None:
            raise WireError("no greeting of a YubiKey's management applet")
        major, minor, patch = map(int, found.groups())
        return cls((major, minor, patch))


_GREETING = re.compile(rb"[ -~]{0,32} FW version ([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")


@message
@dataclass(frozen=True, slots=True)
class Config:
    """READ CONFIG's reply: its size u8 | 01 applications over USB | [02 serial u32] | [03 those enabled u16] |
    [04 form factor u8] | [05 version 3] | [0D applications over NFC u16].

    `serial`: None where a device does not tell it. Firmware 4 tells neither version nor what is enabled.
    """

    usb_supported: int
    serial: int | None = None
    usb_enabled: int | None = None
    form_factor: FormFactor = FormFactor.UNKNOWN
    version: tuple[int, int, int] | None = None
    nfc_supported: int | None = None

    def encode(self) -> bytes:
        out = tlv.encode(Tag.USB_SUPPORTED, self.usb_supported.to_bytes(2, "big"))
        if self.serial is not None:
            out += tlv.encode(Tag.SERIAL, self.serial.to_bytes(4, "big"))
        if self.usb_enabled is not None:
            out += tlv.encode(Tag.USB_ENABLED, self.usb_enabled.to_bytes(2, "big"))
        if self.form_factor is not FormFactor.UNKNOWN:
            out += tlv.encode(Tag.FORM_FACTOR, bytes((self.form_factor,)))
        if self.version is not None:
            out += tlv.encode(Tag.VERSION, bytes(self.version))
        if self.nfc_supported is not None:
            out += tlv.encode(Tag.NFC_SUPPORTED, self.nfc_supported.to_bytes(2, "big"))
        return bytes((len(out),)) + out

    @classmethod
    def decode(cls, data: bytes) -> Self:
        if not data or data[0] != len(data) - 1:
            raise WireError("a configuration begins with its size")
        found = tlv.decode_map(data[1:], required=(Tag.USB_SUPPORTED,))
        version = found.get(Tag.VERSION)
        if version is not None and len(version) != 3:
            raise WireError("a version has 3 bytes")
        form_factor = integer(found[Tag.FORM_FACTOR], 1, "the form factor") & 0x0F if Tag.FORM_FACTOR in found else 0
        return cls(
            # Firmware 4 has one byte for what later ones have two.
            int.from_bytes(found[Tag.USB_SUPPORTED], "big"),
            integer(found[Tag.SERIAL], 4, "the serial") if Tag.SERIAL in found else None,
            integer(found[Tag.USB_ENABLED], 2, "what is enabled") if Tag.USB_ENABLED in found else None,
            FormFactor(form_factor) if form_factor in _FORM_FACTORS else FormFactor.UNKNOWN,
            None if version is None else (version[0], version[1], version[2]),
            integer(found[Tag.NFC_SUPPORTED], 2, "the applications over NFC") if Tag.NFC_SUPPORTED in found else None,
        )


_FORM_FACTORS = frozenset(FormFactor)
